"use strict";
// Sorts a table by the column whose head is pressed: numbers from the highest, text by its letters;
// once more turns it round. What has no value stands last either way.
(() => {
  const texts = new Intl.Collator(document.documentElement.lang, { numeric: true });

  function valueOf(row, column) {
    const cell = row.cells[column];
    return cell.dataset.value ?? cell.textContent.trim();
  }

  function sort(table, head, column) {
    const body = table.tBodies[0];
    const number = head.classList.contains("number");
    const down = head.getAttribute("aria-sort")
      ? head.getAttribute("aria-sort") !== "descending"
      : number;
    const rows = [...body.rows].map((row) => ({ row, value: valueOf(row, column) }));
    rows.sort((a, b) => {
      if ((a.value === "") !== (b.value === "")) return a.value === "" ? 1 : -1;
      const order = number
        ? Number.parseFloat(a.value || "0") - Number.parseFloat(b.value || "0")
        : texts.compare(a.value, b.value);
      return down ? -order : order;
    });
    body.append(...rows.map(({ row }) => row));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
  }

  for (const table of document.querySelectorAll("table[data-sort]")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.textContent = head.textContent;
      button.title = table.dataset.sort.replace("{column}", head.textContent);
      head.replaceChildren(button);
      button.addEventListener("click", () => sort(table, head, column));
    });
  }
})();
