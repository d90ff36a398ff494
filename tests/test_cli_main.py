"""The command: help at once, errors as sentences, exit codes that scripts can use."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import click
import pytest

from formosa import __version__
from formosa.cli import main as main_module
from formosa.cli.main import COMMANDS, cli, explain, main
from formosa.errors import EngineError, FormosaError, ModelError

THREADS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
HEAVY = ("torch", "transformers", "numpy", "xllamacpp", "starlette", "httpx2", "yaml")


def formosa(code: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, where nothing is imported yet."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["no-such-command"]])
def test_help_loads_neither_an_engine_nor_torch(arguments: list[str]) -> None:
    """A command line that takes seconds to say what it can do is not asked."""
    done = formosa(
        "import sys\n"
        "from formosa.cli.main import main\n"
        f"sys.argv = ['formosa', *{arguments!r}]\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "print('loaded:', *sys.modules)\n"
    )
    loaded = set(done.stdout.split("loaded:")[1].split())
    # `formosa.tools` is there: `from formosa import connect, tool` is public, and light. Of the
    # engines only what they promise.
    rooms = {"formosa.serve", "formosa.train", "formosa.data", "formosa.evals"}
    assert loaded & rooms.union(HEAVY) == set()
    engines = {name for name in loaded if name.startswith("formosa.engines")}
    assert engines <= {"formosa.engines", "formosa.engines.protocol"}


def test_the_module_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "formosa.cli.main", "--version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"formosa, version {__version__}\n")


def test_every_group_is_listed_and_can_be_loaded() -> None:
    """The list in main.py must not promise what is not there."""
    context = click.Context(cli)
    assert cli.list_commands(context) == list(COMMANDS)
    for name, (module, _, line) in COMMANDS.items():
        command = cli.get_command(context, name)
        assert isinstance(command, click.Command), module
        assert len(line) < 70


# -- a group made for the test -------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """`formosa try` runs whatever the test puts into `module.action`."""
    module = ModuleType("formosa_test_try")

    @click.command(name="try")
    def run() -> object:
        return module.action()

    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(COMMANDS, "try", (module.__name__, "run", "Try it"))
    monkeypatch.setattr(sys, "argv", ["formosa", "try"])
    for name in THREADS:
        monkeypatch.setenv(name, os.environ.get(name, ""))
    yield module


def code_of(action: object, module: ModuleType) -> object:
    module.action = action  # type: ignore[attr-defined]
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


def raiser(error: BaseException) -> object:
    def action() -> None:
        raise error

    return action


def test_done_is_zero(command: ModuleType) -> None:
    assert code_of(lambda: None, command) == 0
    assert code_of(lambda: {"a": "value"}, command) == 0


def test_a_command_can_finish_with_a_code_of_its_own(command: ModuleType) -> None:
    """3: finished, but some samples failed."""
    assert code_of(lambda: 3, command) == 3
    assert code_of(raiser(click.exceptions.Exit(3)), command) == 3


def test_an_error_is_a_sentence_a_hint_and_no_traceback(
    command: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ModelError("There is no [model].", "formosa models list")
    assert code_of(raiser(error), command) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: There is no [model].\n\nhint: formosa models list\n"


def test_an_engine_s_failure_is_one_too(
    command: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(raiser(EngineError("The server is gone.")), command) == 1
    assert capsys.readouterr().err == "error: The server is gone.\n"


def test_a_bug_keeps_its_traceback(command: ModuleType) -> None:
    command.action = raiser(ZeroDivisionError("a bug"))  # type: ignore[attr-defined]
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main()


def test_an_interruption_is_130_and_says_that_work_is_kept(
    command: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(raiser(KeyboardInterrupt()), command) == 130
    assert "what was finished is kept" in capsys.readouterr().err


def test_a_no_to_a_question_is_not_an_interruption(
    command: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(raiser(click.exceptions.Abort()), command) == 1
    assert capsys.readouterr().err == "stopped\n"


def test_wrong_usage_is_two(
    command: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["formosa", "try", "--no-such-option"])
    assert code_of(lambda: None, command) == 2
    assert "No such option" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["formosa", "no-such-command"])
    assert code_of(lambda: None, command) == 2
    assert "No such command 'no-such-command'" in capsys.readouterr().err


def test_a_reader_that_is_gone_is_not_an_error_with_a_traceback() -> None:
    """`formosa … | head -1`"""
    writer = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "import sys, types, click\n"
            "from formosa.cli import main as m\n"
            "from formosa.cli.output import Output\n"
            "def run():\n"
            "    for i in range(100000): Output().data(i, str(i) * 100)\n"
            "module = types.ModuleType('t')\n"
            "module.run = click.command()(run)\n"
            "sys.modules['t'] = module\n"
            "m.COMMANDS['t'] = ('t', 'run', '')\n"
            "sys.argv = ['formosa', 't']\n"
            "m.main()\n",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None and writer.stderr is not None
    writer.stdout.readline()
    writer.stdout.close()
    talk = writer.stderr.read()
    writer.stderr.close()
    assert writer.wait() == 1
    assert talk == ""


def test_threads_that_wait_spin_for_a_moment_only(
    command: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Barriers that spin starve other work on shared cores; a user's own settings stay."""
    seen = []

    def look() -> None:
        seen.append(tuple(os.environ[name] for name in THREADS))

    for name in THREADS:
        monkeypatch.delenv(name)
    code_of(look, command)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.setenv("GOMP_SPINCOUNT", "0")
    code_of(look, command)
    assert seen == [("passive", "1000"), ("active", "0")]


def test_errors_explain_themselves() -> None:
    assert explain(FormosaError("No.")) == "error: No."
    assert explain(FormosaError("No.", "try this")) == "error: No.\n\nhint: try this"


def test_main_can_be_imported_again_without_effect() -> None:
    assert importlib.import_module("formosa.cli.main") is main_module
