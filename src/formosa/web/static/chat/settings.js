"use strict";
// What a request asks besides its messages, as the form says it. Remembered in this tab only.
const chatSettings = (() => {
  const KEY = "formosa-chat-settings";

  // A strict browser may have no storage, and anybody may have written into it.
  function recall(key) {
    try { return JSON.parse(window.sessionStorage.getItem(key)); } catch { return null; }
  }
  function remember(key, value) {
    try { window.sessionStorage.setItem(key, JSON.stringify(value)); } catch { /* forgotten then */ }
  }

  function fields(form) {
    return [...form.elements].filter((field) => field.name && !field.name.startsWith("tool:"));
  }

  // {name: text or boolean} of all fields.
  function values(form) {
    return Object.fromEntries(fields(form).map((field) => [
      field.name, field.type === "checkbox" ? field.checked : field.value,
    ]));
  }

  function fill(form, given) {
    if (!given || typeof given !== "object") return;
    for (const field of fields(form)) {
      const value = given[field.name];
      if (field.type === "checkbox" && typeof value === "boolean") field.checked = value;
      else if (field.type !== "checkbox" && typeof value === "string") {
        if (field.tagName !== "SELECT" || [...field.options].some((one) => one.value === value)) {
          field.value = value;
        }
      }
    }
  }

  // The fields of a request. An empty field is left out: the server then does what it does.
  function sampling(form, tools) {
    const given = values(form);
    const body = {};
    for (const name of ["temperature", "top_p"]) {
      if (given[name] !== "" && Number.isFinite(Number(given[name]))) body[name] = Number(given[name]);
    }
    for (const name of ["max_tokens", "seed"]) {
      if (/^-?\d+$/.test(given[name].trim())) body[name] = Number(given[name]);
    }
    const stops = given.stop.split("\n").filter(Boolean).map((line) => line.replaceAll("\\n", "\n"));
    if (stops.length) body.stop = stops;
    if (given.thinking) body.reasoning_effort = given.thinking;
    if (given.format === "json") body.response_format = { type: "json_object" };
    if (tools.length) {
      body.tools = tools;
      const choice = given.tool_choice;
      if (choice.startsWith("name:")) {
        body.tool_choice = { type: "function", function: { name: choice.slice(5) } };
      } else if (choice) body.tool_choice = choice;
      if (!given.parallel_tool_calls) body.parallel_tool_calls = false;
    }
    return body;
  }

  function bind(form, changed) {
    fill(form, recall(KEY));
    form.addEventListener("input", () => { remember(KEY, values(form)); changed(); });
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => window.setTimeout(() => {
      remember(KEY, values(form));
      changed();
    }));
  }

  return { bind, fill, recall, remember, sampling, values };
})();
