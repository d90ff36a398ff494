"""`formosa eval` as a person types it: what is printed where, and the exit codes."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

from evals_arithmetic import arithmetic, scored, start
from formosa.cli.main import cli
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import HELD, TemplatedChat
from formosa.errors import DataError, EngineError, LogError, UserError
from formosa.evals import lanes, registry
from formosa.results.log import read_log
from formosa.results.log_writer import LogWriter
from formosa.results.metrics import summary

Answer = Callable[[str], str]


class Opened:
    """Stands in for `open_chat`: says what it was asked to open, and hands out a scripted model."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.engines: list[ScriptedEngine] = []
        self.held: list[bool] = []
        self.answer: Answer = lambda prompt: "\\box{A}"

    def __call__(self, model: str, **how: Any) -> TemplatedChat:
        how.pop("say")
        held = how.pop("held", False)
        self.held.append(held)
        self.asked.append({"model": model, **how})
        self.engines.append(ScriptedEngine(lambda prompt: self.answer(prompt), name="tiny/model"))
        return TemplatedChat(self.engines[-1], held=held)

    def server(self, url: str, **how: Any) -> TemplatedChat:
        """Stands in for `AskingChat`."""
        made = self(how.pop("model") or "", base_url=url, say=None, **how)
        made.prepare = lambda: asyncio.sleep(0)  # type: ignore[attr-defined]
        return made


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    made = Opened()
    monkeypatch.setattr("formosa.engines.open.open_chat", made)
    monkeypatch.setattr("formosa.engines.asking.AskingChat", made.server)
    monkeypatch.setattr(lanes, "sleep", lambda seconds: asyncio.sleep(0))
    yield made


def formosa(*arguments: object) -> Result:
    return CliRunner().invoke(
        cli, ["eval", *map(str, arguments)], standalone_mode=False, catch_exceptions=True
    )


def done(*arguments: object) -> Result:
    result = formosa(*arguments)
    if result.exception:
        raise result.exception
    return result


def test_a_run_prints_scores_with_intervals_and_all_five_outcomes(
    tmp_path: Path, opened: Opened
) -> None:
    result = done("run", "mini-zh-tw", "--model", "tiny", "--limit", "8", "--out", tmp_path)
    assert result.return_value == 0
    for word in ("mini-zh-tw", "box", "pattern", "95 %", "correct", "wrong", "unparsed",
                 "truncated", "failed"):  # fmt: skip
        assert word in result.stdout
    assert "tiny-model-mini-zh-tw.jsonl" in result.stderr
    log = read_log(tmp_path / "tiny-model-mini-zh-tw.jsonl")
    assert len(log.samples) == 8
    assert opened.asked == [
        {"model": "tiny", "context": 4096, "slots": 4, "template": None},
    ]


def test_the_same_command_again_asks_nothing(tmp_path: Path, opened: Opened) -> None:
    command = ("run", "mini-zh-tw", "--model", "tiny", "--limit", 8, "--out", tmp_path)
    done(*command)
    result = done(*command)
    assert "8 of 8 answers are there" in result.stderr
    assert opened.engines[1].prompts == []


def test_a_run_with_json_is_one_document_of_shares(tmp_path: Path, opened: Opened) -> None:
    result = done("run", "mini-zh-tw", "--model", "t", "--limit", 8, "--out", tmp_path, "--json")
    (value,) = json.loads(result.stdout)
    assert value["finished"]
    box = value["scorers"]["box"]
    assert sum(box["outcomes"].values()) == 8
    assert 0 <= box["score"]["low"] <= box["score"]["value"] <= box["score"]["high"] <= 1


def test_failed_samples_give_exit_code_3_and_retry_asks_for_them_alone(
    tmp_path: Path, opened: Opened
) -> None:
    def broken(prompt: str) -> str:
        if "最高的山" in prompt:
            raise EngineError("The server broke.")
        return "\\box{A}"

    opened.answer = broken
    result = done("run", "mini-zh-tw", "--model", "tiny", "--out", tmp_path)
    log = tmp_path / "tiny-model-mini-zh-tw.jsonl"
    assert result.return_value == 3
    assert "1 samples failed: The server broke." in result.stderr
    assert f"hint: formosa eval retry {log}" in result.stderr

    opened.answer = lambda prompt: "\\box{A}"
    result = done("retry", log)
    assert result.return_value == 0
    assert len(opened.engines[-1].prompts) == 1
    assert opened.asked[-1]["model"] == "tiny/model"  # as the log says
    assert read_log(log).failed() == []

    result = done("retry", log)
    assert "0 failed and 0 missing" in result.stderr
    assert len(opened.asked) == 2  # nothing to ask: no model is loaded


