"use strict";
// The shell: light and dark, parts that follow what is being written, times in the reader's words.
// Stands in the head, so that the chosen colours are there before anything is painted.
const formosa = (() => {
  const KEY = "formosa-theme";
  const THEMES = ["auto", "light", "dark"];
  const SIGNS = { auto: "◐", light: "☀", dark: "☾" };

  // A file that was opened from disk, or a strict browser, may have no storage.
  function remember(key, value) {
    try { window.localStorage.setItem(key, value); } catch { /* it is forgotten then */ }
  }
  function recall(key) {
    try { return window.localStorage.getItem(key); } catch { return null; }
  }

  let theme = THEMES.includes(recall(KEY)) ? recall(KEY) : "auto";
  function paint(button) {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    if (!button) return;
    button.textContent = SIGNS[theme];
    button.setAttribute("aria-label", button.dataset[theme]);
    button.title = button.dataset[theme];
  }
  paint();

  // An element with an id and data-live="2000" is fetched again every 2000 ms while it is seen, and
  // ends to be when the new one has no data-live. What is open, chosen or focused in it stays so.
  async function refresh(part) {
    const address = part.dataset.source || window.location.href;
    const answer = await fetch(address, { headers: { accept: "text/html" } });
    if (!answer.ok) return part;
    const fresh = new DOMParser()
      .parseFromString(await answer.text(), "text/html")
      .getElementById(part.id);
    if (!fresh) return part;
    if (fresh.outerHTML === part.outerHTML) return part;
    for (const old of part.querySelectorAll("details[id][open]")) {
      const same = fresh.querySelector(`#${CSS.escape(old.id)}`);
      if (same) same.open = true;
    }
    const held = part.contains(document.activeElement) && document.activeElement.id;
    const adopted = document.adoptNode(fresh);
    part.replaceWith(adopted);
    if (held) document.getElementById(held)?.focus({ preventScroll: true });
    adopted.dispatchEvent(new CustomEvent("formosa:fresh", { bubbles: true }));
    return adopted;
  }

  function follow(part) {
    const again = () => {
      if (!part.isConnected || !part.dataset.live) return;
      window.setTimeout(async () => {
        if (!document.hidden) {
          try { part = await refresh(part); } catch { /* the server ended; ask again later */ }
        }
        again();
      }, Math.max(500, Number(part.dataset.live)));
    };
    again();
  }

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector("button.theme");
    if (button) {
      button.hidden = false;
      paint(button);
      button.addEventListener("click", () => {
        theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
        remember(KEY, theme);
        paint(button);
      });
    }
    document.documentElement.classList.add("scripted");
    document.querySelectorAll("[data-live][id]").forEach(follow);
  });

  return { refresh, remember, recall };
})();
