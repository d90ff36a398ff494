"""The recipes that ship, and what the command line may change in one: `--set` and `--smoke`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from command_line import formosa
from formosa.errors import RecipeError
from formosa.run.recipe import dump_recipe, load_recipe, smoke

RECIPES = Path(__file__).parents[1] / "recipes"
SMALL = ("mini", "formosa-mini")  # trained on two cores
ALL = sorted(RECIPES.glob("*.yaml"))
START = "name: x\nbase: smollm2-135m\n"
EIGHT = "h200"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "x.yaml"
    path.write_text(START, encoding="utf-8")
    return path


# -- the recipes of the repository ---------------------------------------------------------------


def test_the_recipes_of_the_cards_are_there() -> None:
    assert {"mini", "f1-base", "f1-instruct", "f1-reasoning", "lora-3b"} <= {p.stem for p in ALL}


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_recipe_can_be_planned_tried_and_is_named_like_its_file(path: Path) -> None:
    assert formosa("run", path, "--plan").code == 0
    tried = formosa("run", path, "--plan", "--smoke", "--json")
    assert tried.code == 0, tried.err
    assert tried.json["name"] == f"{path.stem}-smoke"


@pytest.mark.parametrize(
    "path", [p for p in ALL if p.stem not in SMALL], ids=lambda path: path.stem
)
def test_a_big_recipe_says_how_it_scales_and_under_which_licence(path: Path) -> None:
    head = path.read_text(encoding="utf-8").partition("\nname:")[0]
    for words in ("--smoke", "train plan", "How it scales", "a node of 8", "--launch accelerate",
                  "Licences:", "Llama 3.2 Community License"):  # fmt: skip
        assert words in head, words


@pytest.mark.parametrize(
    "path", [p for p in ALL if p.stem not in SMALL], ids=lambda path: path.stem
)
@pytest.mark.parametrize("devices", [1, 8, 16])
def test_a_big_recipe_fits_what_its_head_names(path: Path, devices: int) -> None:
    if path.stem == "lora-3b" and devices == 16:
        return  # its head says that several nodes are not worth it
    done = formosa("train", "plan", path, "--gpu", EIGHT, "--gpus", devices, "--json")
    assert done.code == 0, done.err
    assert done.json["memory"][0]["fits"] is True
    assert done.json["parameters"] == 3_212_749_824


def test_the_adapters_of_a_3b_model_fit_a_24_gb_card() -> None:
    path = RECIPES / "lora-3b.yaml"
    done = formosa("train", "plan", path, "--gpu", "4090", "--json")
    assert done.json["memory"][0]["fits"] is True
    small = formosa("train", "plan", path, "--gpu", "4090", "--json", "--set", "train.method=qlora")
    assert small.json["memory"][0]["total"] < 12 * 1024**3


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_every_source_of_the_hub_has_its_revision_written_down(path: Path) -> None:
    """`main` moves: the recipe says where the commit of the first run is found."""
    loaded = load_recipe(path)
    text = path.read_text(encoding="utf-8")
    hubs = [source for source in loaded.data.sources if source.hub]
    assert len(re.findall(r"\n +revision: ", text)) == len(hubs)
    if hubs:
        assert "data/report.json" in text
    if loaded.base.startswith("hf:"):
        assert "@" in loaded.base
        assert "model.json" in text


def test_the_stages_of_f1_follow_each_other() -> None:
    """Continued pre-training, then conversations; never the other way round."""
    base, instruct, reasoning = (
        load_recipe(RECIPES / f"f1-{name}.yaml") for name in ("base", "instruct", "reasoning")
    )
    assert base.train.objective == "cpt"
    assert base.base == "hf:meta-llama/Llama-3.2-3B@main"
    assert instruct.base == reasoning.base == "hf:lianghsun/Llama-3.2-3B-F1-Base@main"
    assert instruct.train.objective == reasoning.train.objective == "sft"
    named = {"tw-reasoning-instruct", "tw-instruct-r1-200k", "tw-mm-r1"}
    for recipe in (instruct, reasoning):
        assert named <= {source.hub for source in recipe.data.sources}
    assert reasoning.train.thinking == "drop"  # of earlier turns, as servers do
    assert reasoning.data.synth.thinking > 0 == instruct.data.synth.thinking


# -- --set ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "place", "value"),
    [
        ("train.learning_rate=1e-5", "train.learning_rate", 1e-5),
        ("train.lora.rank=8", "train.lora.rank", 8),
        ("train.packing=true", "train.packing", True),
        ("train.max_steps=null", "train.max_steps", None),
        ("train.betas=[0.9, 0.95]", "train.betas", (0.9, 0.95)),
        ("base=a=b", "base", "a=b"),
        ("name=20", "name", "20"),
        ("eval.temperature = 0.5", "eval.temperature", 0.5),
        ("data.synth.languages={en: 1}", "data.synth.languages", {"en": 1}),
    ],
)
def test_a_value_is_set_as_the_schema_wants_it(
    recipe: Path, change: str, place: str, value: Any
) -> None:
    found: Any = load_recipe(recipe, [change])
    for step in place.split("."):
        found = getattr(found, step)
    assert found == value


@pytest.mark.parametrize("place", ["eval.tasks.1.limit", "eval.tasks[1].limit"])
def test_an_item_of_a_list_is_counted_from_0(recipe: Path, place: str) -> None:
    with recipe.open("a") as file:
        file.write("eval: {tasks: [{name: bfcl-simple}, {name: mini-zh-tw}]}\n")
    tasks = load_recipe(recipe, [f"{place}=3"]).eval.tasks
    assert [task.limit for task in tasks] == [None, 3]


def test_the_last_of_several_wins_and_they_work_together(recipe: Path) -> None:
    changes = ["train.seed=1", "train.rows_per_step=4", "train.rows_at_once=2", "train.seed=3"]
    train = load_recipe(recipe, changes).train
    assert (train.seed, train.rows_per_step, train.rows_at_once) == (3, 4, 2)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("train.learning_rat=1", "unknown key 'train.learning_rat'; did you mean 'learning_rate'?"),
        ("train.seed=many", "train.seed: input should be a valid integer"),
        ("train.seed", "write KEY=VALUE."),
        ("=1", "write KEY=VALUE."),
        ("name.x=1", "name is no mapping of keys to values."),
        ("eval.tasks.0.limit=1", "eval.tasks is no mapping"),
        ("train.betas=[0.9", "the value is not valid YAML."),
        ("train.epochs=yes", "yes, no, true and false are no numbers."),
    ],
)
def test_a_wrong_change_is_refused_with_its_own_words(
    recipe: Path, change: str, sentence: str
) -> None:
    if change.startswith("eval.tasks"):
        recipe.write_text(f"{START}eval: {{tasks: x}}\n", encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe, [change])
    assert caught.value.message.startswith(f"--set {change}: ")
    assert sentence in caught.value.message


def test_an_item_that_is_not_there_is_refused(recipe: Path) -> None:
    with recipe.open("a") as file:
        file.write("eval: {tasks: [{name: bfcl-simple}]}\n")
    with pytest.raises(RecipeError, match="has 1 items, counted from 0; '1' is none of them"):
        load_recipe(recipe, ["eval.tasks.1.limit=3"])


def test_a_changed_recipe_is_what_the_run_folder_keeps(recipe: Path) -> None:
    done = formosa("run", recipe, "--plan", "--json", "--set", "train.lora.rank=8")
    assert done.json["train"]["lora"]["rank"] == 8


# -- --smoke -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_trial_is_small_everywhere_and_writes_a_recipe_that_reads_back(
    path: Path, tmp_path: Path
) -> None:
    whole = load_recipe(path)
    tried = smoke(whole)
    assert tried.train.max_steps == 2
    assert tried.train.warmup_steps <= 1
    assert tried.data.synth.rows <= 24
    assert all(source.limit is not None and source.limit <= 24 for source in tried.data.sources)
    assert all(task.limit == 2 and task.repeats == 1 for task in tried.eval.tasks)
    # what decides memory and shape of a step is not touched: that is what is tried
    for key in ("max_tokens", "rows_per_step", "rows_at_once", "packing", "method", "precision"):
        assert getattr(tried.train, key) == getattr(whole.train, key), key
    written = tmp_path / "recipe.yaml"
    written.write_text(dump_recipe(tried), encoding="utf-8")
    assert load_recipe(written) == tried


def test_a_trial_does_not_grow_what_is_small_already(recipe: Path) -> None:
    changes = ["data.heldout=1", "data.synth.rows=5", "train.max_steps=1", "train.measure_rows=0",
               "train.warmup_steps=0"]  # fmt: skip
    tried = smoke(load_recipe(recipe, changes))
    assert (tried.data.heldout, tried.data.synth.rows) == (1, 5)
    assert (tried.train.max_steps, tried.train.measure_rows) == (1, 0)
