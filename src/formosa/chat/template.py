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
import re
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from formosa.chat.guard import free_mark, holds, marked, spellings
from formosa.chat.message import Message, Tool
from formosa.chat.tags import CALL, END_CALL, END_THINK, THINK
from formosa.errors import MessageError, UserError
from formosa.files import sha256_text

TAGS = frozenset((CALL, END_CALL, THINK, END_THINK))
# What looks like a control token in a template's source, by the habits of the model families.
_CONTROL = re.compile(
    r"<\|[^|<>\s'\"]{1,64}\|>|<｜[^｜<>\s]{1,64}｜>|</?s>|<(?:bos|eos|pad|unk)>"
    r"|<(?:start|end)_of_[a-z]+>|\[/?[A-Z][A-Z_]+\]"
)


# What a template's own expressions can raise, such as "{{ 1 / 0 }}" or "{{ '{}'.format() }}".
_TEMPLATE_ERRORS = (
    *(jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError),
    RecursionError,
)


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


def find_family(tokens: Iterable[str]) -> Family | None:
    """The family whose control tokens are among these; None where no known one fits."""
    known = set(tokens)
    fitting = (family for family in FAMILIES.values() if {family.open, family.close} <= known)
    return next(fitting, None)


def family_of_vocabulary(tokens: Iterable[str]) -> Family:
    """The family whose control tokens a vocabulary holds.

    Raises:
        UserError: none of the known families fits.
    """
    found = find_family(tokens)
    if found is not None:
        return found
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
        control_tokens: those that the template itself writes, as far as its source shows them.
        thinks: whether the template knows of think blocks.
    """

    def __init__(
        self, source: str, *, special_tokens: Mapping[str, str] | None = None, stop: str = ""
    ) -> None:
        self.source = source
        self.stop = stop
        self._special = dict(special_tokens or {})
        self._template, self._recorder = _compile(source)
        self.control_tokens = frozenset(filter(None, self._special.values())) | frozenset(
            _CONTROL.findall(source)
        )
        self.thinks = THINK in source or END_THINK in source

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
        context = {**variables, **self._context(messages, tools)}
        return self._rendered({**context, "add_generation_prompt": add_generation_prompt})

    def _context(self, messages: Sequence[Message], tools: Sequence[Tool]) -> dict[str, Any]:
        for i, message in enumerate(messages):
            message.check(f"messages[{i}]")
        return {
            "messages": [_for_template(message, foreign=not self.native) for message in messages],
            "tools": [tool.to_openai() for tool in tools] or None,
        }

    def _rendered(self, context: Mapping[str, Any]) -> Rendered:
        context = {**self._special, **context}
        try:
            return self._recorder.record(
                self._template.root_render_func(self._template.new_context(context))
            )
        except _TEMPLATE_ERRORS as error:
            raise MessageError("messages", f"the chat template refused them: {error}") from error

    def prompt(
        self, messages: Sequence[Message], tools: Sequence[Tool] = (), **variables: Any
    ) -> str:
        """The text that the model continues with its reply."""
        return self.render(messages, tools, add_generation_prompt=True, **variables).text

    def guarded_prompt(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        *,
        control_tokens: Collection[str] = (),
        **variables: Any,
    ) -> str | tuple[str, ...]:
        """The prompt, cut wherever a message or a tool only spells a control token.

        Joined, the pieces are what `prompt` gives. An engine that tokenises each by itself never
        makes a control token of a user's words; those that the template writes stay whole.

        `control_tokens` are those of the vocabulary, beside the template's own. Our tags are cut
        only where they are among them; else they are text like any other.

        Raises:
            MessageError: the template refused the conversation; or it rewrites such a text, so that
                nothing tells whose words they are.
        """
        context = {**variables, **self._context(messages, tools)}
        tokens = self.control_tokens.union(control_tokens)
        context["add_generation_prompt"] = True
        text = self._rendered(context).text
        if not holds(context, spellings(tokens)):
            return text
        mark = free_mark(context) or ""
        # Some templates take thoughts out of old replies: they must see the tags as they are.
        for own in (tokens, tokens - TAGS) if mark else ():
            guarded = marked({**context, "messages": []}, tokens, mark)
            guarded["messages"] = [
                marked(message, own if message["role"] == "assistant" else tokens, mark)
                for message in context["messages"]
            ]
            pieces = self._rendered(guarded).text.split(mark)
            if "".join(pieces) == text:
                return tuple(pieces) if len(pieces) > 1 else text
        spelled = next(token for token in sorted(tokens) if holds(context, _literally(token)))
        raise MessageError(
            "messages",
            f"they spell the control token {spelled!r}, and the chat template rewrites them",
            "take it out of the text",
        )


def opens_reasoning(prompt: str) -> bool:
    """Whether the prompt itself ends inside a think block, as R1-style templates do."""
    return prompt.rstrip().endswith(THINK)


def _literally(token: str) -> re.Pattern[str]:
    return re.compile(re.escape(token))


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


class _Recorder(threading.local):
    """The rendering that is going on in this thread, so that a block can learn its position."""

    _blocks: list[str]
    _spans: list[tuple[int, int]]
    _counted: int  # of the blocks, how many are in `_length`
    _length: int

    def record(self, blocks: Iterable[str]) -> Rendered:
        self._blocks, self._spans, self._counted, self._length = [], [], 0, 0
        for block in blocks:  # one by one: a block's position is what stands before it
            self._blocks.append(block)
        return Rendered("".join(self._blocks), tuple(self._spans))

    def mark(self, text: str) -> str:
        self._length += sum(map(len, self._blocks[self._counted :]))
        self._counted = len(self._blocks)
        self._spans.append((self._length, self._length + len(text)))
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


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """The filter as transformers has it, options in its order."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


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
    except (jinja2.TemplateSyntaxError, SyntaxError) as error:  # the latter for a stray break
        raise UserError(
            f"The chat template is not valid Jinja, line {error.lineno}: {error}."
        ) from error
    except RecursionError as error:
        raise UserError("The chat template is nested too deeply.") from error
