"""The command `formosa`: finds the group, and turns errors into sentences and exit codes.

Exit codes: 0 done · 1 the person can put it right · 2 usage · 3 finished, but some samples failed
· 130 interrupted. A real bug keeps its traceback.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

from formosa import __version__
from formosa.errors import FormosaError
from formosa.processor import wait_briefly

# name → (module, attribute, one line of help). The line stands here so that help loads nothing.
COMMANDS = {
    "run": ("formosa.cli.run", "run", "Run a recipe: data → train → export → serve → eval → card"),
    "models": ("formosa.cli.models", "models", "Find and fetch models"),
    "chat": ("formosa.cli.chat", "chat", "Talk to a model; see how messages become text"),
    "serve": ("formosa.cli.serve", "serve", "Serve a model with the OpenAI API"),
    "data": ("formosa.cli.data", "data", "Prepare, inspect and generate training rows"),
    "train": ("formosa.cli.train", "train", "Fine-tune a model"),
    "export": ("formosa.cli.export", "export", "Merge, write GGUF, check parity"),
    "eval": ("formosa.cli.eval", "evals", "Ask benchmarks, read and compare their logs"),
    "view": ("formosa.cli.view", "view", "Look at runs, answers, trainings, cards in the browser"),
    "card": ("formosa.cli.card", "card", "Write and verify a model card"),
    "doctor": ("formosa.cli.doctor", "doctor", "What is installed here and what it can do"),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"auto_envvar_prefix": "FORMOSA", "help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="formosa")
def cli() -> None:
    """The whole life of a small zh-TW, tool-calling language model.

    \b
        formosa run recipes/mini.yaml     # everything, on two cores, in ten minutes
        formosa chat smollm2-135m         # talk to a built-in model
        formosa doctor                    # what this machine can do
    """


def main() -> None:
    """Entry point of the console script."""
    wait_briefly()
    try:
        code = cli.main(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt) as error:
        # click turns Ctrl-C into Abort, which is also the "no" to a question.
        if isinstance(error, click.exceptions.Abort) and not isinstance(
            error.__cause__, KeyboardInterrupt
        ):
            print("stopped", file=sys.stderr)  # noqa: T201
            sys.exit(1)
        print("interrupted; what was finished is kept", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except FormosaError as error:
        print(explain(error), file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output is gone (`formosa … | head`); nothing is left to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def explain(error: FormosaError) -> str:
    """The sentence, and the next command to try. It may quote a server, or a model's template."""
    from formosa.cli.output import visible

    return visible(f"error: {error.message}" + (f"\n\nhint: {error.hint}" if error.hint else ""))


if __name__ == "__main__":
    main()
