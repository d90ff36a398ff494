"use strict";
// A conversation as a tree: editing a message or asking again makes a branch beside the old one.
// Knows the shape of messages. Knows no page and no server.
const chatTree = (() => {
  const ROOT = "";
  let last = 0;

  class Tree {
    constructor() {
      this.nodes = new Map();
      this.children = new Map([[ROOT, []]]);
      this.chosen = new Map();
    }

    // A turn: {role: "user", content} or {role: "assistant", content, reasoning, calls, results…}.
    // Results of calls stand in the turn that called, by the id of their call.
    add(parent, turn) {
      last += 1;
      const node = { ...turn, id: `n${Date.now().toString(36)}${last}`, parent };
      this.nodes.set(node.id, node);
      this.children.set(node.id, []);
      this.children.get(parent).push(node.id);
      this.chosen.set(parent, node.id);
      return node;
    }

    remove(id) {
      const { parent } = this.nodes.get(id);
      const siblings = this.children.get(parent);
      const place = siblings.indexOf(id);
      siblings.splice(place, 1);
      if (this.chosen.get(parent) === id) {
        const next = siblings[Math.min(place, siblings.length - 1)];
        if (next) this.chosen.set(parent, next);
        else this.chosen.delete(parent);
      }
      const drop = (one) => {
        this.children.get(one).forEach(drop);
        this.children.delete(one);
        this.chosen.delete(one);
        this.nodes.delete(one);
      };
      drop(id);
    }

    // The turns that are shown, from the first to the last.
    path() {
      const found = [];
      for (let id = this.chosen.get(ROOT); id; id = this.chosen.get(id)) {
        found.push(this.nodes.get(id));
      }
      return found;
    }

    get end() { return this.path().at(-1)?.id ?? ROOT; }

    branch(id) {
      const all = this.children.get(this.nodes.get(id).parent);
      return { all, place: all.indexOf(id) };
    }

    choose(id) { this.chosen.set(this.nodes.get(id).parent, id); }

    copy() { return Tree.from(JSON.parse(JSON.stringify(this))); }

    toJSON() {
      const nodes = [...this.nodes.values()].map((node) => (node.role === "user" ? node
        : { ...node, tokens: [], results: [...node.results] }));
      return { nodes, chosen: [...this.chosen] };
    }

    // Of what `toJSON` made, in this tab.
    static from(value) {
      const tree = new Tree();
      for (const node of value.nodes) {
        if (node.role !== "user") {
          // What was going on when the tab was left does not go on now.
          Object.assign(node, { results: new Map(node.results), running: false, busy: false });
          node.calls = node.calls.map(({ id, name, arguments: text }) => ({ id, name, arguments: text }));
        }
        if (node.parent !== ROOT && !tree.nodes.has(node.parent)) throw new Error("not a tree");
        tree.nodes.set(node.id, node);
        tree.children.set(node.id, []);
        tree.children.get(node.parent).push(node.id);
      }
      tree.chosen = new Map(value.chosen.filter(([, id]) => tree.nodes.has(id)));
      return tree;
    }
  }

  // Messages as the API takes them. A reply that failed before it said anything is left out.
  function messages(path, system = "") {
    const found = system.trim() ? [{ role: "system", content: system }] : [];
    for (const turn of path) {
      if (turn.role === "user") { found.push({ role: "user", content: turn.content }); continue; }
      if (!turn.content && !turn.reasoning && !turn.calls.length) continue;
      const message = { role: "assistant", content: turn.content };
      if (turn.reasoning) message.reasoning_content = turn.reasoning;
      if (turn.calls.length) {
        message.tool_calls = turn.calls.map((call) => ({
          id: call.id, type: "function",
          function: { name: call.name, arguments: call.arguments },
        }));
      }
      found.push(message);
      for (const call of turn.calls) {
        const result = turn.results.get(call.id);
        if (!result) continue;
        found.push({ role: "tool", tool_call_id: call.id, name: call.name, content: result.content });
      }
    }
    return found;
  }

  class ShapeError extends Error {}

  function must(holds, where) { if (!holds) throw new ShapeError(where); }

  function textOf(value, where) {
    if (value === null || value === undefined) return "";
    if (typeof value === "string") return value;
    must(Array.isArray(value), where);
    return value.map((part, i) => {
      must(typeof part?.text === "string", `${where}[${i}].text`);
      return part.text;
    }).join("");
  }

  // {tree, system} of a file's messages, each field checked; a ShapeError names the one that is wrong.
  function read(value) {
    must(value && typeof value === "object" && Array.isArray(value.messages), "messages");
    const tree = new Tree();
    let system = "";
    let caller = null;
    value.messages.forEach((message, i) => {
      const where = `messages[${i}]`;
      must(message && typeof message === "object", where);
      const content = textOf(message.content, `${where}.content`);
      if (["system", "developer"].includes(message.role)) {
        must(i === 0, `${where}.role`);
        system = content;
      } else if (message.role === "user") {
        tree.add(tree.end, { role: "user", content });
        caller = null;
      } else if (message.role === "assistant") {
        const calls = (message.tool_calls ?? []).map((call, j) => {
          const path = `${where}.tool_calls[${j}]`;
          must(typeof call?.function?.name === "string", `${path}.function.name`);
          const given = call.function.arguments ?? "{}";
          return { id: typeof call.id === "string" && call.id ? call.id : `call_${i}_${j}`,
            name: call.function.name,
            arguments: typeof given === "string" ? given : JSON.stringify(given) };
        });
        must(new Set(calls.map((call) => call.id)).size === calls.length, `${where}.tool_calls`);
        caller = tree.add(tree.end, reply({
          content, calls,
          reasoning: textOf(message.reasoning_content ?? message.reasoning, `${where}.reasoning`),
        }));
      } else {
        must(message.role === "tool", `${where}.role`);
        const open = caller?.calls.filter((call) => !caller.results.has(call.id)) ?? [];
        const id = message.tool_call_id || open[0]?.id;
        must(open.some((call) => call.id === id), `${where}.tool_call_id`);
        caller.results.set(id, { id, content, ok: !content.startsWith("error: ") });
      }
    });
    return { tree, system };
  }

  // An empty turn of a model. Ids are a model's words, so results stand in a map and not in an object,
  // where some names mean something.
  function reply(fields = {}) {
    return { role: "assistant", content: "", reasoning: "", calls: [], results: new Map(),
      tokens: [], ...fields };
  }

  return { ROOT, ShapeError, Tree, messages, read, reply };
})();
