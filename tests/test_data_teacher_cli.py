"""`formosa data teach`: a real endpoint, a real process, kill -9, and what a person sees."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line import Done, formosa
from formosa.data.rejects import read_rejects
from formosa.data.rows import read_rows
from formosa.data.teacher.config import KINDS
from formosa.files import read_json, read_jsonl
from teacher_server import KEY, TOOLS, Body, Reply, TeacherServer, serving, step_of

PYTHON_TOOLS = """
from formosa import tool

@tool
def add_numbers(a: int, b: int) -> int:
    \"\"\"加總\"\"\"
    if a + b < 0:
        raise ValueError("below zero")
    return a + b

@tool(confirm=True)
def delete_file(name: str) -> str:
    \"\"\"刪除檔案\"\"\"
    return f"已刪除 {name}"
"""


@pytest.fixture
def server() -> Iterator[TeacherServer]:
    with serving() as running:
        yield running


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    path = tmp_path / "tools.json"
    path.write_text(json.dumps([tool.to_openai() for tool in TOOLS]), encoding="utf-8")
    return path


def teach(server: TeacherServer, out: Path, *more: object) -> Done:
    where = ("--base-url", server.url, "--model", "wise", "--out", out)
    return formosa("data", "teach", *where, *more)


def test_rows_are_made_and_their_cost_is_said_before_and_after(
    server: TeacherServer, tools: Path, tmp_path: Path
) -> None:
    prices = ("--price-prompt", 2, "--price-reply", 10)
    done = teach(server, tmp_path / "t", "--tools", tools, "--questions", 12, *prices)
    assert done.code == 0, done.err
    assert "12 questions: at most " in done.err and "; cost " in done.err
    assert "12 rows of 12 questions" in done.out and "refused: none" in done.out
    # 36 answers of 1,000 tokens sent and 100 written
    assert "tokens: 36,000 sent, 3,600 written, in 36 answers; cost 0.108" in done.out
    rows = list(read_rows(tmp_path / "t" / "rows.jsonl"))
    assert len(rows) == 12 and {row.source for row in rows} == {"teacher:wise"}


def test_as_json_it_is_the_report(server: TeacherServer, tools: Path, tmp_path: Path) -> None:
    done = teach(server, tmp_path, "--tools", tools, "--questions", 3, "--json", "--licence", "MIT")
    assert done.json == read_json(tmp_path / "report.json")
    assert done.json["licence"] == "MIT" and done.json["base_url"] == server.url


def test_the_estimate_asks_nothing(server: TeacherServer, tools: Path, tmp_path: Path) -> None:
    out = tmp_path / "t"
    prices = ("--price-prompt", 2, "--price-reply", 10, "--estimate")
    done = teach(server, out, "--tools", tools, "--questions", 1000, *prices)
    assert done.code == 0 and "1000 questions: at most" in done.out
    value = teach(server, out, "--tools", tools, "--questions", 1000, *prices, "--json").json
    tokens = value["tokens"]
    assert tokens["requests"] == 3000 and tokens["reply"] == 3000 * 1024
    assert value["cost"] == pytest.approx((2 * tokens["prompt"] + 10 * tokens["reply"]) / 1e6)
    assert not server.asked and not out.exists()


def test_own_python_tools_are_run_and_those_that_want_consent_are_not(
    server: TeacherServer, tmp_path: Path
) -> None:
    path = tmp_path / "tools.py"
    path.write_text(PYTHON_TOOLS, encoding="utf-8")
    options = ("--tools", path, "--questions", 10, "--kind", "single", "--language", "zh-TW")
    done = teach(server, tmp_path / "a", *options)
    assert done.code == 0, done.err
    assert "calls of them are not run: delete_file" in done.err
    for row in read_rows(tmp_path / "a" / "rows.jsonl"):
        (call,) = row.messages[1].tool_calls
        if call.name == "add_numbers":
            values = call.values()
            assert row.messages[2].content == str(values["a"] + values["b"])
            assert row.messages[3].role == "assistant"
        else:
            assert len(row.messages) == 2
    done = teach(server, tmp_path / "b", *options, "--yes")
    rows = list(read_rows(tmp_path / "b" / "rows.jsonl"))
    assert {len(row.messages) for row in rows} == {4} and "not run" not in done.err
    assert any(row.messages[2].content.startswith("已刪除") for row in rows)


def test_a_tool_that_fails_gives_no_row(tmp_path: Path) -> None:
    def negative(body: Body, reply: Reply) -> Reply:
        if step_of(body) == "question":
            return {**reply, "content": "請算 -5 加 -6"}
        arguments = json.dumps({"a": -5, "b": -6})
        function = {"name": "add_numbers", "arguments": arguments}
        call = {"id": "1", "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}

    path = tmp_path / "tools.py"
    path.write_text(PYTHON_TOOLS.split("@tool(confirm")[0], encoding="utf-8")
    with serving(negative) as server:
        server.brain._means["請算 -5 加 -6"] = []
        options = ("--tools", path, "--questions", 1, "--kind", "single", "--language", "zh-TW")
        done = teach(server, tmp_path / "t", *options)
    assert "0 rows of 1 questions\nrefused: does not run 1" in done.out
    assert f"what was refused, and why: formosa data rejects {tmp_path / 't'}" in done.err
    assert "does not run" in formosa("data", "rejects", tmp_path / "t").out
    (refused,) = read_rejects(tmp_path / "t" / "rejects.jsonl")
    assert "below zero" in refused.detail


def test_topics_kinds_and_languages_are_those_that_were_named(
    server: TeacherServer, tools: Path, tmp_path: Path
) -> None:
    topics = tmp_path / "topics.txt"
    topics.write_text("報稅\n\n勞健保\n", encoding="utf-8")
    options = ("--topics", topics, "--kind", "missing=2", "--kind", "irrelevant")
    done = teach(server, tmp_path / "t", "--tools", tools, "--questions", 12, *options,
                 "--language", "en", "--json")  # fmt: skip
    config = done.json["config"]
    assert config["topics"] == ["報稅", "勞健保"]
    assert config["kinds"] == {"missing": 2.0, "irrelevant": 1.0}
    assert set(done.json["kinds"]) == {"missing", "irrelevant"}
    assert set(done.json["languages"]) == {"en"}


def test_the_catalogue_is_taught_where_no_tools_are_named(
    server: TeacherServer, tmp_path: Path
) -> None:
    done = teach(server, tmp_path, "--questions", 8, "--json")
    assert done.json["rows"] == 8


# -- the key ---------------------------------------------------------------------------------------


def test_the_key_comes_from_the_environment_and_is_in_no_file(
    server: TeacherServer, tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORMOSA_TEACHER_API_KEY", KEY)
    done = teach(server, tmp_path / "t", "--tools", tools, "--questions", 2)
    assert server.keys == {f"Bearer {KEY}"}
    files = list((tmp_path / "t").iterdir())
    assert len(files) == 5
    assert all(KEY.encode() not in file.read_bytes() for file in files)
    assert KEY not in done.out + done.err
    assert "--api-key" not in formosa("data", "teach", "--help").out


def test_a_server_that_quotes_the_key_does_not_bring_it_into_a_file(
    server: TeacherServer, tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As OpenAI does: "Incorrect API key provided: sk-…"."""
    monkeypatch.setenv("FORMOSA_TEACHER_API_KEY", KEY)
    server.status = 401
    done = teach(server, tmp_path / "t", "--tools", tools, "--questions", 2)
    assert done.code == 3 and "no such key: [key]" in done.err
    assert all(KEY.encode() not in file.read_bytes() for file in (tmp_path / "t").iterdir())
    assert KEY not in done.out + done.err


