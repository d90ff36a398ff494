"""Items from a folder: what is read, and what is said about a file that is not as it should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import formosa.evals.bfcl.items as items_module
from formosa.chat.message import Message
from formosa.errors import DataError, ModelError
from formosa.evals.bfcl.items import CATEGORIES, WHEEL, load

FUNCTION = {
    "name": "math.add",
    "description": "Adds.",
    "parameters": {"type": "dict", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
}


def question(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"multiple_{number}",
        "question": [[{"role": "user", "content": f"加 {number}。"}]],
        "function": [FUNCTION],
        **changes,
    }


def answer(number: int) -> dict[str, Any]:
    return {"id": f"multiple_{number}", "ground_truth": [{"math.add": {"a": [number]}}]}


def write(
    folder: Path, questions: list[Any], answers: list[Any], category: str = "multiple"
) -> Path:
    """As in the wheel: one object a line, no line end after the last."""
    (folder / "possible_answer").mkdir()
    name = f"BFCL_v4_{category}.json"
    for path, rows in ((folder / name, questions), (folder / "possible_answer" / name, answers)):
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("\n".join(lines), encoding="utf-8")
    return folder


def test_questions_and_answers_are_joined_by_id(tmp_path: Path) -> None:
    write(tmp_path, [question(1), question(2)], [answer(2), answer(1)])
    data = load("multiple", data_dir=tmp_path)
    assert [item.id for item in data.items] == ["multiple_1", "multiple_2"]
    last = data.items[1]  # the line without a line end
    assert last.messages == (Message("user", "加 2。"),)
    assert last.functions == (FUNCTION,)
    assert last.answers == ({"math.add": {"a": [2]}},)
    assert last.category == "multiple"


def test_irrelevance_needs_no_answers(tmp_path: Path) -> None:
    write(tmp_path, [question(1)], [], "irrelevance")
    [item] = load("irrelevance", data_dir=tmp_path).items
    assert item.answers == ()


def test_a_system_message_before_the_question_is_kept(tmp_path: Path) -> None:
    turn = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi."}]
    write(tmp_path, [question(1, question=[turn])], [answer(1)])
    [item] = load("multiple", data_dir=tmp_path).items
    assert [message.role for message in item.messages] == ["system", "user"]


def test_own_files_are_not_taken_for_those_of_the_wheel(tmp_path: Path) -> None:
    """A score on other questions must not look like a score on the published ones."""
    write(tmp_path, [question(1)], [answer(1)])
    one = load("multiple", data_dir=tmp_path)
    assert one.source != WHEEL
    path = tmp_path / "possible_answer" / "BFCL_v4_multiple.json"
    path.write_text(json.dumps(answer(1) | {"note": "changed"}), encoding="utf-8")
    assert load("multiple", data_dir=tmp_path).revision != one.revision


@pytest.mark.parametrize(
    ("questions", "answers", "said"),
    [
        ([question(1), "{"], [answer(1)], "BFCL_v4_multiple.json:2 is not JSON"),
        ([question(1), "[1]"], [answer(1)], ":2 is no item"),
        ([question(1, id=None)], [answer(1)], ":1 is no item"),
        ([question(1, question="Add.")], [answer(1)], ":1: the question must be one turn"),
        ([question(1, question=[[], []])], [answer(1)], ":1: the question must be one turn"),
        ([question(1, question=[[{"role": "nobody"}]])], [answer(1)], "question[0][0].role"),
        ([question(1, function=FUNCTION)], [answer(1)], "function must be a list of objects"),
        ([question(1), question(2)], [answer(1)], ":2: no accepted answer for multiple_2"),
        ([question(1)], [answer(1) | {"ground_truth": {}}], "ground_truth must be a list"),
    ],
)
def test_a_broken_line_is_named(
    tmp_path: Path, questions: list[Any], answers: list[Any], said: str
) -> None:
    write(tmp_path, questions, answers)
    with pytest.raises(DataError) as caught:
        load("multiple", data_dir=tmp_path)
    assert said in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="BFCL_v4_parallel.json does not exist") as caught:
        load("parallel", data_dir=tmp_path)
    assert "possible_answer" in caught.value.hint


def test_an_unknown_category_names_the_known_ones() -> None:
    with pytest.raises(DataError) as caught:
        load("multi_turn_base")
    assert "simple_python" in caught.value.hint


def test_every_file_of_the_wheel_is_pinned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, str] = {}

    def fetch(requirement: str, member: str, *, sha256: str, **_: object) -> Path:
        assert requirement == WHEEL
        asked[member] = sha256
        path = tmp_path / Path(member).name
        path.write_text("", encoding="utf-8")
        return path

    monkeypatch.setattr(items_module, "fetch_member", fetch)
    for category in CATEGORIES:
        load(category)
    assert len(asked) == 13 + 10, "relevance and irrelevance have no answers"
    assert all(len(sha256) == 64 for sha256 in asked.values())
    assert len(set(asked.values())) == 23


def test_data_of_the_wheel_that_were_changed_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FORMOSA_HOME", str(tmp_path))
    member = tmp_path / "wheels" / "bfcl-eval-2026.3.23" / "bfcl_eval/data/BFCL_v4_irrelevance.json"
    member.parent.mkdir(parents=True)
    member.write_text(json.dumps(question(1)), encoding="utf-8")
    with pytest.raises(ModelError, match="sha256"):
        load("irrelevance")
