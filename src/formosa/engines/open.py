"""From a model's name to something that answers: the one way in for commands and stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import httpx2

from formosa.chat.template import FAMILIES, ChatTemplate
from formosa.engines.endpoint import ATTEMPTS, Endpoint
from formosa.engines.gguf import read_metadata
from formosa.engines.llama import LlamaEngine
from formosa.engines.pool import EnginePool
from formosa.engines.protocol import ChatModel, ModelInfo, TextEngine
from formosa.engines.remote import RemoteText
from formosa.engines.remote_chat import RemoteChat
from formosa.engines.templated import TemplatedChat
from formosa.engines.tokenizer_files import read_template, read_vocabulary
from formosa.engines.vllm import VllmEngine
from formosa.engines.vllm_command import VllmOptions
from formosa.engines.vocabulary import Vocabulary
from formosa.errors import ModelError, UserError
from formosa.files import sha256_file
from formosa.models import Model, gguf_file, resolve
from formosa.wheels import Say


def open_chat(
    model: str,
    *,
    engine: Literal["llama", "vllm"] = "llama",
    base_url: str | Sequence[str] | None = None,
    api_key: str | None = None,
    raw: bool = False,
    context: int = 4096,
    slots: int = 1,
    threads: int | None = None,
    template: str | None = None,
    adapters: Mapping[str, Path] | None = None,
    vllm: VllmOptions | None = None,
    tools: bool = True,
    held: bool = False,
    say: Say | None = None,
) -> ChatModel:
    """A chat model for a name that `formosa.models.resolve` understands, loaded and ready.

    Args:
        model: a built-in name, a run folder, a `.gguf` file, a base and its adapter
            (`BASE+LORA.gguf`), a checkpoint folder (vLLM) or a hub name. With `base_url`, the name
            that the server there uses, empty for the only one it has; with `raw` also a model whose
            files are here, for its template.
        engine: what loads it. With `base_url`, `vllm` means `raw`.
        base_url: ask an OpenAI-compatible server there instead of loading anything here. Several
            servers of the same model answer as one (with `raw`): the least busy first.
        api_key: for that server.
        raw: render here and use the server's text route; its chat layer is not asked.
        context: tokens for each slot.
        slots: answers at the same time.
        threads: CPU threads; as many as there are usable cores by default.
        template: a family's name (chatml, llama3, gemma) to use Formosa's format instead of the
            model's own.
        adapters: LoRA adapters by name; `with_adapters` gives a chat model for each.
        vllm: how vLLM is to run.
        tools: whether the model is to be shown tools; it is said where its template knows none.
        held: whether calls are held to the schemas of their tools (`TemplatedChat`).
        say: takes remarks for the person.

    Raises:
        ModelError: the model can't be found or loaded.
        UserError: an unknown family, neither a template in the file nor a known family, or options
            that contradict each other.
    """
    if template is not None and template not in FAMILIES:
        raise UserError(
            f"No template family is called {template}.", f"known: {', '.join(FAMILIES)}"
        )
    if base_url is not None:
        urls = [base_url] if isinstance(base_url, str) else list(base_url)
        if adapters:
            raise UserError("Adapters are loaded here, not on a server.", "leave out --base-url")
        if raw or engine == "vllm":
            return _raw(model, urls, api_key, template, tools, held, say)
        if held:
            raise UserError(
                "A remote server writes calls as it will.",
                "leave out --hold-calls, or put Formosa in front: "
                f"formosa serve --base-url {urls[0]} --hold-calls",
            )
        if template is not None:
            raise UserError(
                "A remote server renders its own template.",
                "leave out --template or --base-url, or put Formosa in front: "
                f"formosa serve --base-url {urls[0]} --template {template}",
            )
        if len(urls) != 1:
            raise UserError(
                "Several servers answer as one only behind Formosa.",
                "formosa serve MODEL --base-url URL --base-url URL",
            )
        return RemoteChat(urls[0], model=model or None, api_key=api_key)
    found = resolve(model, say=say)
    if engine == "vllm":
        return _vllm(found, template, context, slots, adapters, vllm, tools, held, say)
    if found.adapter is not None:
        return _adapted(found, template, context, slots, threads, adapters, tools, held, say)
    llama = LlamaEngine(
        gguf_file(found),
        name=found.name,
        context=context,
        slots=slots,
        threads=threads,
        sha256=found.sha256(),
        adapters=adapters,
    )
    chosen = _chosen(template, llama.info, llama.family, tools, say)
    return TemplatedChat(llama, chosen, held=held)


def _adapted(
    found: Model,
    template: str | None,
    context: int,
    slots: int,
    threads: int | None,
    adapters: Mapping[str, Path] | None,
    tools: bool,
    held: bool,
    say: Say | None,
) -> TemplatedChat:
    """A base that answers with the adapter that belongs to the model's name."""
    assert found.adapter is not None
    if adapters:
        raise UserError(
            f"{found.name} is an adapter itself, so it takes no others.",
            f"name the base, {found.base}, and every adapter with --adapter",
        )
    llama = LlamaEngine(
        found.path,
        name=found.base,
        context=context,
        slots=slots,
        threads=threads,
        sha256=sha256_file(found.path),
        adapters={found.name: found.adapter},
    )
    engine = llama.with_adapter(found.name)
    chosen = _chosen(template, engine.info, llama.family, tools, say)
    return TemplatedChat(engine, chosen, held=held)


