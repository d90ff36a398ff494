"""The `eval:` part of a recipe: a mistyped key stops a run before it starts."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest
from pydantic import ValidationError

from formosa.errors import DataError
from formosa.evals.config import EvalConfig, TaskConfig
from formosa.evals.registry import DEFAULT, MODULES, TASKS, aggregates, load_task
from formosa.results.metrics import Score


def test_a_recipe_may_leave_out_all_but_the_tasks_names() -> None:
    config = EvalConfig.model_validate({"tasks": [{"name": "mini-zh-tw"}]})
    assert config.tasks == [TaskConfig(name="mini-zh-tw", limit=None, repeats=1, seed=0)]
    sampling = config.sampling(config.tasks[0])
    assert (sampling.temperature, sampling.max_tokens) == (0.0, 512)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"tasks": [{"name": "mini-zh-tw"}], "max_token": 9}, "max_token"),
        ({"tasks": [{"name": "mini-zh-tw", "repeat": 3}]}, "repeat"),
        ({"tasks": [{"name": "mini-zh"}]}, "no such task; the tasks: mini-zh-tw"),
        ({"tasks": [{"name": "mini-zh-tw", "limit": 0}]}, "limit"),
        ({"tasks": []}, "tasks"),
        ({"tasks": [{"name": "mini-zh-tw"}, {"name": "mini-zh-tw", "seed": 1}]}, "there twice"),
        ({"tasks": [{"name": "mini-zh-tw"}], "temperature": 3}, "temperature"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(value: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as error:
        EvalConfig.model_validate(value)
    assert where in str(error.value)


def test_every_field_is_described() -> None:
    for model in (EvalConfig, TaskConfig):
        for name, field in model.model_fields.items():
            assert field.description, name


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(DataError, match="Did you mean bfcl-simple") as error:
        load_task("bfcl-simpel")
    assert "formosa eval tasks" in error.value.hint


def test_every_module_offers_its_tasks_in_the_same_way() -> None:
    names = list(TASKS)
    assert len(names) == len(set(names)) == len(TASKS)
    assert set(DEFAULT) < set(names)
    for module in map(importlib.import_module, MODULES):
        assert all(TASKS[name] == line for name, line in module.TASKS.items())
        parameters = inspect.signature(module.load).parameters
        assert list(parameters) == ["name", "data_dir", "revision", "say"]
    with pytest.raises(KeyError):
        TASKS["nothing"]


def test_a_file_of_ones_own_is_a_task_in_a_recipe_too() -> None:
    assert EvalConfig.model_validate({"tasks": [{"name": "file:mine.csv"}]}).tasks


def test_named_figures_over_several_tasks_come_from_their_scores() -> None:
    scores = {
        f"bfcl-{name}": Score(value, 0, 1, 200, 1)
        for name, value in zip(("simple", "multiple", "parallel", "parallel-multiple"),
                               (0.9, 0.8, 0.7, 0.6), strict=True)
    }  # fmt: skip
    found = aggregates(scores)
    (mean,) = [value for name, value in found.items() if name.endswith("ast_mean")]
    assert mean == pytest.approx(0.75)
    assert aggregates({"mini-zh-tw": Score(0.5, 0, 1, 40, 1)}) == {}


def test_a_task_may_want_shorter_replies_than_the_others() -> None:
    tasks = [{"name": "mini-zh-tw", "max_tokens": 48}, {"name": "bfcl-simple"}]
    config = EvalConfig.model_validate({"tasks": tasks, "max_tokens": 160})
    assert [config.sampling(task).max_tokens for task in config.tasks] == [48, 160]


def test_without_a_list_six_small_tasks_are_asked() -> None:
    assert [task.name for task in EvalConfig().tasks] == list(DEFAULT)
