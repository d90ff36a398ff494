"use strict";
// Filter and search in an exported log. Texts are compared, nothing is built from them.
(() => {
  const form = document.getElementById("choose");
  const entries = [...document.querySelectorAll("details.exported")];
  const count = document.getElementById("shown-count");
  const [outcome, subject, text] = ["outcome", "subject", "text"].map((id) =>
    document.getElementById(id),
  );
  const texts = new Map();  // made when somebody searches

  function fits(entry, wanted) {
    const ended = entry.dataset.outcome;
    if (outcome.value === "not-correct" ? ended === "correct" : outcome.value && ended !== outcome.value) return false;
    if (subject && subject.value !== "*" && entry.dataset.subject !== subject.value) return false;
    if (!wanted) return true;
    if (!texts.has(entry)) texts.set(entry, entry.textContent.toLowerCase());
    return texts.get(entry).includes(wanted);
  }

  function choose() {
    const wanted = text.value.trim().toLowerCase();
    let shown = 0;
    for (const entry of entries) {
      entry.hidden = !fits(entry, wanted);
      if (!entry.hidden) shown += 1;
    }
    count.textContent = String(shown);
  }

  let waiting = 0;
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(choose, 150);
  });
})();
