"use strict";
// One model's conversation: asks it, runs its calls, asks again until it answers.
const chatColumn = (() => {
  const { element, shown } = chatText;
  const ROUNDS = 8; // as in the terminal: how often a model is asked for one message

  class Column {
    // `page` knows what is common to all: key, settings, tools, words, announcements.
    constructor(model, page, tree = new chatTree.Tree()) {
      Object.assign(this, { model, page, tree, views: new Map(), stopper: null });
      const { say } = page;
      this.thread = element("div", { class: "thread" });
      const button = (text, what) => element("button",
        { class: "quiet", type: "button", onclick: () => what(this) }, say(text));
      this.element = element("section", { class: "column", "aria-label": shown(model) },
        element("header", { class: "column-head" }, element("h2", {}, shown(model)),
          element("span", { class: "acts" }, button("Code", page.showCode),
            button("Save", page.save), button("Save as page", page.savePage))),
        this.thread);
      this.draw();
    }

    get running() { return this.stopper !== null; }

    stop() { this.stopper?.abort(); }

    request(path) {
      const body = { model: this.model, messages: chatTree.messages(path, this.page.system()),
        ...this.page.sampling() };
      if (!this.page.knowsThinking(this.model)) delete body.reasoning_effort;
      return body;
    }

    draw() {
      const { say } = this.page;
      const path = this.tree.path();
      const focused = this.focused();
      this.views.clear();
      this.thread.replaceChildren(...path.map((turn) => {
        const act = {
          edit: (text) => this.ask(text, turn.parent),
          retry: () => this.answer(turn.parent),
          remove: () => { if (!this.running) { this.tree.remove(turn.id); this.draw(); } },
          choose: (id) => { if (!this.running) { this.tree.choose(id); this.draw(); } },
          copy: (text) => this.page.copy(text),
        };
        const view = new chatMessage.View(turn, { say, act, branch: this.tree.branch(turn.id) });
        this.views.set(turn.id, view);
        return view.element;
      }));
      if (!path.length) {
        this.thread.append(element("p", { class: "muted empty" }, say("Nothing was said yet.")));
      }
      if (focused) this.focus(focused);
      this.page.changed();
    }

    // Where the keyboard is in this thread: which turn, and which of its buttons.
    focused() {
      const { activeElement } = document;
      if (!this.thread.contains(activeElement)) return null;
      const place = [...this.thread.children].indexOf(activeElement.closest("article"));
      return { place, name: activeElement.getAttribute("aria-label") ?? activeElement.textContent };
    }

    // The same button of the turn that now stands there; else where the next message is written.
    focus({ place, name }) {
      const buttons = this.thread.children[place]?.querySelectorAll("button:not(:disabled)") ?? [];
      const same = [...buttons].find(
        (button) => (button.getAttribute("aria-label") ?? button.textContent) === name);
      if (same) same.focus({ preventScroll: true });
      else this.page.focus();
    }

    async ask(text, parent = this.tree.end) {
      if (this.running) return;
      const turn = this.tree.add(parent, { role: "user", content: text });
      await this.answer(turn.id);
    }

    // The model's answer to what stands above; a further one beside it if there is one.
    async answer(parent) {
      if (this.running) return;
      this.stopper = new AbortController();
      this.page.changed();
      try {
        let before = [];
        for (let round = 1; ; round += 1) {
          const turn = this.tree.add(parent, chatTree.reply({ model: this.model, running: true }));
          this.draw();
          await this.read(turn, round);
          const going = await this.run(turn, before, round);
          if (!going) break;
          before = turn.calls;
          parent = turn.id;
        }
      } finally {
        this.stopper = null;
        this.draw();
      }
    }

    // One reply of the model. A call that is forced is forced once: it would never answer else.
    async read(turn, round) {
      const { page } = this;
      const view = this.views.get(turn.id);
      const path = this.tree.path();
      const body = { ...this.request(path.slice(0, path.indexOf(turn))), stream: true,
        stream_options: { include_usage: true }, formosa: { raw: true } };
      if (round > 1 && body.tool_choice !== "none") delete body.tool_choice;
      if (page.wantsTokens()) Object.assign(body, { logprobs: true, top_logprobs: 5 });
      const reply = new chatStream.Reply();
      const began = performance.now();
      let first = null;
      let due = false;
      const show = () => { due = false; view.update(); page.follow(); };
      try {
        const { signal } = this.stopper;
        const address = "/v1/chat/completions";
        for await (const chunk of chatStream.ask(address, body, { key: page.key(), signal })) {
          const brought = reply.add(chunk);
          if (brought && first === null) first = { kind: brought, time: performance.now() };
          Object.assign(turn, { content: reply.content, reasoning: reply.reasoning,
            calls: reply.calls.filter(Boolean) });
          if (!due) { due = true; window.requestAnimationFrame(show); }
        }
      } catch (error) {
        if (error.name === "AbortError") turn.end = "stopped";
        else turn.error = page.explain(error);
      }
      const { finish, tokens, raw, prompt, defects, usage } = reply;
      Object.assign(turn, { running: false, finish, tokens, raw, prompt, defects,
        facts: factsOf(began, first, usage) });
      view.update();
      page.announce(turn);
    }

    // Runs the calls of a reply; whether the model is to be asked again.
    async run(turn, before, round) {
      const { page } = this;
      const view = this.views.get(turn.id);
      const told = (result) => {
        turn.results.set(result.id, result);
        view.update();
        page.follow();
      };
      if (!turn.calls.length) return false;
      const reason = turn.error || turn.end === "stopped" ? "not run; the reply did not end"
        : turn.finish === "length" ? "not run; the reply was cut off at its length limit"
          : chatTools.same(turn.calls, before) ? "not run; the same calls were just made"
            : round >= ROUNDS ? `not run; the limit of ${ROUNDS} steps is reached` : "";
      if (reason) {
        if (!turn.error && !turn.end && turn.finish !== "length") turn.end = "steps";
        turn.calls.forEach((call) => told(chatTools.refused(call, reason)));
        return false;
      }
      const { signal } = this.stopper;
      turn.busy = true; // some calls may have to wait for what a person says of others
      const chosen = new Set(page.tools().map((tool) => tool.function.name));
      const runs = turn.calls.filter((call) => chosen.has(call.name));
      for (const call of turn.calls) {
        if (!chosen.has(call.name)) {
          told(chatTools.refused(call, `unknown tool '${call.name}'; the tools are: ${
            [...chosen].join(", ") || "none"}`));
        }
      }
      const agreed = [];
      for (const call of [...runs]) {
        if (!chatTools.needsConsent(call, page.asksAlways())) { agreed.push(call.id); continue; }
        const said = await view.ask(call, signal);
        if (said === "always") chatTools.always.add(call.name);
        if (said !== "no") { agreed.push(call.id); continue; }
        runs.splice(runs.indexOf(call), 1);
        told({ ...chatTools.refused(call, "not run; the user refused this call"), confirmed: false });
      }
      try {
        for (const call of runs) call.runs = true;
        view.update();
        if (runs.length && !signal.aborted) {
          await chatTools.run(runs, agreed, { key: page.key(), signal, told });
        }
      } catch (error) {
        if (error.name !== "AbortError") turn.error = page.explain(error);
      }
      delete turn.busy;
      for (const call of turn.calls) {
        delete call.runs;
        if (!turn.results.has(call.id)) told(chatTools.refused(call, "stopped while it ran"));
      }
      if (signal.aborted) turn.end = "stopped";
      view.update();
      return !signal.aborted && !turn.error;
    }
  }

  // Seconds and rates as this page saw them: the way there and back is in them. A call comes whole
  // when its last token is there, so the time before it says nothing of the first one.
  function factsOf(began, first, usage) {
    const now = performance.now();
    const facts = { whole: (now - began) / 1000, tokens: usage?.completion_tokens };
    if (first?.kind === "text") {
      facts.first = (first.time - began) / 1000;
      const seconds = (now - first.time) / 1000;
      if (facts.tokens > 1 && seconds > 0.02) facts.rate = (facts.tokens - 1) / seconds;
    }
    return facts;
  }

  return { Column };
})();
