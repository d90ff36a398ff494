"use strict";
// A request as a command that works elsewhere: curl in a shell, Python with the official client.
// The key is never in it: it is read from the environment.
const chatCode = (() => {
  const VARIABLE = "FORMOSA_SERVE_API_KEY";
  // What could make code look like other code, as escapes that JSON and Python both read.
  const HIDDEN = /[\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]/g;

  function json(value, indent) {
    return JSON.stringify(value, null, indent).replace(/[\ud800-\udbff][\udc00-\udfff]|[^]/g, (one) => (
      one.length === 2 ? one : one.replace(HIDDEN, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)
    ));
  }

  function curl(origin, body, keyed) {
    const parts = [`curl -sS ${origin}/v1/chat/completions`, "-H 'Content-Type: application/json'"];
    if (keyed) parts.push(`-H "Authorization: Bearer $${VARIABLE}"`);
    const text = json(body, 2).replaceAll("'", "'\\''");
    return `${parts.join(" \\\n  ")} \\\n  -d '${text}'\n`;
  }

  // A JSON value as a Python literal: strings are the same in both.
  function literal(value, depth) {
    const pad = "    ".repeat(depth);
    if (value === null) return "None";
    if (value === true) return "True";
    if (value === false) return "False";
    if (Array.isArray(value)) {
      if (!value.length) return "[]";
      const items = value.map((item) => `${pad}    ${literal(item, depth + 1)},\n`);
      return `[\n${items.join("")}${pad}]`;
    }
    if (typeof value === "object") {
      const items = Object.entries(value)
        .map(([key, item]) => `${pad}    ${json(key)}: ${literal(item, depth + 1)},\n`);
      return items.length ? `{\n${items.join("")}${pad}}` : "{}";
    }
    return json(value);
  }

  function python(origin, body, keyed) {
    const key = keyed ? `os.environ["${VARIABLE}"]` : '"-"';
    const given = Object.entries(body).filter(([name]) => name !== "stream")
      .map(([name, value]) => `    ${name}=${literal(value, 1)},\n`);
    return `${keyed ? "import os\n\n" : ""}from openai import OpenAI\n\n`
      + `client = OpenAI(base_url=${json(`${origin}/v1`)}, api_key=${key})\n`
      + `reply = client.chat.completions.create(\n${given.join("")})\n`
      + "message = reply.choices[0].message\n"
      + "print(message.content or \"\")\n"
      + "for call in message.tool_calls or []:\n"
      + "    print(call.function.name, call.function.arguments)\n";
  }

  return { curl, python };
})();
