"""Benchmarks that training rows are compared with: whole, named, and never left out in silence."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from formosa.chat.message import Message, Tool
from formosa.data.config import DataConfig
from formosa.engines.protocol import ChatReply
from formosa.errors import DataError, RecipeError
from formosa.evals.config import EvalConfig
from formosa.evals.registry import load_task
from formosa.evals.task import Asked, Sample, ScoreRecord, Task
from formosa.run.benchmarks import benchmark_names, benchmark_of, evals_in, load_benchmarks

EVALS = EvalConfig.model_validate({"tasks": [{"name": "bfcl-simple", "limit": 3}]})


def given(names: list[str] | None) -> DataConfig:
    return DataConfig.model_validate({"decontaminate": {"benchmarks": names}})


def score(sample: Any, repeat: int, seed: int, reply: ChatReply) -> ScoreRecord:
    raise AssertionError("nothing is asked")


def task_of(*contents: Any, asked: Asked | None = None) -> Task[Any]:
    samples = [Sample(str(i), content) for i, content in enumerate(contents)]
    question = asked or Asked((Message("system", "Be brief."), Message("user", "Now: what?")))
    return Task("own", 1, "here", "1", "MIT", "en", samples, lambda *_: question, {"x": score})


def test_the_benchmarks_are_those_that_the_recipe_asks_and_our_own() -> None:
    assert benchmark_names(given(None), EVALS) == ["bfcl-simple", "mini-zh-tw"]
    assert benchmark_names(given(None)) == ["mini-zh-tw"]
    assert benchmark_names(given([]), EVALS) == []
    assert benchmark_names(given(["gsm8k", "mini-zh-tw", "gsm8k"]), EVALS) == [
        "gsm8k", "mini-zh-tw",
    ]  # fmt: skip


def test_a_benchmark_is_its_questions_without_the_words_around_them() -> None:
    """The prompt's own sentences are in every question: they would make every row that speaks so
    a leak."""
    contents = (
        SimpleNamespace(question="Which river?", options=("Tamsui", "Zhuoshui")),
        SimpleNamespace(text="How many are 2 and 3?", answer="5"),
        SimpleNamespace(question="Hard?", right="yes", wrong=("no", "maybe")),
        object(),
    )
    found = benchmark_of(task_of(*contents))
    assert found.name == "own"
    assert found.texts == (
        "Which river?", "Tamsui\nZhuoshui", "How many are 2 and 3?", "Hard?", "yes\nno\nmaybe",
        "Now: what?",
    )  # fmt: skip


def test_tools_count_as_they_are_shown_and_as_the_data_have_them() -> None:
    """BFCL shows math_add with a note on Python; sets that were made from it have math.add."""
    functions = ({"name": "math.add", "description": "Adds."}, {"description": "no name"})
    shown = Tool.of("math_add", "Adds. Note: Python.", {})
    asked = Asked((Message("user", "Add."),), (shown,))
    found = benchmark_of(task_of(SimpleNamespace(functions=functions), asked=asked))
    assert set(found.tools) == {("math_add", "Adds. Note: Python."), ("math.add", "Adds.")}


def test_a_task_is_taken_whole() -> None:
    (found,) = load_benchmarks(["mini-zh-tw"])
    task = load_task("mini-zh-tw")
    questions = {sample.content.question for sample in task.samples}
    assert questions <= set(found.texts) and len(questions) == len(task.samples)


@pytest.mark.parametrize("name", ["no-such-task", "file:none.jsonl"])
def test_a_benchmark_that_cannot_be_had_is_an_error_that_names_the_key(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=f"the benchmark {name}") as caught:
        load_benchmarks(["mini-zh-tw", name])
    assert "data.decontaminate.benchmarks" in caught.value.hint


def test_a_download_that_fails_is_no_reason_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise DataError("The hub cannot be reached.", "check the network")

    monkeypatch.setattr("formosa.run.benchmarks.load_task", unreachable)
    with pytest.raises(RecipeError, match="The hub cannot be reached") as caught:
        load_benchmarks(["tmmluplus"])
    assert "check the network" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("seed: 1", None),
        ("data: {seed: 1}", None),
        ("base: x\ndata: {seed: 1}", [task.name for task in EvalConfig().tasks]),
        ("data: {}\neval: {tasks: [{name: gsm8k}]}", ["gsm8k"]),
    ],
)
def test_the_tasks_are_read_from_the_file_that_has_the_data(
    text: str, tasks: list[str] | None, tmp_path: Path
) -> None:
    """`data prepare` and `run` must give the same rows for one recipe."""
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    found = evals_in(path)
    assert (found and [task.name for task in found.tasks]) == tasks


def test_a_wrong_eval_part_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("eval: {tasks: [{name: nonsense}]}", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"eval\.tasks\.0\.name: .*no such task"):
        evals_in(path)