# -- what goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--kind", "singel"], "no kind 'singel'; there are single"),
        (["--kind", "single=much"], "'single=much' has no weight"),
        (["--budget", "1"], "A budget needs prices"),
        (["--tools", "none.json"], "none.json does not exist"),
        (["--tools", "none.py"], "none.py is not a file"),
        (["--topics", "none.txt"], "Cannot read none.txt"),
    ],
)
def test_what_can_t_be_done_is_a_sentence(
    server: TeacherServer, tmp_path: Path, options: list[str], problem: str
) -> None:
    done = teach(server, tmp_path / "t", "--questions", 1, *options)
    assert done.code == 1 and problem in done.err and "Traceback" not in done.err
    assert not server.asked


def test_an_empty_file_of_topics_is_said(server: TeacherServer, tmp_path: Path) -> None:
    (tmp_path / "topics.txt").write_text("\n \n", encoding="utf-8")
    done = teach(server, tmp_path / "t", "--topics", tmp_path / "topics.txt")
    assert done.code == 1 and "holds no topic" in done.err


def test_a_teacher_that_refuses_is_left_alone_and_asked_again_later(
    server: TeacherServer, tools: Path, tmp_path: Path
) -> None:
    server.status = 401
    options = ("--tools", tools, "--questions", 30, "--concurrency", 1)
    done = teach(server, tmp_path / "t", *options)
    assert done.code == 1 and "failed 5 times in a row" in done.err
    assert sum(server.asked.values()) == 5
    server.status = 200
    done = teach(server, tmp_path / "t", *options)
    assert done.code == 0 and "30 rows of 30" in done.out


