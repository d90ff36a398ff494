"use strict";
// Words of a model as elements: paragraphs, lists, code, bold, web addresses. Everything is made
// with createElement and textContent, so no markup of a model is ever read as markup; what is not
// known here stays the text that it is.
const chatText = (() => {
  const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
  // Bounded, so that a line of a hundred thousand brackets costs no more than its length.
  const INLINE = /`([^`\n]{1,2000})`|\*\*([^*\n]{1,2000})\*\*|\[([^[\]\n]{0,300})\]\(([!-'*-~]{1,2000})\)|(https?:\/\/[!#-;=?-~]{1,2000})/g;

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === false || value === null || value === undefined) continue;
      if (key === "class") made.className = value;
      else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  // Control and direction marks in letters, as the shell shows them.
  function shown(text) {
    return String(text).replace(UNSEEN, (one) => {
      const code = one.charCodeAt(0);
      return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}`
        : `\\u${code.toString(16).padStart(4, "0")}`;
    });
  }

  // A link says where it leads; what is no plain web address stays text.
  function link(address) {
    let url;
    try { url = new URL(address); } catch { return null; }
    if (!["http:", "https:"].includes(url.protocol) || url.username || url.password) return null;
    return element(
      "a",
      { class: "external", href: url.href, rel: "noopener noreferrer nofollow", target: "_blank" },
      shown(url.href), element("span", { "aria-hidden": "true" }, " ↗"),
    );
  }

  function inline(text) {
    const parts = [];
    let end = 0;
    for (const found of text.matchAll(INLINE)) {
      const [whole, code, bold, words, target, bare] = found;
      let part = null;
      let taken = whole.length;
      if (code !== undefined) part = element("code", {}, shown(code));
      else if (bold !== undefined) part = element("strong", {}, shown(bold));
      else if (target !== undefined) {
        const made = link(target);
        if (made) part = element("span", {}, `${shown(words)} (`, made, ")");
      } else {
        const address = bare.replace(/[.,;:!?'"*_~)\]}]+$/, "");
        part = link(address);
        taken = address.length;
      }
      if (!part) continue;
      parts.push(shown(text.slice(end, found.index)), part);
      end = found.index + taken;
    }
    parts.push(shown(text.slice(end)));
    return parts;
  }

  // [{kind, source, …}] of a text; one that grows changes its last block only.
  function blocks(text) {
    const found = [];
    const lines = text.split("\n");
    let i = 0;
    while (i < lines.length) {
      const fence = fenceOf(lines[i]);
      if (fence) {
        const begin = i;
        // What stands behind the fence is a language, or words that must not be lost.
        const known = /^[\w+#.-]{0,30}$/.test(fence.info);
        const code = known ? [] : [fence.info];
        for (i += 1; i < lines.length && !closes(lines[i], fence); i += 1) code.push(lines[i]);
        i += 1;
        found.push({ kind: "code", lang: known ? fence.info : "", lines: code,
          source: lines.slice(begin, i).join("\n") });
      } else if (!lines[i].trim()) {
        i += 1;
      } else if (itemOf(lines[i])) {
        const begin = i;
        const { ordered, start } = itemOf(lines[i]);
        const items = [];
        for (; i < lines.length && lines[i].trim(); i += 1) {
          const item = itemOf(lines[i]);
          if (item && item.ordered === ordered) items.push(item.text);
          else if (item || !/^\s/.test(lines[i])) break;
          else items[items.length - 1] += `\n${lines[i].trim()}`;
        }
        found.push({ kind: ordered ? "ol" : "ul", start, lines: items,
          source: lines.slice(begin, i).join("\n") });
      } else {
        const begin = i;
        do i += 1;
        while (i < lines.length && lines[i].trim() && !itemOf(lines[i])
          && !fenceOf(lines[i]));
        found.push({ kind: "p", lines: lines.slice(begin, i),
          source: lines.slice(begin, i).join("\n") });
      }
    }
    return found;
  }

  function fenceOf(line) {
    const found = /^ {0,3}(`{3,}|~{3,})(.*)$/.exec(line);
    if (!found || (found[1][0] === "`" && found[2].includes("`"))) return null;
    return { marks: found[1], info: found[2].trim() };
  }

  function closes(line, { marks }) {
    const words = line.trim();
    return words.startsWith(marks) && words === marks[0].repeat(words.length);
  }

  function itemOf(line) {
    const found = /^\s{0,6}(?:[-*+]|(\d{1,4})[.)])\s+(\S.*)$/.exec(line);
    return found && { ordered: found[1] !== undefined, start: Number(found[1] ?? 1), text: found[2] };
  }

  function made(block) {
    if (block.kind === "code") {
      return element("pre", { class: "text code", tabindex: "0", "data-lang": block.lang || null },
        element("code", {}, shown(block.lines.join("\n"))));
    }
    if (block.kind === "p") {
      const heading = block.lines.length === 1 && /^#{1,6}\s+(.+?)\s*#*$/.exec(block.lines[0]);
      if (heading) return element("p", { class: "heading" }, ...inline(heading[1]));
      return element("p", {}, ...inline(block.lines.join("\n")));
    }
    const start = block.kind === "ol" && block.start !== 1 ? block.start : null;
    return element(block.kind, { start },
      ...block.lines.map((item) => element("li", {}, ...inline(item))));
  }

  // Shows a text in `place`; blocks that are there already are left alone.
  function fill(place, text) {
    const wanted = blocks(text);
    const there = place.formosaBlocks ?? [];
    let same = 0;
    while (same < there.length && same < wanted.length && there[same] === wanted[same].source
      && same < place.children.length) same += 1;
    while (place.children.length > same) place.lastElementChild.remove();
    place.append(...wanted.slice(same).map(made));
    place.formosaBlocks = wanted.map((block) => block.source);
  }

  return { blocks, element, fill, inline, link, shown };
})();
