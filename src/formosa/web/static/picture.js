"use strict";
// Saves what stands on the page: a picture as SVG or PNG, a table as CSV. Asks no server.
//
// <figure data-save="name"> with an <svg> in it, <div class="table" data-save="name"> with a
// <table>: both get their buttons here, since without a script these could do nothing. The words
// are those of <script type="application/json" id="picture-words">.
(() => {
  const SCALE = 3; // of a PNG, in pixels for each of the picture's units
  const KEPT = [
    "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap",
    "stroke-linejoin", "stroke-opacity", "opacity", "font-family", "font-size", "font-weight",
    "text-anchor", "visibility", "display",
  ];
  const NUMBER = /^[+-]?(\d+(\.\d+)?|\.\d+)([eE][+-]?\d+)?$/;
  const FORMULA = /^ *[=+\-@\t\r\n＝＋－＠]/;

  // The picture by itself: the page's colours as attributes, which need no style sheet.
  function alone(svg) {
    const copy = svg.cloneNode(true);
    const olds = [svg, ...svg.querySelectorAll("*")];
    const news = [copy, ...copy.querySelectorAll("*")];
    olds.forEach((old, i) => {
      if (["title", "desc"].includes(old.localName)) return;
      const style = window.getComputedStyle(old);
      for (const name of KEPT) {
        const value = style.getPropertyValue(name);
        if (value) news[i].setAttribute(name, value);
      }
      news[i].removeAttribute("class");
    });
    const [, , width, height] = svg.getAttribute("viewBox").split(/[ ,]+/).map(Number);
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("width", width);
    copy.setAttribute("height", height);
    const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    ground.setAttribute("width", width);
    ground.setAttribute("height", height);
    ground.setAttribute("fill", groundOf(svg));
    copy.querySelector("desc, title")?.after(ground) ?? copy.prepend(ground);
    return { text: new XMLSerializer().serializeToString(copy), width, height };
  }

  function groundOf(element) {
    for (let at = element; at; at = at.parentElement) {
      const colour = window.getComputedStyle(at).backgroundColor;
      if (colour && colour !== "transparent" && !/, 0\)$/.test(colour)) return colour;
    }
    return "#ffffff";
  }

  async function painted(svg) {
    const { text, width, height } = alone(svg);
    const image = new Image();
    // An address of data:, not of a blob: some browsers take a canvas with the latter for tainted.
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = width * SCALE;
    canvas.height = height * SCALE;
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return new Promise((done) => canvas.toBlob(done, "image/png"));
  }

  // What a spreadsheet would take for a formula gets an apostrophe before it.
  function guarded(text) {
    const safe = FORMULA.test(text) && !NUMBER.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  }

  // A cell may say more exactly what it holds: data-value="0.375" under "37.5 %".
  function separated(table) {
    return [...table.rows]
      .filter((row) => !row.hidden)
      .map((row) =>
        [...row.cells].flatMap((cell) => {
          const text = cell.dataset.value ?? cell.innerText.trim().replace(/\s+/g, " ");
          return [guarded(text), ...Array(cell.colSpan - 1).fill("")];
        }).join(","))
      .join("\r\n");
  }

  function keep(blob, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
    window.setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  function button(kind, label, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "button small";
    made.textContent = kind;
    made.setAttribute("aria-label", label);
    made.title = label;
    made.addEventListener("click", async () => {
      made.disabled = true;
      try { await act(); } finally { made.disabled = false; }
    });
    return made;
  }

  function equip(part, words) {
    const name = part.dataset.save;
    const row = document.createElement("p");
    row.className = "save";
    const what = part.dataset.label || name;
    const say = (kind) => words[kind].replace("{what}", what);
    const svg = part.querySelector("svg");
    const table = part.querySelector("table");
    if (svg) {
      row.append(
        button("SVG", say("svg"), () =>
          keep(new Blob([alone(svg).text], { type: "image/svg+xml" }), `${name}.svg`)),
        button("PNG", say("png"), async () => keep(await painted(svg), `${name}.png`)),
      );
      part.append(row);
    } else if (table) {
      row.append(
        button("CSV", say("csv"), () =>
          keep(new Blob(["\ufeff", separated(table), "\r\n"], { type: "text/csv" }), `${name}.csv`)),
      );
      part.after(row);
    }
  }

  const words = JSON.parse(document.getElementById("picture-words")?.textContent ?? "null");
  if (words) document.querySelectorAll("[data-save]").forEach((part) => equip(part, words));
})();
