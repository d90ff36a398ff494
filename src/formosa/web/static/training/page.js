"use strict";
// Says what is new to a screen reader: only when a state or a measurement changed, not each step.
(() => {
  const said = document.getElementById("said");
  let before = document.getElementById("live")?.dataset.said;
  document.addEventListener("formosa:fresh", (event) => {
    const now = event.target.dataset.said;
    if (said && now && now !== before) said.textContent = before = now;
  });
})();
