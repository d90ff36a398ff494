"""`card verify --rerun` on a card of ours: the questions of its logs, asked again one by one."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from card_foreign import CARD
from card_run import HEX, write_log
from formosa.card.checks.finding import Finding
from formosa.card.checks.subject import Subject
from formosa.card.claims import Claim, Claims
from formosa.card.verify import read_subject
from formosa.cli.card_rerun import rerun
from formosa.cli.card_rerun_logs import compared, data_of
from formosa.cli.eval_who import Who
from formosa.cli.output import Output
from formosa.engines.protocol import Sampling
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.evals.registry import load_task
from formosa.evals.run import run_task
from formosa.results.log import EvalLog, read_log
from formosa.serve.run import serving

LOG = "logs/trained-mini-zh-tw.jsonl"
A = "\\boxed{A}"


def log(folder: Path, letters: str, name: str = "old") -> EvalLog:
    path = folder / f"{name}.jsonl"
    write_log(path, task="mmlu", model="tiny", outcomes={"box": [letters]})
    return read_log(path)


# -- two logs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("CCWW", "CCWW", "rerun-reproduced", "4 of 4 questions are as right as they were"),
        (
            "C" * 20,
            "C" * 19 + "W",
            "rerun-reproduced",
            "19 of 20 questions are as right as they were",
        ),
        ("C" * 20, "W" * 20, "rerun-differs", "0 of 20 questions are as right as they were"),
        ("CWF", "CFW", "rerun-reproduced", "1 requests failed and count as wrong"),
    ],
)
def test_the_same_questions_are_compared_one_by_one(
    tmp_path: Path, old: str, new: str, code: str, said: str
) -> None:
    finding = compared("logs/x.jsonl", log(tmp_path, old), log(tmp_path, new, "new"), "box")
    assert (finding.code, finding.where) == (code, "logs/x.jsonl: box")
    assert said in finding.message
    assert "(" in finding.message


def test_other_questions_are_compared_by_their_interval(tmp_path: Path) -> None:
    """With a --limit below the log's own number."""
    old = log(tmp_path, "CW" * 20)
    fair, poor = log(tmp_path, "CCWW", "fair"), log(tmp_path, "W" * 9, "poor")
    finding = compared("x", old, fair, "box")
    assert finding.code == "rerun-reproduced"
    assert finding.message == (
        "reproduced: the log says 50.00, tiny got 50.00 (15.00 to 85.00; box, 4 questions × 1; "
        "fair.jsonl), others than the log's 40."
    )
    assert compared("x", old, poor, "box").code == "rerun-differs"


# -- the whole way --------------------------------------------------------------------------------


def card(folder: Path, *logs: str) -> Subject:
    """A card of ours whose claims name these logs."""
    path = folder / "README.md"
    path.write_text(CARD, encoding="utf-8")
    subject, _ = read_subject(path)
    claims = tuple(
        Claim("scores", ("x",), "y", "0.0", (name,), "score", scorer)
        for name in logs
        for scorer in ("box", "pattern", "")
    )
    files = dict.fromkeys((*logs, "README.md", "gone.jsonl"), "0" * 64)
    return replace(subject, ours=True, claims=Claims(files, claims))


def asked(folder: Path, reply: Callable[[str], str], **how: Any) -> Path:
    """A log of three real questions, as a run leaves it."""
    path = folder / LOG
    how = {"limit": 3, "seed": 5, "sampling": Sampling(max_tokens=9, stop=("!",)), **how}
    chat = TemplatedChat(ScriptedEngine(reply, name="tiny"))
    asyncio.run(run_task(load_task("mini-zh-tw"), chat, path, repeats=2, **how))
    return path


def again(
    subject: Subject, folder: Path, reply: str = A, limit: int | None = None
) -> list[Finding]:
    with serving({"tiny": TemplatedChat(ScriptedEngine(lambda _: reply, name="tiny"))}) as url:
        who = Who(None, (url,), None, None, 4096, None, 60.0)
        return rerun(Output(), subject, who, folder=folder / "again", limit=limit)


