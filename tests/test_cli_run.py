"""`formosa run` and `formosa train sft`: plan, progress, exit codes, sentences."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from command_line import formosa
from fake_stages import OUTPUT, real_inputs
from formosa.cli.output import Output
from formosa.cli.run import drawn
from formosa.errors import ModelError
from formosa.run import stages
from formosa.run.recipe import Recipe, load_recipe
from formosa.run.stages import Run

ORDER = list(OUTPUT)
MINI = Path(__file__).parents[1] / "recipes" / "mini.yaml"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipes" / "x.yaml"
    path.parent.mkdir()
    path.write_text("name: x\nbase: smollm2-135m\n", encoding="utf-8")
    return path


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real stages in name and inputs; their work takes no time."""
    monkeypatch.setattr(stages, "STAGES", real_inputs(lambda name, run: f"{name} of {run.recipe}"))


# -- plan ----------------------------------------------------------------------------------------


def test_a_plan_is_the_recipe_with_every_default(recipe: Path, tmp_path: Path) -> None:
    done = formosa("run", recipe, "--plan", "--runs", tmp_path / "runs")
    assert (done.code, done.err) == (0, "")
    assert Recipe.model_validate(yaml.safe_load(done.out)) == load_recipe(recipe)
    assert "learning_rate: 0.001" in done.out
    assert not (tmp_path / "runs").exists()


def test_a_plan_in_json_has_the_same_values(recipe: Path) -> None:
    done = formosa("run", recipe, "--plan", "--json")
    assert done.code == 0
    assert done.json == yaml.safe_load(formosa("run", recipe, "--plan").out)


def test_the_plan_of_the_recipe_that_ships(tmp_path: Path) -> None:
    assert formosa("run", MINI, "--plan", "--json").json["base"] == "smollm2-135m"


@pytest.mark.parametrize("command", [("run",), ("train", "sft")])
def test_a_mistyped_recipe_is_refused_before_anything_is_made(
    recipe: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    with recipe.open("a") as file:
        file.write("eval:\n  max_token: 9\n")
    done = formosa(*command, recipe, "--runs", tmp_path / "runs")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"error: {recipe}:4: unknown key 'eval.max_token'; did you mean 'max_tokens'?\n\n"
        "hint: nothing was run; mend the recipe first\n"
    )
    assert not (tmp_path / "runs").exists()


def test_a_recipe_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    done = formosa("run", tmp_path / "none.yaml")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"error: There is no recipe {tmp_path / 'none.yaml'}.")


# -- running -------------------------------------------------------------------------------------


def test_a_run_tells_its_stages_its_files_and_what_to_try_next(
    recipe: Path, tmp_path: Path, fakes: None
) -> None:
    folder = tmp_path / "runs" / "x"
    done = formosa("run", recipe, "--runs", tmp_path / "runs")
    assert done.code == 0
    lines = done.err.splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("▶ ")] == [
        f"▶ {name}" for name in ORDER
    ]
    assert f"card       {folder / 'README.md'}" in lines
    assert f"model      {folder / 'gguf' / 'model.gguf'}" in lines
    assert lines[-3:] == ["next:", f"  formosa chat {folder}", f"  formosa serve {folder}"]
    # Values go to standard output: scores and times.
    assert "(nothing)" in done.out  # no logs, no scores
    assert all(name in done.out for name in ORDER)

    again = formosa("run", recipe, "--runs", tmp_path / "runs")
    assert [line for line in again.err.splitlines() if line.startswith("✓")] == [
        f"✓ {name}: nothing changed, skipped" for name in ORDER
    ]


def test_a_run_in_json_is_one_value(recipe: Path, tmp_path: Path, fakes: None) -> None:
    done = formosa("run", recipe, "--runs", tmp_path / "runs", "--json")
    assert done.code == 0
    assert done.json["name"] == "x"
    assert list(done.json["seconds"]) == ORDER
    assert set(done.json["files"]) == {"card", "model", "checkpoint", "logs"}
    assert done.json["scores"] == []


