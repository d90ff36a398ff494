"use strict";
// The chat page: its models as columns, the message that goes to all of them, settings, tools,
// saving and loading. What a turn looks like, what a request holds and how a stream is read stand
// in the other files.
(() => {
  const { element, shown } = chatText;
  const TALK = "formosa-chat-talk";
  const LARGEST = 20 * 2 ** 20; // bytes of a file that is loaded
  const known = JSON.parse(document.getElementById("chat-data").textContent);
  const find = (id) => document.getElementById(id);
  const form = find("settings");
  const input = find("message");
  let key = "";
  let props = new Map(); // model → what the server says of it
  let columns = [];
  let atEnd = true;

  function say(text, values = {}) {
    const words = known.words[text];
    if (words === undefined) throw new Error(`no words for: ${text}`);
    return words.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
  }

  // -- what the columns need of the page ------------------------------------------------------

  const page = {
    say,
    key: () => key,
    system: () => form.elements.system.value,
    tools: () => chatTools.chosen(form),
    asksAlways: () => form.elements.ask_always.checked,
    wantsTokens: () => form.elements.tokens.checked,
    sampling: () => chatSettings.sampling(form, chatTools.chosen(form)),
    knowsThinking: (model) => Boolean(props.get(model)?.template?.thinking),
    changed: paint,
    focus: () => input.focus({ preventScroll: true }),
    follow() { if (atEnd) window.scrollTo(0, document.documentElement.scrollHeight); },
    copy,
    showCode,
    save,
    savePage,
    explain,
    announce(turn) {
      const text = turn.error ?? (turn.content
        || turn.calls.map((call) => say("calls {name}", { name: call.name })).join(" "));
      find("spoken").textContent = `${shown(turn.model)}: ${shown([...text].slice(0, 500).join(""))}`;
    },
  };

  function explain(error) {
    if (!(error instanceof chatStream.ApiError)) {
      return say("The server can't be reached: {problem}", { problem: error.message });
    }
    if (error.code === "broken_off") return say("The stream ended before the reply did.");
    if (error.status === 401) { askForKey(); return say("The server asks for its API key."); }
    const wait = error.retry ? ` ${say("Try again in {n} s.", { n: shown(error.retry) })}` : "";
    return error.message + wait;
  }

  function paint() {
    const running = columns.some((column) => column.running);
    find("send").hidden = running;
    find("stop").hidden = !running;
    document.querySelectorAll("input[name=model]").forEach((box) => { box.disabled = running; });
    find("columns").classList.toggle("several", columns.length > 1);
    find("thinking-field").hidden = !columns.some((column) => page.knowsThinking(column.model));
  }

  function note(text, kind = "") {
    const place = find("note");
    place.textContent = text;
    place.className = `notice ${kind}`;
    place.hidden = !text;
  }

  // -- models ---------------------------------------------------------------------------------

  function chosenModels() {
    return [...document.querySelectorAll("input[name=model]:checked")].map((box) => box.value);
  }

  function showModels(names, chosen) {
    find("models").replaceChildren(...names.map((name) => element("li", {}, element("label", {},
      element("input", { type: "checkbox", name: "model", value: name, checked: chosen.includes(name),
        onchange: (event) => {
          if (!chosenModels().length) event.target.checked = true;
          arrange(chosenModels());
        } }), " ", shown(name)))));
    find("models-field").hidden = names.length < 2;
  }

  // A new column goes on from where the first one stands, so that both can be compared.
  function arrange(names, trees = new Map()) {
    const before = new Map(columns.map((column) => [column.model, column]));
    columns = names.map((name) => before.get(name)
      ?? new chatColumn.Column(name, page, trees.get(name) ?? columns[0]?.tree.copy()));
    find("columns").replaceChildren(...columns.map((column) => column.element));
    paint();
  }

  // -- saying something -----------------------------------------------------------------------

  async function send() {
    const text = input.value;
    if (!text.trim() || !columns.length || columns.some((column) => column.running)) return;
    input.value = "";
    grow();
    atEnd = true;
    await Promise.all(columns.map((column) => column.ask(text)));
    page.follow();
  }

  function stop() { columns.forEach((column) => column.stop()); }

  function grow() {
    input.rows = Math.min(12, Math.max(2, input.value.split("\n").length));
  }

  // -- files ----------------------------------------------------------------------------------

  function download(name, parts, type) {
    const address = URL.createObjectURL(new Blob(parts, { type }));
    element("a", { href: address, download: name }).click();
    window.setTimeout(() => URL.revokeObjectURL(address), 60000);
  }

  function fileName(column, ending) {
    const safe = column.model.replace(/[^\w.-]+/g, "-").slice(0, 60) || "chat";
    return `${safe}-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.${ending}`;
  }

  function conversation(column) {
    const value = { messages: chatTree.messages(column.tree.path(), page.system()),
      model: column.model };
    const tools = page.tools();
    if (tools.length) value.tools = tools;
    return value;
  }

  function save(column) {
    const text = `${JSON.stringify(conversation(column), null, 2)}\n`;
    download(fileName(column, "json"), [text], "application/json");
  }

  async function savePage(column) {
    try {
      const response = await fetch("/chat/export", {
        method: "POST", headers: chatStream.headersOf(key, true),
        body: JSON.stringify(conversation(column)),
      });
      if (!response.ok) {
        const { error } = await response.json();
        throw new chatStream.ApiError(error.message, { status: response.status });
      }
      download(fileName(column, "html"), [await response.blob()], "text/html");
      note("");
    } catch (error) { note(explain(error), "bad"); }
  }

  async function load(file) {
    if (!file) return;
    try {
      if (file.size > LARGEST) throw new chatTree.ShapeError(say("too large"));
      const { tree, system } = chatTree.read(JSON.parse(await file.text()));
      stop();
      form.elements.system.value = system;
      form.dispatchEvent(new Event("input"));
      const names = columns.map((column) => column.model);
      columns = [];
      arrange(names, new Map(names.map((name) => [name, tree.copy()])));
      note("");
    } catch (error) {
      const place = error instanceof chatTree.ShapeError ? error.message : say("not JSON");
      note(say("{name} holds no conversation: {problem}",
        { name: shown(file.name), problem: shown(place) }), "bad");
    }
    find("file").value = "";
  }

  function begin() {
    stop();
    const names = columns.map((column) => column.model);
    columns = [];
    arrange(names);
    note("");
    input.focus();
  }

  // -- code -----------------------------------------------------------------------------------

  async function copy(text) {
    try { await navigator.clipboard.writeText(text); } catch {
      // Without TLS a browser gives its clipboard only to what a person has selected.
      const hidden = element("textarea", { class: "unseen", "aria-hidden": "true" });
      hidden.value = text;
      (document.querySelector("dialog[open]") ?? document.body).append(hidden);
      hidden.select();
      document.execCommand("copy");
      hidden.remove();
    }
    find("spoken").textContent = say("Copied.");
  }

  function showCode(column) {
    const dialog = find("code");
    // Up to the last words of the person: what follows is what the model made of it.
    const path = column.tree.path();
    const asked = path.findLastIndex((turn) => turn.role === "user");
    const next = { role: "user", content: input.value.trim() || say("Hello") };
    const body = column.request(asked < 0 ? [next] : path.slice(0, asked + 1));
    const fill = () => {
      const kind = dialog.querySelector("input[name=language]:checked").value;
      find("code-text").textContent = chatCode[kind](window.location.origin, body, known.keyed);
    };
    dialog.querySelectorAll("input[name=language]").forEach((box) => { box.onchange = fill; });
    fill();
    dialog.showModal();
  }

  // -- beginning ------------------------------------------------------------------------------

  function askForKey() {
    const dialog = find("key");
    if (!dialog.open) dialog.showModal();
  }

  function restored(names) {
    const kept = chatSettings.recall(TALK);
    const trees = new Map();
    try {
      for (const { model, tree } of kept.columns) {
        if (names.includes(model)) trees.set(model, chatTree.Tree.from(tree));
      }
    } catch { /* another version's, or nobody's */ }
    return trees;
  }

  async function start() {
    let names;
    try {
      const [models, about] = await Promise.all([
        chatStream.read("/v1/models", { key }), chatStream.read("/props", { key }),
        chatTools.load(key),
      ]);
      names = models.data.map((model) => model.id);
      props = new Map(about.models.map((model) => [model.name, model]));
    } catch (error) { note(explain(error), "bad"); return; }
    note("");
    chatTools.list(find("tools"), say);
    find("no-tools").hidden = chatTools.all.length > 0;
    find("tool-settings").hidden = chatTools.all.length === 0;
    find("tool-choice").append(...chatTools.all.map(({ function: { name } }) => element("option",
      { value: `name:${name}` }, say("only {name}", { name: shown(name) }))));
    chatSettings.bind(form, () => {});
    const trees = restored(names);
    const chosen = trees.size ? [...trees.keys()] : names.slice(0, 1);
    showModels(names, chosen);
    arrange(chosen, trees);
    input.disabled = false;
    input.focus({ preventScroll: true });
  }

  find("composer").addEventListener("submit", (event) => { event.preventDefault(); send(); });
  find("stop").addEventListener("click", stop);
  find("new").addEventListener("click", begin);
  find("load").addEventListener("click", () => find("file").click());
  find("file").addEventListener("change", (event) => load(event.target.files[0]));
  find("copy-code").addEventListener("click", () => copy(find("code-text").textContent));
  find("key-form").addEventListener("submit", () => {
    key = find("key-text").value.trim();
    find("key-text").value = "";
    start();
  });
  input.addEventListener("input", grow);
  input.addEventListener("keydown", (event) => {
    // Enter that ends the choice of a character is not meant for us (229: Safari says it so).
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    send();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.isComposing && !document.querySelector("dialog[open]")) stop();
  });
  window.addEventListener("scroll", () => {
    const { scrollHeight } = document.documentElement;
    atEnd = window.innerHeight + window.scrollY >= scrollHeight - 120;
  }, { passive: true });
  window.addEventListener("pagehide", () => chatSettings.remember(TALK, {
    columns: columns.filter((column) => column.tree.end)
      .map(({ model, tree }) => ({ model, tree })),
  }));
  const wide = window.matchMedia("(min-width: 64rem)");
  const unfold = () => { find("panel").open = wide.matches; };
  wide.addEventListener("change", unfold);
  unfold();
  if (known.keyed) askForKey(); else start();
})();
