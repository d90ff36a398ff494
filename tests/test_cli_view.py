"""`formosa view`: what it serves and refuses; and which page a path is exported as."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import types
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from formosa.cli.view import view
from formosa.errors import UserError
from formosa.web.export import PAGES, export

START = '{"type":"start","schema":1}\n'


def run(*arguments: str) -> Result:
    return CliRunner().invoke(view, list(arguments), catch_exceptions=False)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str], str]]:
    """Stands for all pages: notes which was asked, for what."""
    calls: list[tuple[str, list[str], str]] = []

    def find(name: str) -> types.SimpleNamespace:
        def made(paths: Sequence[Path], lang: str) -> str:
            calls.append((name.split(".")[-2], [path.name for path in paths], lang))
            return "<!doctype html>"

        return types.SimpleNamespace(export=made)

    monkeypatch.setattr("formosa.web.export.importlib.import_module", find)
    return calls


class TestWhichPage:
    def test_what_a_path_is_decides(
        self, tmp_path: Path, asked: list[tuple[str, list[str], str]]
    ) -> None:
        for name in ("a.jsonl", "b.jsonl"):
            (tmp_path / name).write_text(START)
        (tmp_path / "m.gguf").touch()
        (tmp_path / "talk.json").write_text("[]")
        (tmp_path / "README.md").write_text("---\n---\n")
        for run_name in ("one", "two"):
            (tmp_path / run_name).mkdir()
            (tmp_path / run_name / "state.json").write_text("{}")
        for names, page in (
            (["a.jsonl"], "evals"),
            (["a.jsonl", "b.jsonl"], "compare"),
            (["m.gguf"], "sheet"),
            (["talk.json"], "chat"),
            (["README.md"], "card"),
            (["one", "two"], "compare"),
        ):
            export([tmp_path / name for name in names], None, "en")
            assert asked[-1] == (page, names, "en")

    def test_a_named_page_is_taken(
        self, tmp_path: Path, asked: list[tuple[str, list[str], str]]
    ) -> None:
        export([tmp_path], "training", "zh-TW")
        assert asked == [("training", [tmp_path.name], "zh-TW")]

    def test_what_could_be_several_pages_says_which(self, tmp_path: Path) -> None:
        (tmp_path / "rows.jsonl").write_text("{}\n")
        (tmp_path / "notes.md").write_text("# no card\n")
        for path in (tmp_path, tmp_path / "rows.jsonl", tmp_path / "notes.md"):
            with pytest.raises(UserError, match="Several pages") as caught:
                export([path], None, "en")
            assert all(name in caught.value.hint for name in PAGES)

    def test_a_missing_path_is_a_sentence(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="does not exist"):
            export([tmp_path / "nothing"], None, "en")


class TestCommand:
    def test_export_writes_the_file_and_says_its_name(
        self, tmp_path: Path, asked: list[tuple[str, list[str], str]]
    ) -> None:
        (tmp_path / "m.gguf").touch()
        target = tmp_path / "new" / "sheet.html"
        target.parent.mkdir()
        result = run(str(tmp_path / "m.gguf"), "--export", str(target), "--json")
        assert json.loads(result.stdout) == {"page": str(target)}
        assert target.read_text() == "<!doctype html>"
        assert asked[0][2] == "zh-TW"

    def test_a_page_without_a_file_is_refused(self, tmp_path: Path) -> None:
        result = run(str(tmp_path), "--page", "sheet")
        assert result.exit_code == 2
        assert "--export" in result.stderr

    def test_a_missing_place_is_refused_before_anything_listens(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="does not exist"):
            run(str(tmp_path / "nothing"), "--port", "0")

    def test_without_a_path_it_shows_the_runs_or_what_is_here(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shown: list[tuple[Path, ...]] = []
        monkeypatch.setattr("formosa.web.view.view_app", lambda places: shown.append(places.roots))
        monkeypatch.setattr("formosa.serve.run.run_app", lambda make, **options: make())
        monkeypatch.chdir(tmp_path)
        run()
        (tmp_path / "runs").mkdir()
        run()
        assert shown == [(Path(),), (Path("runs"),)]


def test_a_real_process_serves_this_machine_until_it_is_interrupted(tmp_path: Path) -> None:
    """The address on standard output, the page behind it, nothing under another name, an end."""
    (tmp_path / "model.gguf").touch()
    command = [
        sys.executable,
        "-m",
        "formosa.cli.main",
        "view",
        str(tmp_path),
        "--port",
        "0",
        "--json",
    ]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        lines = ""
        while not lines.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            lines += line
        url = json.loads(lines)["url"]
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{url}/", timeout=30) as answer:
            assert "model.gguf" in answer.read().decode()
        strange = urllib.request.Request(f"{url}/", headers={"host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(strange, timeout=30)
        refused.value.close()
        assert refused.value.code == 400
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode in (0, 130)
    finally:
        process.kill()
        process.communicate()