def test_a_stage_that_fails_is_a_sentence_and_what_was_done_is_kept(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fakes: None
) -> None:
    def fails(run: Run) -> Sequence[Path]:
        raise ModelError("The file [is] damaged.", "formosa models pull x")

    chosen = stages.STAGES
    monkeypatch.setattr(
        stages, "STAGES", [s._replace(work=fails) if s.name == "train" else s for s in chosen]
    )
    done = formosa("run", recipe, "--runs", tmp_path / "runs", "--json")
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith("error: The file [is] damaged.\n\nhint: formosa models pull x\n")

    monkeypatch.setattr(stages, "STAGES", chosen)
    done = formosa("run", recipe, "--runs", tmp_path / "runs")
    assert done.code == 0
    assert "✓ data: nothing changed, skipped" in done.err
    assert "▶ train: fine-tune" in done.err


def test_an_interrupted_run_says_that_work_is_kept(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fakes: None
) -> None:
    def interrupted(run: Run) -> Sequence[Path]:
        raise KeyboardInterrupt

    monkeypatch.setattr(
        stages,
        "STAGES",
        [s._replace(work=interrupted) if s.name == "eval" else s for s in stages.STAGES],
    )
    done = formosa("run", recipe, "--runs", tmp_path / "runs")
    assert done.code == 130
    assert done.err.endswith("interrupted; what was finished is kept\n")


def test_training_alone_stops_after_the_checkpoint(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fakes: None
) -> None:
    def train(run: Run) -> Sequence[Path]:
        path = run.folder / "train" / "summary.json"
        path.parent.mkdir()
        path.write_text(json.dumps({"schema": 1, "steps": 3}))
        return [path]

    monkeypatch.setattr(
        stages,
        "STAGES",
        [s._replace(work=train) if s.name == "train" else s for s in stages.STAGES],
    )
    done = formosa("train", "sft", recipe, "--runs", tmp_path / "runs", "--json")
    assert done.code == 0
    assert done.json == {"schema": 1, "steps": 3}
    assert not (tmp_path / "runs" / "x" / "gguf").exists()


def test_a_file_where_runs_should_be_is_a_usage_error(recipe: Path) -> None:
    done = formosa("run", recipe, "--runs", recipe)
    assert done.code == 2
    assert "is a file" in done.err


# -- progress ------------------------------------------------------------------------------------


def out_on(console: Console) -> Output:
    out = Output()
    out._err = console
    return out


def test_without_a_terminal_progress_is_a_line_at_every_quarter() -> None:
    stream = io.StringIO()
    with drawn(out_on(Console(file=stream))) as report:
        report.stage("train", "fine-tune")
        for step in range(1, 26):
            report.progress(step, 25, f"loss [{step}]")
        report.finished("train", 1.4)
    assert stream.getvalue().splitlines() == [
        "▶ train: fine-tune",
        "  7 of 25 loss [7]",
        "  13 of 25 loss [13]",
        "  19 of 25 loss [19]",
        "  25 of 25 loss [25]",
        "✓ train: 1 s",
    ]


def test_on_a_terminal_progress_is_a_bar_for_each_part() -> None:
    stream = io.StringIO()
    with drawn(out_on(Console(file=stream, force_terminal=True, width=120))) as report:
        report.stage("eval", "ask")
        for part in ("base · bfcl", "trained · bfcl"):
            for done in range(3):
                report.progress(done + 1, 3, part)
        report.progress(1, 3, "cut short")
        report.finished("eval", 2)
        assert [task.completed for task in report._bars.tasks] == [3, 3, 1]
        assert [task.description.strip() for task in report._bars.tasks] == [
            "base · bfcl",
            "trained · bfcl",
            "cut short",
        ]
        assert all(task.stop_time is not None for task in report._bars.tasks)
    assert "3/3" in stream.getvalue()


def test_a_part_that_was_there_already_is_one_line() -> None:
    """Two tasks continued from their logs: each begins where it ends."""
    stream = io.StringIO()
    with drawn(out_on(Console(file=stream))) as report:
        for task in ("base · a", "base · b"):
            report.progress(3, 3, task)
    assert stream.getvalue().splitlines() == ["  3 of 3 base · a", "  3 of 3 base · b"]
