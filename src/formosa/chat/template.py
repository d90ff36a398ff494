"""Render a conversation to text, with the spans that a model is trained on.

`ChatTemplate.formosa(family)` is our own format for the control tokens of a model family;
`ChatTemplate.from_source(text)` renders a foreign model's own template through the same interface.
Both run in Jinja's immutable sandbox: a template is text from a stranger.

Knows nothing of tokens: the spans are character offsets. They come out of the very rendering that
makes the text (`{% generation %}` blocks), so a mask can't drift from its text.

A template sees the names that transformers gives it: `messages`, `tools`, `add_generation_prompt`,
`bos_token`, `eos_token`, the filter `tojson` without HTML escapes, and `raise_exception`. There is
no clock: `strftime_now` is undefined, so what is rendered today is rendered tomorrow.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from formosa.chat.message import Message, Tool
from formosa.errors import MessageError, UserError
from formosa.files import sha256_text

THINK_OPEN = "<think>"


class Family(NamedTuple):
    """The control tokens of a model family, as text."""

    name: str
    bos: str  # before the first turn; "" where the format has none
    open: str
    head: str  # between the role and the words
    close: str  # ends a turn: the token that stops generation
    next: str  # between turns; not generated
    assistant: str  # the family's name for the assistant's role


FAMILIES = {
    family.name: family
    for family in (
        Family("chatml", "", "<|im_start|>", "\n", "<|im_end|>", "\n", "assistant"),
        Family(
            "llama3",
            "<|begin_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>\n\n",
            "<|eot_id|>",
            "",
            "assistant",
        ),
        Family("gemma", "<bos>", "<start_of_turn>", "\n", "<end_of_turn>", "\n", "model"),
    )
}


def family_of_vocabulary(tokens: Iterable[str]) -> Family:
    """The family whose control tokens a vocabulary holds.

    Raises:
        UserError: none of the known families fits.
    """
    known = set(tokens)
    for family in FAMILIES.values():
        if {family.open, family.close} <= known:
            return family
    wanted = ", ".join(f"{f.open} and {f.close}" for f in FAMILIES.values())
    raise UserError(
        f"The vocabulary holds the turn tokens of no known family ({wanted}).",
        "choose a base model whose tokenizer has them",
    )


class Rendered(NamedTuple):
    """Text, and the (start, end) character spans that the assistant wrote."""

    text: str
    spans: tuple[tuple[int, int], ...]


class ChatTemplate:
    """A chat template, compiled once. Immutable; safe to share between threads.

    Attributes:
        source: the Jinja text, as it goes into a tokenizer or a GGUF file.
        stop: the text that ends the assistant's turn, or "" where the template alone can't tell.
        native: whether this is our own format.
    """

    def __init__(
        self, source: str, *, special_tokens: Mapping[str, str] | None = None, stop: str = ""
    ) -> None:
        self.source = source
        self.stop = stop
        self._special = dict(special_tokens or {})
        self._template, self._recorder = _compile(source)

    @classmethod
    def formosa(cls, family: str | Family = "chatml") -> ChatTemplate:
        """Our own format with the control tokens of `family`."""
        chosen = FAMILIES[family] if isinstance(family, str) else family
        return _formosa(chosen)

    @classmethod
    def from_source(cls, source: str, *, bos_token: str = "", eos_token: str = "") -> ChatTemplate:
        """A template from a tokenizer or GGUF file; our own is recognised by its bytes.

        Raises:
            UserError: the text is not a Jinja template.
        """
        for family in FAMILIES.values():
            own = _formosa(family)
            if own.source == source:
                return own
        return cls(
            source,
            special_tokens={"bos_token": bos_token, "eos_token": eos_token},
            stop=eos_token,
        )

    @property
    def native(self) -> bool:
        return any(self is _formosa(family) for family in FAMILIES.values())

    @property
    def sha256(self) -> str:
        return sha256_text(self.source)

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        *,
        add_generation_prompt: bool = False,
        **variables: Any,
    ) -> Rendered:
        """The conversation as text, with the assistant's spans.

        `variables` are handed to the template as they are (`enable_thinking=False` and the like).

        Raises:
            MessageError: the template refused the conversation; its own words are in the sentence.
        """
        for i, message in enumerate(messages):
            message.check(f"messages[{i}]")
        values = [_for_template(message, foreign=not self.native) for message in messages]
        context = {
            **self._special,
            **variables,
            "messages": values,
            "tools": [tool.to_openai() for tool in tools] or None,
            "add_generation_prompt": add_generation_prompt,
        }
        spans: list[tuple[int, int]] = []
        blocks: list[str] = []
        try:
            with self._recorder(blocks, spans):
                root = self._template.root_render_func(self._template.new_context(context))
                blocks.extend(root)
        except (jinja2.TemplateError, TypeError, ValueError, RecursionError) as error:
            raise MessageError("messages", f"the chat template refused them: {error}") from error
        return Rendered("".join(blocks), tuple(spans))

    def prompt(
        self, messages: Sequence[Message], tools: Sequence[Tool] = (), **variables: Any
    ) -> str:
        """The text that the model continues with its reply."""
        return self.render(messages, tools, add_generation_prompt=True, **variables).text


def opens_reasoning(prompt: str) -> bool:
    """Whether the prompt itself ends inside a think block, as R1-style templates do."""
    return prompt.rstrip().endswith(THINK_OPEN)


def _for_template(message: Message, *, foreign: bool) -> dict[str, Any]:
    """The mapping a template sees. A foreign one gets arguments as an object, since many write
    them through `tojson`, which would quote a string twice."""
    value = message.to_openai()
    if foreign:
        for call, source in zip(value.get("tool_calls", ()), message.tool_calls, strict=True):
            call["function"]["arguments"] = source.values()
    return value


@functools.cache
def _formosa(family: Family) -> ChatTemplate:
    text = resources.files("formosa.chat").joinpath("formosa.jinja").read_text(encoding="utf-8")
    first, rest = text.rstrip("\n").split("\n", 1)
    if not first.startswith("{%- set turn = {"):
        raise AssertionError("formosa.jinja must begin with the control tokens")
    tokens = ", ".join(
        f"'{key}': '{value}'" for key, value in family._asdict().items() if key != "name"
    ).replace("\n", "\\n")
    return ChatTemplate(f"{{%- set turn = {{{tokens}}} -%}}\n{rest}", stop=family.close)


class _Recorder:
    """Where the output of the current rendering goes, so that a block can learn its position."""

    def __init__(self) -> None:
        self._stack: list[tuple[list[str], list[tuple[int, int]]]] = []

    def __call__(self, blocks: list[str], spans: list[tuple[int, int]]) -> _Recorder:
        self._stack.append((blocks, spans))
        return self

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._stack.pop()

    def mark(self, text: str) -> str:
        blocks, spans = self._stack[-1]
        start = sum(map(len, blocks))
        spans.append((start, start + len(text)))
        return text


class _GenerationTag(jinja2.ext.Extension):
    """`{% generation %}…{% endgeneration %}`: no change to the text, only a note of where it is."""

    tags = {"generation"}

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_mark")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _mark(self, caller: Callable[[], str]) -> str:
        recorder: _Recorder = self.environment.formosa_recorder  # type: ignore[attr-defined]
        return recorder.mark(caller())


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(value: Any, indent: int | None = None, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _compile(source: str) -> tuple[jinja2.Template, _Recorder]:
    # One environment for each template: the recorder belongs to it, and nothing is shared.
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_GenerationTag, jinja2.ext.loopcontrols],
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise
    recorder = _Recorder()
    environment.formosa_recorder = recorder  # type: ignore[attr-defined]
    try:
        return environment.from_string(source), recorder
    except jinja2.TemplateSyntaxError as error:
        raise UserError(
            f"The chat template is not valid Jinja, line {error.lineno}: {error}."
        ) from error
