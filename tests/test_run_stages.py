"""A run does what changed and nothing else, and goes on after whatever stopped it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fake_stages import Told, after, fake, real_inputs, recipe
from formosa.errors import UserError
from formosa.run import stages
from formosa.run.recipe import Recipe, load_recipe
from formosa.run.stages import Run, Stage, run_recipe
from formosa.run.state import locked
from lora import write_lora

ORDER = ["model", "data", "train", "export", "serve", "eval", "card"]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[Stage]], None]:
    return lambda chosen: monkeypatch.setattr(stages, "STAGES", tuple(chosen))


Use = Callable[[Sequence[Stage]], None]


def done(folder: Path, given: Recipe | None = None, last: str = "card", **more: Any) -> Told:
    told = Told()
    run_recipe(given or recipe(), folder, told, last=last, **more)
    return told


def config(part: str) -> Callable[[Run], Any]:
    return lambda run: getattr(run.recipe, part).model_dump(mode="json")


def three() -> list[Stage]:
    """a → b → c; only a reads the recipe, and rounds what it reads."""
    return [
        fake("a", config("train"), lambda run: str(int(run.recipe.train.epochs))),
        fake("b", after("a"), lambda run: (run.folder / "a.txt").read_text() + "b"),
        fake("c", after("a", "b"), lambda run: (run.folder / "b.txt").read_text() + "c"),
    ]


# -- order and skipping ---------------------------------------------------------------------------


def test_stages_run_in_order_and_are_skipped_the_second_time(use: Use, tmp_path: Path) -> None:
    use(three())
    assert done(tmp_path).events == [("ran", "a"), ("ran", "b"), ("ran", "c")]
    assert (tmp_path / "c.txt").read_text() == "1bc"
    assert done(tmp_path).events == [("skipped", "a"), ("skipped", "b"), ("skipped", "c")]


def test_a_change_runs_what_follows_from_it(use: Use, tmp_path: Path) -> None:
    use(three())
    done(tmp_path)
    assert done(tmp_path, recipe(train={"epochs": 2})).ran == ["a", "b", "c"]
    assert (tmp_path / "c.txt").read_text() == "2bc"


def test_a_stage_that_makes_the_same_files_stops_the_change(use: Use, tmp_path: Path) -> None:
    use(three())
    done(tmp_path)
    told = done(tmp_path, recipe(train={"epochs": 1.5}))
    assert told.events == [("ran", "a"), ("skipped", "b"), ("skipped", "c")]


def test_a_new_version_of_a_stage_runs_it_again(use: Use, tmp_path: Path) -> None:
    use(three())
    done(tmp_path)
    a, b, c = three()
    use([a, b._replace(version=2), c])
    assert done(tmp_path).ran == ["b"]


def test_a_tampered_file_is_made_again(use: Use, tmp_path: Path) -> None:
    use(three())
    done(tmp_path)
    (tmp_path / "b.txt").write_text("edited")
    assert done(tmp_path).ran == ["b"]
    assert (tmp_path / "b.txt").read_text() == "1b"


def test_a_run_may_stop_early_and_go_on(use: Use, tmp_path: Path) -> None:
    use(three())
    assert done(tmp_path, last="b").ran == ["a", "b"]
    assert not (tmp_path / "c.txt").exists()
    assert done(tmp_path).events == [("skipped", "a"), ("skipped", "b"), ("ran", "c")]


def test_the_recipe_is_kept_with_every_default(use: Use, tmp_path: Path) -> None:
    use(three())
    given = recipe(train={"epochs": 3})
    done(tmp_path, given)
    assert load_recipe(tmp_path / "recipe.yaml") == given


def test_two_runs_in_one_folder_are_refused(use: Use, tmp_path: Path) -> None:
    use(three())
    with locked(tmp_path), pytest.raises(UserError) as caught:
        done(tmp_path)
    assert "Another process is running" in caught.value.message
    assert not (tmp_path / "a.txt").exists()


# -- going on after a stop ------------------------------------------------------------------------


class Fragile:
    """Makes `part/0` … `part/4`, one by one, unless they are there; breaks where it is told to."""

    def __init__(self, error: BaseException | None = None, at: int = 3) -> None:
        self.error, self.at = error, at
        self.made: list[int] = []

    def work(self, run: Run) -> list[Path]:
        parts = [run.folder / "part" / str(number) for number in range(5)]
        for number, path in enumerate(parts):
            if path.exists():
                continue
            if self.error and number == self.at:
                raise self.error
            path.parent.mkdir(exist_ok=True)
            path.write_text(str(run.recipe.train.epochs))
            self.made.append(number)
        return parts

    def stages(self) -> list[Stage]:
        a, _, c = three()
        return [a, Stage("b", "do b", 1, after("a"), self.work, remains=("part",)), c]


@pytest.mark.parametrize("error", [UserError("no"), RuntimeError("a bug"), KeyboardInterrupt()])
def test_a_run_goes_on_where_it_was_stopped(use: Use, tmp_path: Path, error: BaseException) -> None:
    use(Fragile(error).stages())
    with pytest.raises(type(error)):
        done(tmp_path)
    again = Fragile()
    a, b, _ = again.stages()
    use([a, b])
    assert done(tmp_path).events == [("skipped", "a"), ("ran", "b")]
    assert again.made == [3, 4]


def test_what_was_begun_for_another_recipe_is_not_gone_on_with(use: Use, tmp_path: Path) -> None:
    use(Fragile(RuntimeError()).stages())
    with pytest.raises(RuntimeError):
        done(tmp_path)
    again = Fragile()
    use(again.stages()[:2])
    assert done(tmp_path, recipe(train={"epochs": 2})).ran == ["a", "b"]
    assert again.made == [0, 1, 2, 3, 4]
    assert (tmp_path / ".previous" / "part" / "0").read_text() == "1.0"


KILLED = """
import sys
from pathlib import Path
from fake_stages import Told, recipe
from formosa.run import stages
from test_run_stages import Fragile