def test_a_log_s_own_plan_is_asked_again(tmp_path: Path) -> None:
    made = asked(tmp_path, lambda _: A)
    findings = again(card(tmp_path, LOG), tmp_path)
    assert [finding.code for finding in findings] == ["rerun-reproduced"] * 2
    assert [finding.where for finding in findings] == [f"{LOG}: box", f"{LOG}: pattern"]
    assert (
        "3 questions × 2; rerun-trained-mini-zh-tw.jsonl); 3 of 3 questions are"
        in findings[0].message
    )
    new, old = (read_log(path).start for path in (next((tmp_path / "again").iterdir()), made))
    assert new["plan"] == old["plan"]
    assert new["request"] == old["request"]


def test_a_model_that_says_something_else_differs(tmp_path: Path) -> None:
    asked(tmp_path, lambda _: A, limit=None)
    findings = again(card(tmp_path, LOG), tmp_path, "I don't know")
    assert "rerun-differs" in {finding.code for finding in findings}


def test_fewer_questions_than_the_log_s_are_others(tmp_path: Path) -> None:
    asked(tmp_path, lambda _: A)
    (finding, _) = again(card(tmp_path, LOG), tmp_path, limit=2)
    assert "2 questions × 2" in finding.message
    assert "others than the log's 3" in finding.message


def test_what_can_t_be_asked_says_why(tmp_path: Path) -> None:
    """A task that is not there any more, and a log that is damaged."""
    made = asked(tmp_path, lambda _: A)
    other, broken = "logs/other.jsonl", "logs/broken.jsonl"
    text = made.read_text(encoding="utf-8")
    (tmp_path / other).write_text(text.replace('"mini-zh-tw"', '"maxi"'), encoding="utf-8")
    (tmp_path / broken).write_text(text[:200] + "\n" + text, encoding="utf-8")
    outside = "../logs/outside.jsonl"
    findings = {f.where: f for f in again(card(tmp_path, other, broken, outside), tmp_path)}
    assert set(findings) == {other, broken, outside}
    assert "lies outside of the card's folder" in findings[outside].message
    assert all(finding.code == "rerun-impossible" for finding in findings.values())
    assert "There is no task called maxi" in findings[other].message


@pytest.mark.model
def test_a_log_of_another_file_is_not_asked(tmp_path: Path) -> None:
    """The base model's logs stand on the same card; the file that is named is another."""
    for name in ("base.jsonl", "more.jsonl"):
        write_log(tmp_path / name, task="mini-zh-tw", model="tiny (base)", outcomes={"box": ["C"]})
    who = Who("smollm2-135m", (), None, None, 512, 1, 60.0)
    folder = tmp_path / "again"
    (finding,) = rerun(Output(), card(tmp_path, "base.jsonl", "more.jsonl"), who, folder=folder)
    assert finding.code == "rerun-impossible"
    assert "asked is smollm2-135m (sha256 " in finding.message
    assert finding.message.endswith(
        f"of tiny (base) (sha256 {HEX[:12]}) are base.jsonl, more.jsonl."
    )
    assert not folder.exists()


def test_a_card_without_its_logs_asks_nobody(tmp_path: Path) -> None:
    asked(tmp_path, lambda _: A)
    shutil.rmtree(tmp_path / "logs")
    who = Who(None, ("http://127.0.0.1:9/v1",), None, None, 4096, None, 60.0)
    (finding,) = rerun(Output(), card(tmp_path, LOG), who, folder=tmp_path / "again")
    assert (finding.code, finding.where) == ("rerun-impossible", LOG)


# -- where data are -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "folder"),
    [("tmmluplus-twinkle-box", "a"), ("mmlu", "b"), ("bfcl-simple", "c"), ("gpqa-diamond", "d")],
)
def test_each_task_has_the_folder_that_was_named_for_it(task: str, folder: str) -> None:
    data = {"tmmluplus": Path("a"), "mmlu": Path("b"), "bfcl": Path("c"), "": Path("d")}
    assert data_of(task, data) == Path(folder)
    del data[""]
    assert data_of("gpqa-diamond", data) is None
