"""`formosa serve MODEL`: a model behind the OpenAI API. `serve check`: what breaks in a server.

A group that works as a command: what is not the name of a subcommand is the model to serve.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from formosa.cli.default_group import DefaultCommand, DefaultGroup
from formosa.cli.engine_options import engine_options
from formosa.cli.output import Output, command_output
from formosa.cli.serve_check import check, parrot


@click.group(cls=DefaultGroup)
def serve() -> None:
    """Serve a model with the OpenAI API, until Ctrl-C.

    \b
        formosa serve runs/mini
        formosa serve smollm2-135m --template chatml --slots 4
        FORMOSA_SERVE_API_KEY=… formosa serve runs/mini --host 0.0.0.0
        formosa serve hf:org/name --engine vllm --tensor-parallel 4
        formosa serve runs/mini --base-url http://gpu1:8000/v1 --base-url http://gpu2:8000/v1
        formosa serve check http://127.0.0.1:8000/v1

    MODEL is a folder, a run, a .gguf file, hf:org/name or a built-in name. It listens on this
    machine only; another address needs a key.

    With --base-url nothing is loaded here: other servers (vLLM, llama.cpp) continue the text, and
    Formosa renders the prompts and reads the replies. MODEL is then where the template comes from.
    """


# The prefix by hand: the variables are FORMOSA_SERVE_API_KEY and so on, without the hidden name.
@serve.command(
    "model",
    cls=DefaultCommand,
    hidden=True,
    context_settings={"auto_envvar_prefix": "FORMOSA_SERVE"},
)
@click.argument("model", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535),
              help="Port; 0 takes any free one.")  # fmt: skip
@click.option("--api-key", show_envvar=True, help="Ask clients for this key.")
@click.option("--name", help="What clients call the model.  [default: the model's own name]")
@click.option("--queue", default=64, show_default=True, type=click.IntRange(min=0),
              help="Requests that may wait; more get 503 and the time to come again.")  # fmt: skip
@click.option("--grace", default=10.0, show_default=True, type=click.FloatRange(min=0),
              help="Seconds that running replies get when the server stops.")  # fmt: skip
@click.option("--record", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Append each request and reply with its raw text, as JSON lines.")  # fmt: skip
@click.option("--base-url", "base_urls", multiple=True, metavar="URL",
              help="Let this server continue the text. Several share the work.")  # fmt: skip
@click.option("--base-key", show_envvar=True, help="API key for --base-url.")
@engine_options
@command_output
def serve_model(
    out: Output,
    model: str | None,
    host: str,
    port: int,
    api_key: str | None,
    name: str | None,
    queue: int,
    grace: float,
    record: Path | None,
    base_urls: tuple[str, ...],
    base_key: str | None,
    engine: dict[str, Any],
) -> None:
    """Serve a model with the OpenAI API, until Ctrl-C."""
    if not model and not base_urls:
        raise click.UsageError("Name a model, or servers with --base-url.")
    from formosa.engines.open import open_chat, with_adapters
    from formosa.serve.queue import Limits
    from formosa.serve.run import check_host, run_server

    check_host(host, api_key)
    elsewhere: dict[str, Any] = {}
    if base_urls:
        elsewhere = {"base_url": base_urls, "api_key": base_key, "raw": True}
    chat = open_chat(model or "", **engine, **elsewhere, say=out.say)
    models = with_adapters(chat)
    if name:
        models = {name if found is chat else own: found for own, found in models.items()}
    served = list(models)

    def started(url: str) -> None:
        what = f"{', '.join(served)} {'is' if len(served) == 1 else 'are'} served at {url}"
        text = f"{what}\n\n{_curl(url, api_key)}\n"
        out.data({"url": url, "model": served[0], "models": served}, text)
        out.say("Ctrl-C ends it.")

    run_server(
        models,
        host=host,
        port=port,
        api_key=api_key,
        limits=Limits(waiting=queue),
        record=record,
        grace=grace,
        started=started,
    )


def _curl(url: str, api_key: str | None) -> str:
    key = " -H 'Authorization: Bearer '$FORMOSA_SERVE_API_KEY" if api_key else ""
    question = '[{"role": "user", "content": "你好，請介紹台北。"}]'
    body = f'{{"messages": {question}, "temperature": 0, "max_tokens": 100}}'
    return f"curl {url}/chat/completions -H 'Content-Type: application/json'{key} -d '{body}'"


serve.add_command(check)
serve.add_command(parrot)
