"use strict";
// Reads what the server sends: server-sent events, and the pieces of one reply put together.
// Knows no page.
const chatStream = (() => {
  class ApiError extends Error {
    constructor(message, { status = 0, code = null, retry = null } = {}) {
      super(message);
      this.status = status;
      this.code = code;
      this.retry = retry;
    }
  }

  // The JSON of each event, as it comes. A stream that ends before it says so is an error: half a
  // reply must not pass for a whole one.
  async function* events(response) {
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let rest = "";
    let data = [];
    try {
      for (;;) {
        const { value, done } = await reader.read();
        rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
        const lines = rest.split(/\r\n|\n|\r(?!$)/);
        rest = done ? "" : lines.pop();
        for (const line of lines) {
          if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
          else if (line === "" && data.length) {
            const text = data.join("\n");
            data = [];
            if (text === "[DONE]") return;
            const event = JSON.parse(text);
            if (event.error) throw new ApiError(event.error.message, { code: event.error.code });
            yield event;
          }
        }
        if (done) throw new ApiError("", { code: "broken_off" });
      }
    } finally {
      reader.cancel().catch(() => {});
    }
  }

  async function errorOf(response) {
    let error = {};
    try { error = (await response.json()).error ?? {}; } catch { /* a proxy's page of HTML */ }
    return new ApiError(error.message || `HTTP ${response.status}`, {
      status: response.status, code: error.code, retry: response.headers.get("retry-after"),
    });
  }

  // POSTs JSON and yields the events of the answer.
  async function* ask(address, body, { key = "", signal } = {}) {
    const response = await fetch(address, {
      method: "POST", headers: headersOf(key, true), body: JSON.stringify(body), signal,
      referrerPolicy: "no-referrer", cache: "no-store",
    });
    if (!response.ok) throw await errorOf(response);
    yield* events(response);
  }

  async function read(address, { key = "", signal } = {}) {
    const response = await fetch(address, { headers: headersOf(key), signal, cache: "no-store" });
    if (!response.ok) throw await errorOf(response);
    return response.json();
  }

  function headersOf(key, json = false) {
    const headers = json ? { "content-type": "application/json" } : {};
    if (key) headers.authorization = `Bearer ${key}`;
    return headers;
  }

  // One reply, put together from chunks. Calls are joined by index: some servers send them in
  // pieces, some without an id, and ids must be there and differ for results to find their call.
  class Reply {
    constructor() {
      Object.assign(this, {
        content: "", reasoning: "", calls: [], tokens: [], finish: null, usage: null,
        raw: null, prompt: null, defects: [],
      });
    }

    // Takes a chunk; says what it brought: "text", "call" or null.
    add(chunk) {
      let brought = null;
      if (chunk.usage) this.usage = chunk.usage;
      if (chunk.formosa) {
        const reply = chunk.formosa.replies?.[0] ?? {};
        Object.assign(this, {
          raw: reply.text ?? null, prompt: chunk.formosa.prompt ?? null,
          defects: reply.defects ?? [],
        });
      }
      for (const choice of chunk.choices ?? []) {
        if (choice.index) continue;
        const delta = choice.delta ?? {};
        const thought = delta.reasoning_content ?? delta.reasoning;
        if (thought) { this.reasoning += thought; brought ??= "text"; }
        if (delta.content) { this.content += delta.content; brought ??= "text"; }
        for (const piece of delta.tool_calls ?? []) { this.addCall(piece); brought ??= "call"; }
        if (choice.logprobs?.content) this.tokens.push(...choice.logprobs.content);
        if (choice.finish_reason) this.finish = choice.finish_reason;
      }
      return brought;
    }

    addCall(piece) {
      const place = piece.index ?? this.calls.length;
      const call = (this.calls[place] ??= { id: "", name: "", arguments: "" });
      const taken = (id) => this.calls.some((other) => other && other !== call && other.id === id);
      if (piece.id && !call.id) call.id = taken(piece.id) ? "" : piece.id;
      if (!call.id) call.id = `call_${crypto.getRandomValues(new Uint32Array(2)).join("")}`;
      call.name += piece.function?.name ?? "";
      call.arguments += piece.function?.arguments ?? "";
    }
  }

  return { ApiError, Reply, ask, events, headersOf, read };
})();
