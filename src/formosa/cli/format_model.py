"""What a model's files say about text: its token ids, its own template, and a second renderer.

Loads no weights of a folder, and a GGUF file as its engine does. The second renderer is the one
that others would use with the same template: llama.cpp for a GGUF file, transformers for a folder.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from formosa.chat.message import Message, Tool
from formosa.chat.template import ChatTemplate
from formosa.errors import UserError
from formosa.models import resolve
from formosa.wheels import Say


class Token(NamedTuple):
    """One token: its id, and the text that it stands for (parts of a character as �)."""

    id: int
    text: str


class FormatModel(Protocol):
    """A model, as far as the format is concerned."""

    template: ChatTemplate | None
    renderer: str

    def tokens(self, text: str) -> list[Token]: ...

    def prompt(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        """The prompt as the second renderer writes it."""
        ...

    def close(self) -> None: ...


def open_format_model(name: str, *, say: Say | None = None) -> FormatModel:
    """The model that `name` means.

    Raises:
        ModelError: nothing has this name.
        UserError: what reads its kind of file is not installed.
    """
    model = resolve(name, say=say)
    return _Gguf(model.path) if model.kind == "gguf" else _Folder(model.path)


class _Gguf:
    renderer = "llama.cpp"

    def __init__(self, path: Path) -> None:
        from formosa.engines.llama import LlamaEngine
        from formosa.engines.vocabulary import Vocabulary

        self._vocabulary = Vocabulary.from_gguf(path)
        self._engine = LlamaEngine(path, context=256)
        self._runner = asyncio.Runner()
        self.template = self._engine.info.template

    def tokens(self, text: str) -> list[Token]:
        ids = self._runner.run(self._engine.tokenize(text))
        return [Token(id, self._vocabulary.written(id).decode(errors="replace")) for id in ids]

    def prompt(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        return self._runner.run(self._engine.render(messages, tools))

    def close(self) -> None:
        self._runner.run(self._engine.aclose())
        self._runner.close()


class _Folder:
    renderer = "transformers"

    def __init__(self, path: Path) -> None:
        try:
            from formosa.checkpoints import load_tokenizer

            self._tokenizer = load_tokenizer(path, own_format=False)
        except ImportError as error:
            raise UserError(
                "transformers is not installed.", "pip install 'formosa-lm[train]'"
            ) from error
        source = self._tokenizer.chat_template
        self.template = None
        if isinstance(source, str):
            self.template = ChatTemplate.from_source(
                source,
                bos_token=self._tokenizer.bos_token or "",
                eos_token=self._tokenizer.eos_token or "",
            )

    def tokens(self, text: str) -> list[Token]:
        ids = self._tokenizer.encode(text, add_special_tokens=False)
        return [Token(id, self._tokenizer.decode([id])) for id in ids]

    def prompt(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        assert self.template is not None
        text = self._tokenizer.apply_chat_template(
            _as_transformers(messages, self.template),
            tools=[tool.to_openai() for tool in tools] or None,
            tokenize=False,
            add_generation_prompt=True,
        )
        return str(text)

    def close(self) -> None:
        pass


def render_elsewhere(
    template: ChatTemplate, messages: Sequence[Message], tools: Sequence[Tool]
) -> str:
    """The prompt of a bare template as transformers renders it.

    Raises:
        UserError: transformers is not installed.
    """
    try:
        from transformers.utils.chat_template_utils import render_jinja_template
    except ImportError as error:
        raise UserError(
            "The second renderer of a template is transformers, which is not installed.",
            "pip install 'formosa-lm[train]', or name a GGUF file with --model",
        ) from error
    rendered: Any = render_jinja_template(
        [_as_transformers(messages, template)],
        tools=[tool.to_openai() for tool in tools] or None,
        chat_template=template.source,
        add_generation_prompt=True,
    )
    texts = rendered[0] if isinstance(rendered, tuple) else rendered
    return str(texts[0])


def _as_transformers(messages: Sequence[Message], template: ChatTemplate) -> list[dict[str, Any]]:
    """Messages with arguments as objects, as most templates want them; ours keeps their text."""
    values = [message.to_openai() for message in messages]
    if not template.native:
        for value, message in zip(values, messages, strict=True):
            for call, source in zip(value.get("tool_calls", ()), message.tool_calls, strict=True):
                call["function"]["arguments"] = source.values()
    return values