def test_a_run_with_failed_questions_ends_with_code_3(
    server: TeacherServer, tools: Path, tmp_path: Path
) -> None:
    server.refuses = lambda body: step_of(body) == "reply" and body["seed"] % 4 == 0
    options = ("--tools", tools, "--questions", 12, "--concurrency", 1)
    done = teach(server, tmp_path / "t", *options)
    report = read_json(tmp_path / "t" / "report.json")
    assert done.code == 3
    assert report["not_done"] == len(report["failed"]) > 0
    assert f"not done: {report['not_done']}; the same command continues" in done.out
    server.refuses = lambda body: False
    assert "12 rows of 12 questions" in teach(server, tmp_path / "t", *options).out


# -- kill -9 ---------------------------------------------------------------------------------------


def command(server: TeacherServer, tools: Path, out: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "formosa.cli.main", "data", "teach", "--base-url", server.url),
        *("--model", "wise", "--out", str(out), "--tools", str(tools)),
        *("--questions", "30", "--concurrency", "3"),
    ]


def test_killed_again_and_again_it_asks_nothing_twice_and_ends_as_if_nothing_had_happened(
    tools: Path, tmp_path: Path
) -> None:
    """The endpoint stops answering after so many replies; then the process is killed. What was
    answered and acknowledged is in the journal, so each further run goes on from there."""
    out, whole = tmp_path / "killed", tmp_path / "whole"
    with serving() as server:
        for answers in (1, 20, 17):
            server.answers_left = answers
            server.held.clear()
            with subprocess.Popen(command(server, tools, out), stderr=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL) as child:  # fmt: skip
                assert server.held.wait(60), "it waits for an answer that does not come"
                child.kill()
                assert child.wait() == -9
        server.answers_left = None
        last = subprocess.run(command(server, tools, out), capture_output=True, check=False)
        assert last.returncode == 0, last.stderr
        asked = server.asked
    # An answer that was on its way when the process was killed may be asked for again: at most as
    # many as were under way, two for each of three seeds.
    again = sum(count - 1 for count in asked.values())
    assert again <= 3 * 6
    recorded = [value for _, value in read_jsonl(out / "journal.jsonl")]
    steps = Counter((v["seed"], v["step"]) for v in recorded if v["type"] == "reply")
    assert len(steps) == 90 and set(steps.values()) == {1}
    ends = Counter(v["seed"] for v in recorded if v["type"] == "done")
    assert len(ends) == 30 and set(ends.values()) == {1}
    with serving() as server:
        assert formosa(*command(server, tools, whole)[3:]).code == 0
        assert server.asked.keys() == asked.keys(), "the same seed asks the same"
    for name in ("rows.jsonl", "rejects.jsonl"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert set(KINDS) >= {row.kind for row in read_rows(out / "rows.jsonl")}


def test_stopped_by_ctrl_c_it_leaves_what_was_made(tools: Path, tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    with serving() as server:
        server.answers_left = 45
        with subprocess.Popen(command(server, tools, out), stderr=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, text=True) as child:  # fmt: skip
            assert server.held.wait(60)
            child.send_signal(signal.SIGINT)
            assert child.stderr is not None
            words = child.stderr.read()
            assert child.wait() == 130
    assert "Traceback" not in words and "interrupted; what was finished is kept" in words
    report = read_json(out / "report.json")
    assert report["rows"] == len(list(read_rows(out / "rows.jsonl"))) >= 8
    assert report["rows"] + report["not_done"] == 30