def test_a_dry_run_shows_the_plan_and_three_prompts_and_asks_nothing(
    tmp_path: Path, opened: Opened
) -> None:
    command = ("run", "mini-zh-tw", "--model", "t", "--repeats", 3, "--out", tmp_path, "--dry-run")
    result = done(*command)
    assert result.stdout.count("<|im_start|>system\n使用者將提供一個題目") == 3
    assert "120" in result.stdout  # requests
    assert opened.engines[0].prompts == []
    assert list(tmp_path.iterdir()) == []
    value = json.loads(done(*command, "--json").stdout)
    assert value["plan"][0]["requests"] == 120
    assert len(value["prompts"]) == 3


def test_a_run_needs_a_model_and_a_task_that_exists(opened: Opened) -> None:
    assert "Name a model" in str(formosa("run", "mini-zh-tw").exception)
    error = formosa("run", "mini-zh", "--model", "t").exception
    assert isinstance(error, DataError)
    assert "Did you mean mini-zh-tw?" in error.message
    assert opened.asked == []  # nothing is loaded for a mistyped name


def test_a_server_is_asked_by_its_address(tmp_path: Path, opened: Opened) -> None:
    url = "http://127.0.0.1:8000/v1"
    done("run", "mini-zh-tw", "--base-url", url, "--limit", 1, "--out", tmp_path,
         "--concurrency", 9)  # fmt: skip
    assert opened.asked[0]["model"] == ""
    assert opened.asked[0]["base_url"] == url
    done("run", "mini-zh-tw", "--base-url", url, "--base-url", url + "/", "--api-key", "k",
         "--limit", 4, "--out", tmp_path / "two")  # fmt: skip
    assert [asked["base_url"] for asked in opened.asked[1:]] == [url, url + "/"]
    assert opened.asked[-1]["api_key"] == "k"


def test_calls_that_are_held_are_in_the_log_and_held_again(tmp_path: Path, opened: Opened) -> None:
    """Or a retry would mix two ways of asking in one score."""
    fails = True

    def answer(prompt: str) -> str:
        if fails and "?" not in prompt:
            raise EngineError("gone")
        return "\\box{A}"

    opened.answer = answer
    words = ["run", "mini-zh-tw", "--model", "tiny", "--limit", 3, "--out", tmp_path / "logs"]
    formosa(*words, "--hold-calls")
    (log,) = (tmp_path / "logs").rglob("*.jsonl")
    assert read_log(log).start["model"]["details"]["calls"] == HELD
    fails = False
    done("retry", log)
    assert opened.held == [True, True]
    with pytest.raises(UserError, match="as it will"):
        done(*words[:2], "--base-url", "http://127.0.0.1:9/v1", "--hold-calls")


def test_a_retry_finds_the_server_that_the_log_names(tmp_path: Path, opened: Opened) -> None:
    url = "http://127.0.0.1:8000/v1"
    for name, expected in (("127.0.0.1:8000", ""), ("f1", "f1")):
        path = tmp_path / f"{expected}.jsonl"
        model = {"name": name, "path": None, "details": {"base_url": url}}
        task = {**start()["task"], "name": "mini-zh-tw"}
        LogWriter(path, start(task=task, model=model, request={"temperature": 0.0})).close()
        with pytest.raises(LogError, match="belongs to another run"):  # ours is scripted
            done("retry", path)
        assert opened.asked[-1]["model"] == expected
        assert opened.asked[-1]["base_url"] == url


@pytest.fixture
def two_logs(tmp_path: Path) -> tuple[Path, Path]:
    """base: 2 of 10 right; trained: 8 of 10."""
    paths = tmp_path / "base-sums.jsonl", tmp_path / "trained-sums.jsonl"
    for path, correct in zip(paths, (2, 8), strict=True):
        message = {"role": "assistant", "content": "\x1b[31mred [bold]text"}
        reply = {"text": message["content"], "message": message}
        with LogWriter(path, start(samples=10)) as writer:
            for n in range(10):
                outcome = "correct" if n < correct else "unparsed" if n == 9 else "wrong"
                subject = "even" if n % 2 == 0 else "odd"
                writer.append(scored(f"q{n}", outcome, subject=subject, reply=reply, gold=n))
            writer.finish(summary)
    return paths


