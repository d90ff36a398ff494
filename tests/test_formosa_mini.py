"""What comes with the package as our own model: its card holds, and is about the file beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from command_line import formosa
from formosa.engines.gguf import read_metadata
from formosa.files import read_json
from formosa.models import ADAPTERS
from formosa.results.effort import purity
from formosa.results.log import EvalLog, read_log

OURS = ADAPTERS["formosa-mini"]
LOGS = sorted((OURS.folder / "logs").glob("*.jsonl"))
# Questions of each category: BFCL v4 of 2026-03-23, and MediaTek's translation of v3.
WHOLE = {"simple": 400, "multiple": 200, "parallel": 200, "parallel-multiple": 200}


def log_of(role: str, task: str) -> EvalLog:
    return read_log(OURS.folder / "logs" / f"{role}-{task}.jsonl")


def test_the_card_verifies_by_the_models_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = formosa("card", "verify", "formosa-mini", "--json")
    assert done.code == 0, done.out + done.err
    assert done.json["counts"]["error"] == done.json["counts"]["warning"] == 0
    assert done.json["claims"]["supported"] == done.json["claims"]["total"] > 500


def test_the_card_is_ready_to_be_read_by_others() -> None:
    text = (OURS.folder / "README.md").read_text(encoding="utf-8")
    assert "before you publish" not in text and "發布前" not in text
    assert "formosa chat gemma-3-270m+adapter/formosa-mini.gguf" in text
    assert "formosa chat runs/" not in text


def test_a_changed_score_is_found(tmp_path: Path) -> None:
    shutil.copytree(OURS.folder, tmp_path / "formosa-mini")
    path = tmp_path / "formosa-mini" / "logs" / "trained-bfcl-simple.jsonl"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"outcome":"wrong"', '"outcome":"correct"', 1), encoding="utf-8")
    done = formosa("card", "verify", tmp_path / "formosa-mini")
    assert done.code == 1 and "trained-bfcl-simple" in done.out


def test_the_adapter_is_the_one_that_was_measured() -> None:
    assert read_json(OURS.folder / "adapter" / "adapter.json")["sha256"] == OURS.sha256
    trained = [read_log(path) for path in LOGS if path.name.startswith("trained-")]
    assert trained and {log.start["model"]["sha256"] for log in trained} == {OURS.sha256}
    assert read_metadata(OURS.path)["general.type"] == "adapter"


@pytest.mark.parametrize("language", ["", "zhtw-"])
def test_all_of_bfcl_was_asked_in_both_languages(language: str) -> None:
    for kind, questions in WHOLE.items():
        log = log_of("trained", f"bfcl-{language}{kind}")
        assert log.finished and len(log.samples) == questions == log.start["plan"]["original"]
    refused = log_of("trained", f"bfcl-{language}irrelevance")
    assert refused.finished and len(refused.samples) == refused.start["plan"]["original"]


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_no_text_of_a_benchmark_comes_with_it(path: Path) -> None:
    log = read_log(path)
    assert set(log.start["redacted"]) == {"sha256"}
    for sample in log.samples:
        assert sample["gold"] is None
        assert set(sample["reply"] or {}) <= {"private", "finish", "usage"}
        assert not any(score["answer"] or score["why"] for score in sample["scores"].values())


def test_its_chinese_is_that_of_taiwan() -> None:
    """Of all Han characters in replies to Chinese questions."""
    found = [purity(log_of("trained", path.stem.partition("-")[2])) for path in LOGS
             if path.name.startswith("trained-bfcl-zhtw")]  # fmt: skip
    han = sum(one.han for one in found)
    strange = sum(one.han * ((one.simplified or 0) + (one.mainland or 0)) for one in found)
    assert han > 1000 and strange / han <= 0.01


def test_its_licence_goes_with_it() -> None:
    notice = (OURS.folder / "NOTICE.md").read_text(encoding="utf-8")
    assert "Gemma is provided under and subject to the Gemma Terms of Use" in notice
    assert "modified by the Formosa authors" in notice
    assert (OURS.folder / "GEMMA_TERMS.md").stat().st_size > 5000
    assert OURS.licence == "gemma"


def test_nothing_of_the_machine_that_made_it_is_left() -> None:
    for path in OURS.folder.rglob("*"):
        if path.is_file():
            text = path.read_bytes()
            assert b"/root" not in text and b"/home/" not in text and b"/tmp/" not in text, path


def test_the_calls_of_the_demonstration_are_right_and_the_answer_uses_them() -> None:
    flow = read_json(OURS.folder / "serve" / "tool-flow.json")
    assert flow["passed"] and flow["served"] == "formosa-mini.gguf"
    (asked,) = [message for message in flow["messages"] if message.get("tool_calls")]
    assert [call["function"]["name"] for call in asked["tool_calls"]] == ["get_weather", "search"]
