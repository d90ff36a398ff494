"""Put a probe conversation through a chat template, and see what of it arrives in the prompt.

A template is a stranger's program: Jinja's sandbox keeps it from files and objects, but not from
loops in loops. So `try_template` runs this very module as a process of its own, with a limit of
time and of memory. What it says is what `ChatTemplate` does, not what the source looks like.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from formosa.card.sheet.values import TemplateFeatures, clean
from formosa.chat.message import Message, Tool, ToolCall
from formosa.chat.template import ChatTemplate, opens_reasoning
from formosa.errors import UserError
from formosa.files import sha256_text

SECONDS = 10
MEMORY = 1 << 30  # bytes of address space
LONGEST = 1 << 20  # characters; the longest templates have 30,000

_WORDS = {name: f"probe{name}7q" for name in ("ask", "tool", "other", "one", "two", "end", "think",
                                              "system")}  # fmt: skip


def try_template(source: str, where: str, *, bos: str = "", eos: str = "") -> TemplateFeatures:
    """What the template does with system messages, tools, calls and thoughts.

    Args:
        source: its Jinja text.
        where: the file that it is from.
        bos: the text that begins a sequence, which some templates write.
        eos: the text that ends one.
    """
    digest = sha256_text(source.encode("utf-8", "replace").decode("utf-8"))
    if len(source) > LONGEST:
        return TemplateFeatures(where, digest, problem=f"it has {len(source)} characters")
    question = json.dumps({"source": source, "bos": bos, "eos": eos})
    try:
        done = subprocess.run(
            [sys.executable, "-m", "formosa.card.sheet.probe"],
            input=question.encode("ascii"),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        problem = f"it did not end within {SECONDS} seconds"
        return TemplateFeatures(where, digest, problem=problem)
    try:
        answer = json.loads(done.stdout[:10_000])
    except ValueError:
        problem = f"trying it ended with {done.returncode}"
        if b"MemoryError" in done.stderr:
            problem = f"it takes more memory than {MEMORY >> 20} MiB"
        return TemplateFeatures(where, digest, problem=problem)
    if problem := answer.pop("problem", ""):
        return TemplateFeatures(where, digest, problem=clean(problem, 300))
    return TemplateFeatures(where, digest, **answer)


def features(source: str, bos: str, eos: str) -> dict[str, Any]:
    """The fields of TemplateFeatures; in this process, without limits."""
    try:
        template = ChatTemplate.from_source(source, bos_token=bos, eos_token=eos)
    except UserError as error:
        return {"problem": error.message}
    user = Message("user", _WORDS["ask"])
    tools = [Tool.of(_WORDS[name], "A probe.", {"type": "object", "properties": {
        "x": {"type": "string"}}}) for name in ("tool", "other")]  # fmt: skip
    calls = tuple(ToolCall.of(tool.name, {"x": tool.name}, f"call0000{i}") for i, tool in
                  enumerate(tools))  # fmt: skip
    results = [Message("tool", _WORDS[word], tool_call_id=call.id, name=call.name)
               for word, call in zip(("one", "two"), calls, strict=True)]  # fmt: skip
    end = Message("assistant", _WORDS["end"])

    def prompt(messages: list[Message], **options: Any) -> str:
        try:
            return template.prompt(messages, **options)
        except UserError:
            return ""

    plain = prompt([user])
    if _WORDS["ask"] not in plain:
        try:
            template.prompt([user])
        except UserError as error:
            return {"problem": error.message}
        return {"problem": "a user's words do not arrive in its prompt"}
    offered = prompt([user], tools=tools)
    both = prompt([user, Message("assistant", "", tool_calls=calls), *results, end], tools=tools)
    thought = prompt([user, Message("assistant", _WORDS["end"], reasoning=_WORDS["think"])])
    has_tools = all(tool.name in offered for tool in tools)
    arrived = all(both.count(_WORDS[word]) > offered.count(_WORDS[word])
                  for word in ("tool", "other", "one", "two", "end"))  # fmt: skip
    return {
        "tools": has_tools,
        "parallel_calls": has_tools and arrived,
        "system": _WORDS["system"] in prompt([Message("system", _WORDS["system"]), user]),
        "reasoning": _WORDS["think"] in thought or opens_reasoning(plain),
        "thinking_switch": prompt([user], enable_thinking=False)
        != prompt([user], enable_thinking=True),
        "ours": template.native,
    }


def main() -> None:
    """Question on standard input, answer on standard output, both JSON."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    question = json.loads(sys.stdin.buffer.read())
    try:
        answer = features(question["source"], question["bos"], question["eos"])
    except RecursionError:
        answer = {"problem": "it is nested too deeply"}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