class Stop(BaseException):
    pass

fragile = Fragile(Stop())
work = fragile.work

def hang(run):
    try:
        work(run)
    except Stop:
        print("in the middle", flush=True)
        sys.stdin.read()  # stands still until it is killed

fragile.work = hang
stages.STAGES = tuple(fragile.stages())
stages.run_recipe(recipe(), Path(sys.argv[1]), Told())
"""


def test_a_killed_run_goes_on_where_it_was(use: Use, tmp_path: Path) -> None:
    """kill -9: no exception, no tidying up. The folder's lock goes with the process."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == "in the middle\n"
        child.kill()
        assert child.wait() == -9
    again = Fragile()
    use(again.stages()[:2])
    assert done(tmp_path).events == [("skipped", "a"), ("ran", "b")]
    assert again.made == [3, 4]


# -- the real stages: what each is made from ------------------------------------------------------


def changing(name: str, run: Run) -> str:
    """Other inputs, other files, as with the real work."""
    stage = next(stage for stage in stages.STAGES if stage.name == name)
    return str(stage.inputs(run))


def test_the_stages_are_a_models_life(use: Use) -> None:
    assert [stage.name for stage in stages.STAGES] == ORDER
    assert all(stage.what and stage.version >= 1 for stage in stages.STAGES)


@pytest.mark.parametrize(
    ("changed", "first", "also_skipped"),
    [
        ({"base": "gemma-3-270m"}, "model", ["data"]),
        ({"data": {"seed": 2}}, "data", []),
        ({"train": {"lora": {"rank": 4}}}, "train", []),
        ({"export": {"quantisation": "F16"}}, "export", []),
        ({"serve": {"context": 512}}, "serve", ["eval"]),
        ({"eval": {"max_tokens": 9}}, "eval", []),
    ],
)
def test_a_changed_part_of_the_recipe_runs_its_stage_and_what_follows(
    use: Use, tmp_path: Path, changed: dict[str, Any], first: str, also_skipped: list[str]
) -> None:
    use(real_inputs(changing))
    assert done(tmp_path).ran == ORDER
    assert done(tmp_path).ran == []
    expected = [name for name in ORDER[ORDER.index(first) :] if name not in also_skipped]
    assert done(tmp_path, recipe(**changed)).ran == expected
    assert done(tmp_path, recipe(**changed)).ran == []


def test_changed_rows_in_a_file_are_noticed(use: Use, tmp_path: Path) -> None:
    use(real_inputs(changing))
    given = recipe(data={"sources": [{"path": "rows.jsonl", "licence": "MIT"}]})
    here = tmp_path / "recipes"
    here.mkdir()
    (here / "rows.jsonl").write_text("one")
    folder = tmp_path / "run"
    done(folder, given, recipe_folder=here)
    assert done(folder, given, recipe_folder=here).ran == []
    (here / "rows.jsonl").write_text("two")
    assert done(folder, given, recipe_folder=here).ran == ORDER[1:]


