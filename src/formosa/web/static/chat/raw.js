"use strict";
// Beside a reply: what the model really wrote, tags and special tokens in it, the prompt that it
// continued, and its tokens with their probability.
const chatRaw = (() => {
  const { element, shown } = chatText;
  const SPECIAL = /<\|[^|<>]{1,60}\|>|<\/?(?:think|tool_call|tool_response|tools|start_of_turn|end_of_turn)>/g;
  const MOST = 4000; // tokens that are shown: a page holds only so many elements

  function panel(turn, say) {
    const place = element("section", { class: "raw card" },
      element("h4", {}, say("What the model really wrote")));
    if (turn.raw === null || turn.raw === undefined) {
      place.append(element("p", { class: "muted" }, say("The raw text of this reply is not known.")));
    } else {
      place.append(marked(turn.raw, say("What the model really wrote")));
    }
    for (const defect of turn.defects ?? []) {
      place.append(element("p", { class: "notice" },
        say("A call could not be read: {problem}", { problem: shown(defect.problem) })));
    }
    if (turn.tokens?.length) place.append(...tokens(turn.tokens, say));
    else {
      place.append(element("p", { class: "muted small" }, say(
        "Tick “Tokens and probabilities” in the settings and ask again to see each token.")));
    }
    if (turn.prompt) {
      place.append(element("details", {}, element("summary", {}, say("Prompt · {n} characters",
        { n: [...turn.prompt].length })), marked(turn.prompt, say("Prompt"))));
    }
    return place;
  }

  function marked(text, label) {
    const made = element("pre", { class: "text", tabindex: "0", "aria-label": label });
    let end = 0;
    for (const found of text.matchAll(SPECIAL)) {
      made.append(shown(text.slice(end, found.index)),
        element("span", { class: "special" }, found[0]));
      end = found.index + found[0].length;
    }
    made.append(shown(text.slice(end)));
    return made;
  }

  // Half a character is shown by its bytes, a line's end by a sign.
  function spelled(token) {
    const text = token.token.includes("\ufffd") && token.bytes?.length
      ? token.bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")
      : token.token;
    return shown(text).replaceAll("\n", "⏎\n").replaceAll("\t", "⇥");
  }

  function percent(logprob) {
    const value = Math.exp(logprob) * 100;
    return value >= 99.95 ? "100 %" : value >= 0.1 ? `${value.toFixed(1)} %` : "< 0.1 %";
  }

  function level(logprob) {
    const value = Math.exp(logprob);
    return value >= 0.9 ? "p4" : value >= 0.5 ? "p3" : value >= 0.2 ? "p2" : value >= 0.05 ? "p1" : "p0";
  }

  function tokens(all, say) {
    const some = all.slice(0, MOST);
    const strip = element("div", { class: "tokens text", "aria-hidden": "true" });
    for (const token of some) {
      strip.append(element("span", { class: `token ${level(token.logprob)}`,
        title: `${spelled(token)} ${percent(token.logprob)}` }, spelled(token)));
    }
    const rows = some.map((token, i) => element("tr", {},
      element("td", { class: "number" }, String(i + 1)),
      element("td", {}, element("code", {}, spelled(token))),
      element("td", { class: "number" }, percent(token.logprob)),
      element("td", {}, ...(token.top_logprobs ?? []).filter((other) => other.token !== token.token)
        .flatMap((other) => [element("code", {}, spelled(other)), ` ${percent(other.logprob)}  `]))));
    const head = ["#", say("Token"), say("Probability"), say("Instead")];
    const table = element("table", {},
      element("caption", {}, all.length > MOST
        ? say("The first {some} of {n} tokens", { some: MOST, n: all.length })
        : say("{n} tokens", { n: all.length })),
      element("thead", {}, element("tr", {}, ...head.map((text, i) => element("th",
        { scope: "col", class: i % 2 ? null : "number" }, text)))),
      element("tbody", {}, ...rows));
    table.querySelector("thead th:last-child").className = "";
    table.querySelector("thead th:nth-child(3)").className = "number";
    return [
      element("p", { class: "muted small" },
        say("Tokens: the paler the ground, the surer the model was of it.")),
      strip,
      element("details", {}, element("summary", {}, say("Tokens as a table")),
        element("div", { class: "table tall", tabindex: "0", role: "region",
          "aria-label": say("Tokens as a table") }, table)),
    ];
  }

  return { panel };
})();