@runtime_checkable
class _Adaptable(Protocol):
    @property
    def adapters(self) -> tuple[str, ...]: ...

    def with_adapter(self, name: str) -> TextEngine: ...


def with_adapters(chat: ChatModel) -> dict[str, ChatModel]:
    """A chat model and one for each of its adapters, by name; closing one closes all."""
    models = {chat.info.name: chat}
    if isinstance(chat, TemplatedChat) and isinstance(chat.engine, _Adaptable):
        for name in chat.engine.adapters:
            engine = chat.engine.with_adapter(name)
            models[name] = TemplatedChat(engine, chat.template, held=chat.held)
    return models


def _vllm(
    found: Model,
    template: str | None,
    context: int,
    slots: int,
    adapters: Mapping[str, Path] | None,
    options: VllmOptions | None,
    tools: bool,
    held: bool,
    say: Say | None,
) -> TemplatedChat:
    if found.kind != "folder":
        raise UserError(
            f"{found.adapter or found.path} is a GGUF file; vLLM takes checkpoint folders.",
            "name a folder or hf:org/name, or use --engine llama",
        )
    # Before anything is loaded: a minute later would be late.
    own = ModelInfo(found.name, template=read_template(found.path))
    vocabulary = read_vocabulary(found.path)
    family = vocabulary.family if vocabulary else None
    chosen = _chosen(template, own, family, tools, say)
    if chosen is None:
        raise UserError(
            f"{found.name} has no chat template.",
            "name one of Formosa's families with --template (chatml, llama3, gemma)",
        )
    engine = VllmEngine(
        found.path,
        name=found.name,
        context=context,
        slots=slots,
        sha256=found.sha256(),
        adapters=adapters,
        options=options,
        say=say,
    )
    return TemplatedChat(engine, chosen, held=held)


def _raw(
    model: str,
    urls: Sequence[str],
    api_key: str | None,
    template: str | None,
    tools: bool,
    held: bool,
    say: Say | None,
) -> TemplatedChat:
    """The text route of one or more servers, with a template that is known here."""
    served: str | None = model or None
    info: ModelInfo | None = None
    vocabulary: Vocabulary | None = None
    if model:
        try:
            found = resolve(model, say=say)
        except ModelError:  # a name that only the server knows
            if template is None and _served_template(urls[0], api_key) is None:
                raise
        else:
            served = None
            own, vocabulary = _files(found)
            control = vocabulary.control_tokens if vocabulary else frozenset()
            details = {"engine": "remote"}
            info = ModelInfo(found.name, template=own, details=details, control_tokens=control)
    if info is None and template is None:
        own = _served_template(urls[0], api_key)
        if own is not None:
            info = ModelInfo(served or "", template=own, details={"engine": "remote"})
    # Where there is another server, a broken one is not waited for.
    attempts = ATTEMPTS if len(urls) == 1 else 2
    engines: list[TextEngine] = [
        RemoteText(
            url,
            model=served,
            api_key=api_key,
            info=info,
            attempts=attempts,
            vocabulary=vocabulary,
        )
        for url in urls
    ]
    engine = engines[0] if len(engines) == 1 else EnginePool(engines)
    family = vocabulary.family if vocabulary else None
    chosen = _chosen(template, engine.info, family, tools, say)
    return TemplatedChat(engine, chosen, held=held)


def _served_template(url: str, api_key: str | None) -> ChatTemplate | None:
    """What llama.cpp's `/props` says of the template of the model that it has loaded."""
    checked = Endpoint(url)
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        answer = httpx2.get(
            f"{checked.root}/props", headers=headers, timeout=10, trust_env=not checked.here
        )
        props = answer.json() if answer.status_code == 200 else {}
    except (httpx2.HTTPError, ValueError):
        return None
    source = props.get("chat_template") if isinstance(props, dict) else None
    if not isinstance(source, str) or not source:
        return None
    tokens = {name: str(props.get(name) or "") for name in ("bos_token", "eos_token")}
    return ChatTemplate.from_source(source, **tokens)


def _files(found: Model) -> tuple[ChatTemplate | None, Vocabulary | None]:
    if found.kind == "folder":
        return read_template(found.path), read_vocabulary(found.path)
    vocabulary = Vocabulary.from_gguf(found.path)
    source = read_metadata(found.path).get("tokenizer.chat_template")
    if not isinstance(source, str):
        return None, vocabulary
    bos, eos = vocabulary.begin_and_end
    return ChatTemplate.from_source(source, bos_token=bos, eos_token=eos), vocabulary


def _chosen(
    template: str | None, info: ModelInfo, family: str | None, tools: bool, say: Say | None
) -> ChatTemplate | None:
    """The template that was named, the model's own, or that of its family."""
    if template is None and info.template is None and family is not None:
        template = family
        if say:
            say(f"{info.name} has no chat template; using Formosa's for {template}")
    chosen = ChatTemplate.formosa(template) if template else info.template
    if say and tools and chosen is not None and "tools" not in chosen.source:
        say(
            f"the chat template of {info.name} knows no tools, so the model will not see any; "
            f"Formosa's own does: --template {family or 'FAMILY'}"
        )
    return chosen