def test_another_benchmark_prepares_the_rows_again_and_trains_only_if_they_differ(
    use: Use, tmp_path: Path
) -> None:
    """Whoever evaluates one benchmark more must not wait for a training of days once more."""
    folder = tmp_path / "run"
    clean = True

    def says(name: str, run: Run) -> str:
        return name if name != "data" else "rows" if clean else "fewer rows"

    use(real_inputs(says))
    done(folder)
    tasks = [{"name": "mini-zh-tw"}, {"name": "bfcl-java"}]
    assert done(folder, recipe(eval={"tasks": tasks})).ran[:2] == ["data", "eval"]
    clean = False
    more = recipe(eval={"tasks": [*tasks, {"name": "bfcl-javascript"}]})
    assert done(folder, more).ran[:2] == ["data", "train"]


def test_benchmarks_that_the_recipe_names_do_not_follow_its_tasks(use: Use, tmp_path: Path) -> None:
    use(real_inputs(changing))
    data = {"decontaminate": {"benchmarks": ["mini-zh-tw"]}}
    done(tmp_path, recipe(data=data))
    changed = recipe(data=data, eval={"tasks": [{"name": "bfcl-java"}]})
    assert "data" not in done(tmp_path, changed).ran


def test_a_data_set_of_the_hub_is_not_asked_for_by_a_complete_run(use: Use, tmp_path: Path) -> None:
    """It counts by the revision in the recipe: a complete run needs no network."""
    use(real_inputs(changing))
    given = recipe(data={"sources": [{"hub": "org/name", "revision": "v1"}]})
    done(tmp_path, given)
    assert done(tmp_path, given).ran == []
    other = recipe(data={"sources": [{"hub": "org/name", "revision": "v2"}]})
    assert done(tmp_path, other).ran == ORDER[1:]


def test_a_source_that_is_gone_is_a_sentence(use: Use, tmp_path: Path) -> None:
    use(real_inputs(changing))
    given = recipe(data={"sources": [{"path": "gone.jsonl", "licence": "MIT"}]})
    with pytest.raises(UserError, match=r"gone\.jsonl does not exist"):
        done(tmp_path / "run", given, recipe_folder=tmp_path)


def test_other_weights_in_the_same_base_folder_are_noticed(use: Use, tmp_path: Path) -> None:
    """As when the base is the checkpoint of another run, which was trained again."""
    use(real_inputs(changing))
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (base / "model.safetensors").write_bytes(b"one")
    given = recipe(base=str(base))
    done(tmp_path / "run", given)
    assert done(tmp_path / "run", given).ran == []
    (base / "model.safetensors").write_bytes(b"two")
    assert done(tmp_path / "run", given).ran == [name for name in ORDER if name != "data"]


def test_another_adapter_to_begin_with_trains_again(use: Use, tmp_path: Path) -> None:
    use(real_inputs(changing))
    start = write_lora(tmp_path / "start.gguf", seed=1)
    given = recipe(train={"lora": {"start": str(start)}})
    done(tmp_path / "run", given)
    assert done(tmp_path / "run", given).ran == []
    write_lora(start, seed=2)
    assert done(tmp_path / "run", given).ran == ORDER[ORDER.index("train") :]


def test_an_adapter_that_is_missing_is_said_before_the_first_stage(
    use: Use, tmp_path: Path
) -> None:
    use(real_inputs(changing))
    with pytest.raises(UserError, match="no-such is no adapter"):
        done(tmp_path / "run", recipe(train={"lora": {"start": "no-such"}}))
    assert not (tmp_path / "run").exists()


def test_a_complete_run_of_a_hub_model_needs_no_network(use: Use, tmp_path: Path) -> None:
    use(real_inputs(changing))
    given = recipe(base="hf:org/name@v1")
    done(tmp_path, given)
    assert done(tmp_path, given).ran == []


def test_one_gguf_is_left_when_the_quantisation_changes(use: Use, tmp_path: Path) -> None:
    """Two would make the run's name ambiguous, and the card describe the wrong one."""

    def export(run: Run) -> list[Path]:
        run.gguf.parent.mkdir(exist_ok=True)
        run.gguf.write_text("GGUF")
        return [run.gguf]

    use([s._replace(work=export) if s.name == "export" else s for s in real_inputs(changing)])
    done(tmp_path)
    done(tmp_path, recipe(export={"quantisation": "F16"}))
    assert [path.name for path in (tmp_path / "gguf").iterdir()] == ["model-F16.gguf"]
    assert (tmp_path / ".previous" / "gguf" / "model-Q8_0.gguf").exists()