def test_view_shows_scores_subjects_and_a_few_misses(two_logs: tuple[Path, Path]) -> None:
    result = done("view", two_logs[0], "--samples", 2, "--subjects")
    assert "20.0" in result.stdout
    assert "20.0 (5.7–51.0)" in result.stdout  # Wilson for 2 of 10
    assert "even" in result.stdout
    assert "even" not in done("view", two_logs[0]).stdout
    assert "q2 · repeat 0 · wrong" in result.stdout
    assert "q3" in result.stdout
    assert "q4" not in result.stdout
    assert "6 more" in result.stderr


def test_view_shows_a_models_words_without_letting_them_steer_the_terminal(
    two_logs: tuple[Path, Path],
) -> None:
    result = done("view", two_logs[0])
    assert "\x1b[31m" not in result.stdout
    assert "red [bold]text" in result.stdout


def test_view_filters_by_outcome(two_logs: tuple[Path, Path]) -> None:
    value = json.loads(done("view", two_logs[0], "--outcome", "unparsed", "--json").stdout)
    assert [sample["id"] for sample in value["samples"]] == ["q9"]
    assert value["scorers"]["exact"]["outcomes"]["unparsed"] == 1
    with pytest.raises(UserError, match="no scorer box"):
        done("view", two_logs[0], "--scorer", "box")


def test_view_of_an_interrupted_log_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    LogWriter(path, start()).close()
    assert "interrupted" in done("view", path).stderr
    assert json.loads(done("view", path, "--json").stdout)["scorers"] == {}


def test_compare_is_paired_and_says_how_sure_it_is(two_logs: tuple[Path, Path]) -> None:
    result = done("compare", *two_logs)
    assert "+60.0 (" in result.stdout
    assert "0.0312" in result.stdout  # 6 against 0: 2/64
    value = json.loads(done("compare", *two_logs, "--json").stdout)
    exact = value["scorers"]["exact"]
    assert (exact["better"], exact["worse"], exact["questions"]) == (6, 0, 10)
    assert [row["id"] for row in exact["changed"]] == [f"q{n}" for n in range(2, 8)]


def test_compare_refuses_logs_of_different_tasks(
    tmp_path: Path, two_logs: tuple[Path, Path]
) -> None:
    path = tmp_path / "other.jsonl"
    with LogWriter(path, start(task={"name": "other"})) as writer:
        writer.append(scored("q1"))
    with pytest.raises(LogError, match="cannot be compared"):
        done("compare", two_logs[0], path)


def test_ls_lists_logs_and_passes_over_other_files(
    tmp_path: Path, two_logs: tuple[Path, Path]
) -> None:
    (tmp_path / "data.jsonl").write_text('{"id": 1}\n')
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_bytes(two_logs[0].read_bytes() + b"{}\n")
    result = done("ls", tmp_path, "--json")
    rows = json.loads(result.stdout)
    assert [(row["% correct"], row["answers"], row["state"]) for row in rows] == [
        ("20.0", "10/10", "finished"),
        ("80.0", "10/10", "finished"),
    ]
    assert f"{damaged}:13 is damaged" in result.stderr
    assert "\nbase-sums.jsonl" in done("ls", tmp_path).stdout


def test_tasks_are_listed() -> None:
    assert "bfcl-parallel-multiple" in done("tasks").stdout


@pytest.mark.parametrize(
    "command", ["run", "retry", "ls", "tasks", "view", "compare", "merge", "score", "export"]
)
def test_help_begins_with_lines_to_paste(command: str) -> None:
    lines = [line.strip() for line in formosa(command, "--help").stdout.splitlines() if line]
    assert any(line.startswith(f"formosa eval {command}") for line in lines[1:4])


# -- shards, scores and exports -------------------------------------------------------------------


def shard_logs(tmp_path: Path, *numbers: int) -> list[Path]:
    for number in numbers:
        done("run", "mini-zh-tw", "--model", "t", "--limit", 8, "--out", tmp_path,
             "--shard", f"{number}/3")  # fmt: skip
    return [tmp_path / f"tiny-model-mini-zh-tw-{number}of3.jsonl" for number in numbers]


def test_shards_are_merged_and_a_missing_one_is_named(tmp_path: Path, opened: Opened) -> None:
    one, three = shard_logs(tmp_path, 1, 3)
    merged = tmp_path / "merged.jsonl"
    result = done("merge", merged, one, three)
    assert result.return_value == 3
    assert "shard 2 of 3 not given" in result.stderr
    assert f"formosa eval retry {merged}" in result.stderr
    (two,) = shard_logs(tmp_path, 2)
    result = done("merge", merged, two)
    assert result.return_value == 0
    assert "8×1" in result.stdout
    assert "is no shard" in str(formosa("run", "mini-zh-tw", "--model", "t", "--shard", "3")
                                .exception)  # fmt: skip


