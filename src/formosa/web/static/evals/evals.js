"use strict";
// The evaluation pages with a keyboard, and the voice of a run that is going on.
// Everything else on them are plain links and forms.
(() => {
  const rows = () => [...document.querySelectorAll("a.row")];
  document.querySelectorAll(".keys[hidden]").forEach((words) => { words.hidden = false; });

  function step(by) {
    const links = rows();
    if (!links.length) {  // an answer's page
      document.querySelector(`nav a[rel="${by > 0 ? "next" : "prev"}"]`)?.click();
      return;
    }
    const at = links.indexOf(document.activeElement);
    const to = at < 0 ? (by > 0 ? 0 : links.length - 1) : at + by;
    links[Math.max(0, Math.min(links.length - 1, to))].focus();
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea, [contenteditable]")) return;
    const inList = event.target.matches("a.row");
    if (event.key === "j" || (inList && event.key === "ArrowDown")) step(1);
    else if (event.key === "k" || (inList && event.key === "ArrowUp")) step(-1);
    else return;
    event.preventDefault();
  });

  // The part that was fetched anew is replaced, so what is read aloud stands beside it, and is
  // said at most every twenty seconds, and at the end.
  let last = 0;
  document.addEventListener("formosa:fresh", (event) => {
    const part = event.target;
    const said = document.getElementById("said");
    if (part.id !== "figures" || !said) return;
    if (!part.dataset.live || Date.now() - last > 20000) {
      last = Date.now();
      said.textContent = part.dataset.said;
    }
    const listed = document.querySelector("table.answers");
    const newer = document.getElementById("newer");
    if (newer) newer.hidden = part.dataset.answers === (listed?.dataset.answers ?? "0");
  });
})();
