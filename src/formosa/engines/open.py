"""From a model's name to something that answers: the one way in for commands and stages."""

from __future__ import annotations

from formosa.chat.template import FAMILIES, ChatTemplate
from formosa.engines.llama import LlamaEngine
from formosa.engines.protocol import ChatModel
from formosa.engines.remote_chat import RemoteChat
from formosa.engines.templated import TemplatedChat
from formosa.errors import UserError
from formosa.models import Say, gguf_file, resolve


def open_chat(
    model: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    context: int = 4096,
    slots: int = 1,
    threads: int | None = None,
    template: str | None = None,
    say: Say | None = None,
) -> ChatModel:
    """A chat model for a name that `formosa.models.resolve` understands, loaded and ready.

    Args:
        model: a built-in name, a run folder, a `.gguf` file or a hub name. With `base_url`, the
            name that the server there uses; empty for the only one it has.
        base_url: ask an OpenAI-compatible server there instead of loading anything here.
        api_key: for that server.
        context: tokens for each slot.
        slots: answers at the same time.
        threads: CPU threads; as many as there are usable cores by default.
        template: a family's name (chatml, llama3, gemma) to use Formosa's format instead of the
            model's own.
        say: takes remarks for the person.

    Raises:
        ModelError: the model can't be found or loaded.
        UserError: an unknown family, or neither a template in the file nor a known family.
    """
    if template is not None and template not in FAMILIES:
        raise UserError(
            f"No template family is called {template}.", f"known: {', '.join(FAMILIES)}"
        )
    if base_url is not None:
        if template is not None:
            raise UserError(
                "A remote server renders its own template.", "leave out --template or --base-url"
            )
        return RemoteChat(base_url, model=model or None, api_key=api_key)
    found = resolve(model, say=say)
    engine = LlamaEngine(
        gguf_file(found),
        name=found.name,
        context=context,
        slots=slots,
        threads=threads,
        sha256=found.sha256(),
    )
    if template is None and engine.info.template is None and engine.family is not None:
        template = engine.family
        if say:
            say(f"{found.name} has no chat template; using Formosa's for {template}")
    chosen = ChatTemplate.formosa(template) if template else engine.info.template
    if say and chosen is not None and "tools" not in chosen.source:
        say(
            f"the chat template of {found.name} knows no tools, so the model will not see any; "
            f"Formosa's own does: --template {engine.family or 'FAMILY'}"
        )
    return TemplatedChat(engine, chosen)
