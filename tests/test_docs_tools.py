"""docs/tools.md, run from top to bottom: what it shows is what it prints."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from formosa.cli.main import cli
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.files import read_jsonl

PAGE = Path(__file__).parent.parent / "docs" / "tools.md"


class Block(NamedTuple):
    kind: str
    text: str


BLOCKS = [
    Block(kind, text)
    for kind, text in re.findall(
        r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
]


def call(name: str, arguments: str) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


# What the model says in the conversations of the page, in their order.
SCRIPT = [
    call("get_weather", '{"location": "台北"}'),
    "台北現在 26 度。",
    call("get_weather", '{"location": "台北"}') + call("get_weather", '{"location": "高雄"}'),
    "兩個都是 26 度。",
    call("send_mail", '{"to": "a@example.com", "text": "嗨"}')
    + call("send_mail", '{"to": "b@example.org", "text": "嗨"}'),
    "寄了一封。",
    call("forecast", '{"city": "台北"}'),
    "明天晴。",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Holds the files of the page; `python` there is this one; the model says the script."""
    for block in BLOCKS:
        named = re.match(r"# (\w+\.py)", block.text)
        if named:
            (tmp_path / named[1]).write_text(block.text, encoding="utf-8")
        elif block.kind == "json":
            (tmp_path / "servers.json").write_text(block.text, encoding="utf-8")
    engine = ScriptedEngine(SCRIPT)

    def open_chat(model: str, **options: Any) -> TemplatedChat:
        return TemplatedChat(engine)

    monkeypatch.setattr("formosa.engines.open.open_chat", open_chat)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    yield tmp_path
    sys.modules.pop("my_tools", None)


def test_every_program_prints_what_the_page_shows(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = 0
    for place, block in enumerate(BLOCKS):
        if block.kind != "python" or re.match(r"# \w+\.py", block.text):
            continue
        program = folder / f"block_{place}.py"
        program.write_text(block.text, encoding="utf-8")
        runpy.run_path(str(program), run_name="__main__")
        shown = BLOCKS[place + 1]
        assert shown.kind == "text"
        assert capsys.readouterr().out == shown.text
        ran += 1
    assert ran == 5
    fields = ["time", "id", "name", "arguments", "ok", "seconds", "confirmed", "size", "content"]
    assert [list(line) for _, line in read_jsonl(folder / "calls.jsonl")] == [fields] * 2


def test_every_command_of_the_page_is_accepted(folder: Path) -> None:
    (block,) = [block for block in BLOCKS if block.kind == "console"]
    for line in block.text.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "formosa"
        result = CliRunner().invoke(cli, arguments, input="/tools\n/exit\n")
        assert result.exit_code == 0, (line, result.exception)
        assert "forecast" in result.stderr or "get_weather" in result.stderr
