"use strict";
// The tools that this server may run: which there are, which are chosen, and running their calls.
// Consent is asked by whoever shows the calls.
const chatTools = (() => {
  const { element, shown } = chatText;
  const LEFT_OUT = "formosa-chat-tools-left-out";
  let all = [];
  let limits = { calls: 32 };
  const always = new Set(); // tools that a person has agreed to for as long as this page is open

  async function load(key) {
    const found = await chatStream.read("/tools", { key });
    all = found.tools;
    limits = found.limits;
  }

  // A tool that was not to be called is not to be called after a reload either.
  function list(place, say) {
    const kept = chatSettings.recall(LEFT_OUT);
    const left = new Set(Array.isArray(kept) ? kept : []);
    place.replaceChildren(...all.map((tool) => {
      const { name, description, parameters } = tool.function;
      const box = element("input", { type: "checkbox", name: `tool:${name}`, checked: !left.has(name),
        onchange: () => {
          if (box.checked) left.delete(name); else left.add(name);
          chatSettings.remember(LEFT_OUT, [...left]);
        } });
      return element("li", {},
        element("label", {}, box, " ", element("code", {}, shown(name)), " ",
          tool.confirm ? element("span", { class: "tag warn" }, say("asks first")) : null),
        element("p", { class: "muted small" }, shown(description)),
        element("details", {}, element("summary", { class: "small" }, say("Schema")),
          element("pre", { class: "text", tabindex: "0" },
            shown(JSON.stringify(parameters, null, 2))),
          element("p", { class: "muted small" }, say("From {source}", { source: shown(tool.source) }))));
    }));
  }

  function chosen(form) {
    return all.filter((tool) => form.elements[`tool:${tool.function.name}`]?.checked)
      .map(({ type, function: shape }) => ({ type, function: shape }));
  }

  function needsConsent(call, askAlways) {
    const tool = all.find((one) => one.function.name === call.name);
    return Boolean(tool) && (tool.confirm || askAlways) && !always.has(call.name);
  }

  // Runs calls; `told` gets each result as soon as it is there.
  async function run(calls, agreed, { key, signal, told }) {
    const body = { calls: calls.map(({ id, name, arguments: text }) => ({ id, name, arguments: text })),
      agreed };
    for await (const result of chatStream.ask("/tools/run", body, { key, signal })) told(result);
  }

  // What the person is told, in the words that the terminal's chat has for it.
  function refused(call, reason) {
    return { id: call.id, name: call.name, content: `error: ${reason}`, ok: false, seconds: 0 };
  }

  // Whether two rounds ask for the same: a model that repeats itself will not stop.
  function same(calls, others) {
    const text = (list) => JSON.stringify(list.map((call) => [call.name, canonical(call.arguments)]));
    return calls.length > 0 && calls.length === others.length && text(calls) === text(others);
  }

  function canonical(text) {
    const sorted = (value) => (value && typeof value === "object" && !Array.isArray(value)
      ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]))
      : Array.isArray(value) ? value.map(sorted) : value);
    try { return JSON.stringify(sorted(JSON.parse(text))); } catch { return text; }
  }

  return { always, chosen, list, load, needsConsent, refused, run, same,
    get all() { return all; }, get limits() { return limits; } };
})();
