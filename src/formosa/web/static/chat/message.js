"use strict";
// One turn on the page: who speaks, thoughts folded, words, calls with their results beneath them,
// what went wrong, how long it took. `update` brings the page to what the turn now holds.
const chatMessage = (() => {
  const { element, fill, shown } = chatText;

  class View {
    // `act` holds what the buttons do: edit(text), retry(), remove(), choose(step), copy(text).
    constructor(turn, { say, act, branch }) {
      Object.assign(this, { turn, say, act, cards: new Map() });
      const user = turn.role === "user";
      const who = user ? say("You") : shown(turn.model || say("Model"));
      this.acts = element("span", { class: "acts" });
      this.head = element("header", {}, element("h3", { class: "who" }, who),
        this.branches(branch), this.acts);
      this.thoughts = element("details", { class: "thoughts", hidden: true },
        (this.thought = element("summary")), (this.thinking = element("div", { class: "prose" })));
      this.prose = element("div", { class: "prose says" });
      this.calls = element("div", { class: "calls" });
      this.wrong = element("p", { class: "notice bad", hidden: true });
      this.facts = element("p", { class: "facts-line muted small", hidden: true });
      const parts = user ? [this.prose]
        : [this.thoughts, this.prose, this.calls, this.wrong, this.facts];
      this.element = element("article", { class: `message ${turn.role}`, id: turn.id },
        this.head, ...parts);
      this.buttons();
      this.update();
    }

    branches({ all, place }) {
      if (all.length < 2) return null;
      const { say, act } = this;
      const step = (by, sign, name) => element("button", {
        class: "quiet", type: "button", "aria-label": say(name), title: say(name),
        disabled: place + by < 0 || place + by >= all.length, onclick: () => act.choose(all[place + by]),
      }, sign);
      return element("span", { class: "branch small" }, step(-1, "‹", "Earlier version"),
        say("{n} of {all}", { n: place + 1, all: all.length }), step(1, "›", "Later version"));
    }

    buttons() {
      const { turn, say, act } = this;
      const button = (text, onclick, more = {}) => element("button",
        { class: "quiet", type: "button", onclick, ...more }, say(text));
      if (turn.role === "user") {
        this.acts.append(button("Edit", () => this.edit()), button("Delete", () => act.remove()));
        return;
      }
      this.acts.append(
        button("Retry", () => act.retry()),
        button("Copy", () => act.copy(turn.content)),
        button("Raw text", (event) => this.toggleRaw(event.currentTarget),
          { "aria-expanded": "false" }),
        button("Delete", () => act.remove()));
    }

    edit() {
      const { turn, say, act } = this;
      const text = element("textarea", { "aria-label": say("Message"), rows: 3 });
      text.value = turn.content;
      const close = () => { form.remove(); this.prose.hidden = false; };
      const send = () => { if (text.value.trim()) act.edit(text.value); };
      const form = element("form", { class: "editing", onsubmit: (event) => {
        event.preventDefault();
        send();
      } }, text, element("div", { class: "acts-row" },
        element("button", { class: "button primary", type: "submit" }, say("Send as a new branch")),
        element("button", { class: "button", type: "button", onclick: close }, say("Cancel"))));
      text.addEventListener("keydown", (event) => {
        if (event.key === "Escape") { event.stopPropagation(); close(); }
        if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
          event.preventDefault();
          send();
        }
      });
      this.element.querySelector(".editing")?.remove();
      this.prose.hidden = true;
      this.prose.after(form);
      text.focus();
    }

    update() {
      const { turn, say } = this;
      this.element.classList.toggle("running", Boolean(turn.running));
      if (turn.role === "user") {
        this.prose.classList.add("plain");
        this.prose.textContent = shown(turn.content);
        return;
      }
      this.element.setAttribute("aria-busy", turn.running ? "true" : "false");
      this.thoughts.hidden = !turn.reasoning;
      if (turn.reasoning) {
        this.thought.textContent = say("Reasoning · {n} characters", { n: [...turn.reasoning].length });
        fill(this.thinking, turn.reasoning);
      }
      fill(this.prose, turn.content);
      for (const call of turn.calls) if (call) this.card(call);
      this.calls.classList.toggle("parallel", this.cards.size > 1);
      this.wrong.hidden = !turn.error;
      this.wrong.textContent = turn.error ? shown(turn.error) : "";
      // A call comes whole, when its last token is there: that something is going on is said.
      const facts = turn.running
        ? [element("span", { class: "tag pulse" }, say("is written"))] : factsOf(turn, say);
      this.facts.hidden = !facts.length;
      this.facts.replaceChildren(...facts);
    }

    card(call) {
      const { say, turn } = this;
      let card = this.cards.get(call.id);
      if (!card) {
        const name = element("code", {});
        const state = element("span", { class: "tag" });
        const given = element("pre", { class: "text", tabindex: "0" });
        const result = element("div", { class: "result" });
        const question = element("div", { class: "question" });
        const whole = element("section", { class: "call card", "data-call": call.id },
          element("h4", {}, element("span", { class: "muted small" }, say("Tool call"), " "), name, " ",
            state), given, question, result);
        card = { name, state, given, result, question, whole };
        this.cards.set(call.id, card);
        this.calls.append(whole);
      }
      card.name.textContent = shown(call.name);
      card.given.textContent = shown(readable(call.arguments));
      card.given.setAttribute("aria-label", say("Arguments of {name}", { name: shown(call.name) }));
      const result = turn.results.get(call.id);
      const [word, kind] = stateOf(call, turn, result);
      card.state.textContent = say(word);
      card.state.className = `tag ${kind}`;
      if (!result || card.result.childElementCount) return;
      const took = result.seconds ? ` · ${seconds(result.seconds)}` : "";
      card.result.append(
        element("p", { class: "muted small" }, say("Result"), took),
        element("pre", { class: "text", tabindex: "0", "aria-label":
          say("Result of {name}", { name: shown(call.name) }) }, shown(readable(result.content))));
    }

    // Asks a person; "once", "always" or "no". An aborted signal means no.
    ask(call, signal) {
      const { say } = this;
      const { question } = this.cards.get(call.id);
      call.waits = true;
      this.update();
      return new Promise((resolve) => {
        const done = (answer) => {
          question.replaceChildren();
          delete call.waits;
          signal.removeEventListener("abort", stop);
          resolve(answer);
        };
        const stop = () => done("no");
        signal.addEventListener("abort", stop);
        const button = (text, answer, kind = "") => element("button",
          { class: `button ${kind}`, type: "button", onclick: () => done(answer) }, text);
        question.append(element("p", { role: "alert" },
          say("The model asks to run {name} with these arguments. Run it?", { name: shown(call.name) })),
        element("div", { class: "acts-row" }, button(say("Run once"), "once", "primary"),
          button(say("Always run {name}", { name: shown(call.name) }), "always"),
          button(say("Don't run"), "no")));
        if (signal.aborted) stop();
      });
    }

    toggleRaw(button) {
      const there = this.element.querySelector(".raw");
      button.setAttribute("aria-expanded", String(!there));
      if (there) there.remove();
      else this.element.append(chatRaw.panel(this.turn, this.say));
    }
  }

  function stateOf(call, turn, result) {
    if (result) return result.ok ? ["answered", "good"] : ["not answered", "bad"];
    if (call.waits) return ["waits for you", "warn"];
    if (call.runs) return ["runs", "odd"];
    if (turn.busy) return ["waits", ""];
    return turn.running ? ["is written", ""] : ["no result", "dead"];
  }

  // JSON for people where it is JSON, and the text as it is where it is not (or not yet).
  function readable(text) {
    if (!/^\s*[[{]/.test(text)) return text;
    try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
  }

  function seconds(value) { return `${value < 10 ? value.toFixed(2) : value.toFixed(0)}\u00a0s`; }

  function factsOf(turn, say) {
    const facts = [];
    const { first, whole, rate, tokens } = turn.facts ?? {};
    if (first !== undefined) facts.push(say("first token after {time}", { time: seconds(first) }));
    if (rate) facts.push(say("{n} tokens/s", { n: rate.toFixed(1) }));
    if (tokens) facts.push(say("{n} tokens", { n: tokens }));
    if (whole !== undefined) facts.push(say("{time} in all", { time: seconds(whole) }));
    const said = facts.length ? [facts.join(" · ")] : [];
    const ends = { length: ["cut off at its length limit", "truncated"],
      stopped: ["stopped", "truncated"], steps: ["too many rounds of calls", "truncated"] };
    const end = ends[turn.end ?? turn.finish];
    if (end) said.push(" ", element("span", { class: `tag ${end[1]}` }, say(end[0])));
    return said;
  }

  return { View, readable, seconds };
})();
