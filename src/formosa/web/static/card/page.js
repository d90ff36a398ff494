"use strict";
// Findings and lines lead to each other by plain links. This filters them, and moves between them
// with j and k while the list has the focus.
(() => {
  const form = document.querySelector("form.levels");
  const list = document.querySelector("ol.items");
  if (!form || !list) return;
  const items = [...list.querySelectorAll("li")];
  const said = form.querySelector("[role=status]");

  function filter() {
    const levels = new Set(new FormData(form).getAll("level"));
    const code = form.elements.code.value;
    const seen = (one) => levels.has(one.dataset.level) && (!code || one.dataset.code === code);
    for (const one of document.querySelectorAll("[data-level]")) one.hidden = !seen(one);
    said.textContent = said.dataset.text
      .replace("{shown}", items.filter((item) => !item.hidden).length)
      .replace("{all}", items.length);
  }

  // What a link leads to may be hidden by the filter, or folded.
  function reveal() {
    const aim = location.hash && document.getElementById(location.hash.slice(1));
    if (!aim) return;
    if (aim.hidden) {
      form.reset();
      filter();
    }
    const fold = aim.closest("details");
    if (fold && !fold.open) fold.open = true;
    aim.scrollIntoView({ block: "center" });
  }

  list.addEventListener("keydown", (event) => {
    if (!["j", "k"].includes(event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    const links = items.filter((item) => !item.hidden).map((item) => item.querySelector("a"));
    const there = links.filter(Boolean);
    const at = there.indexOf(document.activeElement);
    const next = there[Math.min(Math.max(at + (event.key === "j" ? 1 : -1), 0), there.length - 1)];
    next?.focus();
  });

  form.hidden = false;
  form.addEventListener("change", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", reveal);
  filter();
  reveal();
})();
