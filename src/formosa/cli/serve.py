"""`formosa serve`: a model behind the OpenAI API."""

from __future__ import annotations

import click

from formosa.cli.output import Output, command_output


@click.command()
@click.argument("model")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535),
              help="Port; 0 takes any free one.")  # fmt: skip
@click.option("--api-key", show_envvar=True, help="Ask clients for this key.")
@click.option("--context", default=4096, show_default=True, type=click.IntRange(min=16),
              help="Tokens of prompt and reply together, for each slot.")  # fmt: skip
@click.option("--slots", default=1, show_default=True, type=click.IntRange(min=1),
              help="Replies at the same time; more wait.")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: all cores]")
@click.option("--template", metavar="FAMILY",
              help="Formosa's format (chatml, llama3, gemma), not the model's own.")  # fmt: skip
@click.option("--name", help="What clients call the model.  [default: the model's own name]")
@command_output
def serve(
    out: Output,
    model: str,
    host: str,
    port: int,
    api_key: str | None,
    context: int,
    slots: int,
    threads: int | None,
    template: str | None,
    name: str | None,
) -> None:
    """Serve a model with the OpenAI API, until Ctrl-C.

    \b
        formosa serve runs/mini
        formosa serve smollm2-135m --template chatml --port 8080
        FORMOSA_SERVE_API_KEY=… formosa serve runs/mini --host 0.0.0.0 --slots 4

    It listens on this machine only; another address needs a key.
    """
    from formosa.engines.open import open_chat
    from formosa.serve.run import check_host, run_server

    check_host(host, api_key)
    chat = open_chat(
        model, context=context, slots=slots, threads=threads, template=template, say=out.say
    )
    served = name or chat.info.name

    def started(url: str) -> None:
        out.data({"url": url, "model": served}, f"{served} is served at {url}\n\n{_curl(url)}\n")
        out.say("Ctrl-C ends it.")

    def _curl(url: str) -> str:
        key = " -H 'Authorization: Bearer '$FORMOSA_SERVE_API_KEY" if api_key else ""
        question = '[{"role": "user", "content": "你好，請介紹台北。"}]'
        body = f'{{"messages": {question}, "temperature": 0, "max_tokens": 100}}'
        return f"curl {url}/chat/completions -H 'Content-Type: application/json'{key} -d '{body}'"

    run_server({served: chat}, host=host, port=port, api_key=api_key, started=started)