def test_a_shard_is_retried_as_a_shard(tmp_path: Path, opened: Opened) -> None:
    (path,) = shard_logs(tmp_path, 2)
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:2]), encoding="utf-8")
    assert done("retry", path).return_value == 0
    assert len(opened.engines[-1].prompts) == 2
    assert len(read_log(path).samples) == 3


def test_an_old_log_is_scored_again(tmp_path: Path, opened: Opened) -> None:
    done("run", "mini-zh-tw", "--model", "t", "--limit", 8, "--out", tmp_path)
    log = tmp_path / "tiny-model-mini-zh-tw.jsonl"
    result = done("score", log)
    assert result.return_value == 0
    new = read_log(tmp_path / "tiny-model-mini-zh-tw-rescored.jsonl")
    assert new.end is not None
    assert new.end["scores"] == read_log(log).end["scores"]  # type: ignore[index]


def test_ready_outputs_are_scored_and_what_is_missing_is_said(tmp_path: Path) -> None:
    outputs = tmp_path / "replies.jsonl"
    outputs.write_text('{"id": "mini-01", "text": "\\\\box{A}"}\n')
    command = ("score", "--outputs", outputs, "--task", "mini-zh-tw", "--model", "f1")
    result = done(*command, "--out", tmp_path / "f1.jsonl", "--json")
    assert result.return_value == 3
    assert "39 of 40 replies are missing" in result.stderr
    assert json.loads(result.stdout)["model"]["name"] == "f1"
    assert "--task and --model" in str(formosa("score", "--outputs", outputs).exception)
    assert "Name LOGs" in str(formosa("score").exception)
    two = ("score", outputs, outputs, "--out", tmp_path / "x")
    assert "one log" in str(formosa(*two).exception)


def test_a_log_is_exported_with_its_questions(tmp_path: Path, opened: Opened) -> None:
    done("run", "mini-zh-tw", "--model", "t", "--limit", 4, "--out", tmp_path)
    log = tmp_path / "tiny-model-mini-zh-tw.jsonl"
    result = done("export", log, "--to", "inspect", "--questions")
    path = log.with_suffix(".inspect.json")
    assert f"wrote {path}" in result.stderr
    (first, *_) = json.loads(path.read_bytes())["samples"]
    assert "使用者將提供" in first["input"][0]["content"]
    pytest.importorskip("pyarrow")
    done("export", log, "--to", "parquet")
    assert log.with_suffix(".parquet").stat().st_size > 0
    empty = tmp_path / "empty.jsonl"
    LogWriter(empty, start()).close()
    assert "no answers yet" in str(formosa("export", empty, "--to", "inspect").exception)


def test_view_of_several_logs_gives_the_figures_over_tasks(tmp_path: Path) -> None:
    paths = []
    for name in ("simple", "multiple", "parallel", "parallel-multiple"):
        paths.append(tmp_path / f"{name}.jsonl")
        task = {"name": f"bfcl-{name}", "version": 1}
        with LogWriter(paths[-1], start(task=task, samples=4, scorers=("ast",))) as writer:
            for n in range(4):
                record = scored(f"q{n}", "correct" if n else "wrong")
                writer.append({**record, "scores": {"ast": record["scores"]["exact"]}})
            writer.finish(summary)
    result = done("view", *paths)
    assert "ast_mean" in result.stdout
    assert "75.0" in result.stdout
    value = json.loads(done("view", *paths, "--json").stdout)
    assert any(figure.endswith("ast_mean") for figure in value["aggregates"]["m"]["ast"])


def test_view_shows_tokens_time_and_purity(tmp_path: Path, opened: Opened) -> None:
    opened.answer = lambda prompt: "这個視頻 \\box{A}"
    done("run", "mini-zh-tw", "--model", "t", "--limit", 4, "--out", tmp_path)
    log = tmp_path / "tiny-model-mini-zh-tw.jsonl"
    result = done("view", log)
    for word in ("prompt tokens", "reply tokens", "median s", "25.00", "50.00"):
        assert word in result.stdout
    value = json.loads(done("view", log, "--json").stdout)
    assert value["purity"] == {"han": 16, "simplified": 0.25, "mainland": 0.5}
    assert value["effort"]["answers"] == 4


def test_compare_lists_what_changed_and_notes_noise(two_logs: tuple[Path, Path]) -> None:
    result = done("compare", *two_logs, "--changed", 2)
    assert "noise" not in result.stderr
    assert "q2" in result.stdout
    assert "q4" not in result.stdout
    assert "4 more changed: --changed 6" in result.stderr
    same = done("compare", two_logs[0], two_logs[0])
    assert "inside the noise" in same.stderr


