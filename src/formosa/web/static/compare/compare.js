"use strict";
// In a file that was exported, the filter of the changed answers works on what stands in it.
(() => {
  const form = document.querySelector("form#filter[data-here]");
  if (!form) return;
  const rows = [...document.querySelectorAll("details.changed")];
  const count = document.getElementById("count");
  const says = count.dataset.words;
  const fits = (wanted, outcome) =>
    wanted === "" || wanted === outcome || (wanted === "not-correct" && outcome !== "correct");

  function filter() {
    const { was, now, subject } = form.elements;
    let shown = 0;
    for (const row of rows) {
      const about = subject ? subject.value : "";
      row.hidden = !(fits(was.value, row.dataset.was) && fits(now.value, row.dataset.now)
        && (about === "" || about === row.dataset.subject));
      shown += !row.hidden;
    }
    count.textContent = says.replace("{n}", shown).replace("{all}", rows.length);
  }

  form.hidden = false;
  form.querySelector("button").hidden = true;
  form.addEventListener("change", filter);
  form.addEventListener("submit", (event) => { event.preventDefault(); filter(); });
})();