def test_a_private_tasks_prompts_are_not_shown(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = dataclasses.replace(arithmetic(), private=True)
    monkeypatch.setattr("formosa.cli.eval.load_task", lambda name, **how: task)
    result = done("run", "sums", "--model", "t", "--dry-run")
    assert "sum-0" not in result.stdout + result.stderr
    assert "its questions are not to be shown" in result.stderr


def test_a_server_that_is_gone_is_left_out_where_there_are_others(
    tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    def server(url: str, **how: Any) -> Any:
        made = Opened.server(opened, url, **how)
        if "dead" in url:

            async def nobody() -> None:
                raise EngineError("dead:1 can't be reached.")

            made.prepare = nobody  # type: ignore[attr-defined]
        return made

    monkeypatch.setattr("formosa.engines.asking.AskingChat", server)
    command = ("run", "mini-zh-tw", "--limit", 4, "--out", tmp_path, "--base-url")
    result = done(*command, "http://dead:1/v1", "--base-url", "http://alive:1/v1")
    assert "It is left out." in result.stderr
    assert isinstance(formosa(*command, "http://dead:1/v1").exception, EngineError)
    error = formosa(*command, "http://alive:1/v1", "--template", "chatml").exception
    assert isinstance(error, UserError)


def test_replies_that_mostly_could_not_be_read_are_a_warning(
    tmp_path: Path, opened: Opened
) -> None:
    """A broken decoder or prompt looks like a bad model otherwise."""
    command = ("run", "mini-zh-tw", "--model", "t", "--limit", 8, "--out")
    assert "could not be read" not in done(*command, tmp_path / "good").stderr
    opened.answer = lambda prompt: "我不知道"
    result = done(*command, tmp_path / "bad")
    assert "box: 100.0 % of the replies could not be read" in result.stderr
    assert "--scorer box --outcome unparsed" in result.stderr
    log = tmp_path / "bad" / "tiny-model-mini-zh-tw.jsonl"
    assert "could not be read" in done("view", log).stderr


def test_a_log_s_questions_are_asked_and_scored_again_at_its_own_revision(
    tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data set may have new commits since the run began; the log names the one it is of."""
    chosen, asked = "a" * 40, list[str | None]()

    def load(name: str, *, data_dir: Path | None, revision: str | None, say: object) -> Any:
        asked.append(revision)
        return dataclasses.replace(arithmetic(4), revision=revision or "b" * 40)

    module = ModuleType("invented")
    vars(module).update(TASKS={"sums": "invented"}, load=load)
    monkeypatch.setitem(sys.modules, "invented", module)
    monkeypatch.setattr("formosa.evals.registry.MODULES", ("invented",))
    opened.answer = lambda prompt: "7"
    done("run", "sums", "--model", "t", "--out", tmp_path, "--revision", chosen)
    log = tmp_path / "tiny-model-sums.jsonl"
    lines = log.read_text("utf-8").splitlines(keepends=True)
    log.write_text("".join(lines[:3]), encoding="utf-8")

    assert done("retry", log).return_value == 0
    assert read_log(log).finished
    assert done("score", log).return_value == 0
    assert read_log(tmp_path / "tiny-model-sums-rescored.jsonl").start["task"]["revision"] == chosen
    done("export", log, "--to", "inspect", "--questions")
    assert asked == [chosen] * 4

    registry.load_logged(read_log(log).start["task"], data_dir=tmp_path)
    assert asked[-1] is None  # files of one's own have no revision
    done("run", "sums", "--model", "t", "--out", tmp_path / "new")
    assert asked[-1] is None
    assert registry.load_logged({"name": "sums", "revision": "sha256:12"}).revision == "b" * 40


def test_the_key_in_the_environment_is_that_of_a_run_and_of_its_retry(
    tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The help of both names one variable."""
    monkeypatch.setenv("FORMOSA_EVAL_RUN_API_KEY", "s3cret")
    url = "http://127.0.0.1:8000/v1"
    done("run", "mini-zh-tw", "--base-url", url, "--limit", 2, "--out", tmp_path)
    assert opened.asked[-1]["api_key"] == "s3cret"
    log = tmp_path / "tiny-model-mini-zh-tw.jsonl"
    lines = log.read_text("utf-8").splitlines(keepends=True)
    log.write_text("".join(lines[:2]), encoding="utf-8")
    assert done("retry", log, "--base-url", url).return_value == 0
    assert opened.asked[-1]["api_key"] == "s3cret"
    assert "s3cret" not in log.read_text("utf-8")
    assert "FORMOSA_EVAL_RUN_API_KEY" in formosa("retry", "--help").stdout
