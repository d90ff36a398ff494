"""A recipe is read strictly: what is mistyped stops a run before it starts, with its line."""

from __future__ import annotations

import re
import string
from difflib import SequenceMatcher
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from formosa.errors import RecipeError
from formosa.run.recipe import Recipe, dump_recipe, load_recipe

RECIPES = Path(__file__).parents[1] / "recipes"
MINI = RECIPES / "mini.yaml"
START = "name: x\nbase: y\n"  # the least that a recipe must say


def recipe_of(folder: Path, text: str) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path)


def problems_of(folder: Path, text: str) -> list[str]:
    """The lines of the error, without the path that they begin with."""
    with pytest.raises(RecipeError) as caught:
        recipe_of(folder, text)
    lines = caught.value.message.splitlines()
    assert all(str(folder / "recipe.yaml") in line for line in lines)
    return [line.removeprefix(str(folder / "recipe.yaml")) for line in lines]


# -- recipes that work ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_repository_loads_and_reads_back(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe_of(tmp_path, dump_recipe(recipe)) == recipe
    # Formosa-mini's rows of others are fetched by the commands at the top of its recipe.
    own = [item.path for item in recipe.data.sources if item.path and path.stem != "formosa-mini"]
    assert all((RECIPES / name).is_file() for name in own)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_recipe_explains_every_value(path: Path) -> None:
    """They are what people copy: a value without a comment is a question."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if re.match(r" *(- )?[\w-]+: [^#]", line) and not re.match(r" *- hub: \S+$", line):
            assert "#" in line, line


def test_a_recipe_needs_only_a_name_and_a_base(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, START)
    assert (recipe.name, recipe.base) == ("x", "y")
    assert recipe.export.quantisation == "Q8_0"
    written = yaml.safe_load(dump_recipe(recipe))
    assert written["train"]["lora"]["rank"] == 16


@pytest.mark.parametrize("text", ["1e-3", "1.0e-3", "0.001", "1E-3", "+1e-3", "'1e-3'"])
def test_rates_may_be_written_as_people_write_them(text: str, tmp_path: Path) -> None:
    """YAML 1.1 reads `1e-3`, without a point, as a string."""
    recipe = recipe_of(tmp_path, f"{START}train:\n  learning_rate: {text}\n")
    assert recipe.train.learning_rate == 0.001


def test_names_and_paths_may_be_chinese(tmp_path: Path) -> None:
    text = "name: 福爾摩沙\nbase: 模型/檔案.gguf\ndata: {sources: [{path: 資料, licence: MIT}]}\n"
    recipe = recipe_of(tmp_path, text)
    assert recipe.name == "福爾摩沙"
    assert "福爾摩沙" in dump_recipe(recipe)
    assert recipe_of(tmp_path, dump_recipe(recipe)) == recipe


def test_parts_may_be_shared_with_anchors(tmp_path: Path) -> None:
    text = f"{START}train: {{seed: &seed 5}}\ndata: {{seed: *seed}}\n"
    assert recipe_of(tmp_path, text).data.seed == 5


changes = st.fixed_dictionaries(
    {
        "data": st.fixed_dictionaries(
            {"seed": st.integers(0, 2**40), "heldout": st.integers(0, 1000)}
        ),
        "train": st.fixed_dictionaries(
            {
                "learning_rate": st.floats(1e-12, 10, allow_subnormal=False),
                "epochs": st.floats(1e-6, 1e6),
                "max_steps": st.none() | st.integers(6, 10**6),  # after the warm-up
                "method": st.sampled_from(["lora", "full"]),
            }
        ),
        "eval": st.fixed_dictionaries({"temperature": st.floats(0, 2)}),
        "name": st.from_regex(r"[a-zA-Z0-9_][\w.-]{0,20}", fullmatch=True, alphabet=st.characters(
            codec="ascii")),
        "base": st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
    }
)  # fmt: skip


@given(value=changes)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_written_recipe_reads_back_equal(value: dict[str, object], tmp_path: Path) -> None:
    """To the last bit of a float: `recipe.yaml` of a run must make the same model again."""
    recipe = Recipe.model_validate(value)
    assert recipe_of(tmp_path, dump_recipe(recipe)) == recipe


# -- keys ----------------------------------------------------------------------------------------

FULL = dump_recipe(load_recipe(MINI))
KEY = re.compile(r"( *(?:- )?)([\w-]+):")
FREE = ("kinds", "languages")  # their keys are data, not schema


def keys_of(text: str) -> list[tuple[int, str]]:
    """(line from 0, key) of every key that the schema knows."""
    found, free = [], None
    for number, line in enumerate(text.splitlines()):
        match = KEY.match(line)
        if match is None:
            assert re.fullmatch(r" *- [^:]*", line), line  # an item of a list of values
            continue
        indent = len(match[1])
        if free is not None and indent > free:
            continue
        free = indent if match[2] in FREE else None
        found.append((number, match[2]))
    return found


KEYS = keys_of(FULL)


@given(data=st.data())
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150
)
def test_a_mistyped_key_is_refused_with_its_line_and_the_right_one(
    data: st.DataObject, tmp_path: Path
) -> None:
    number, key = data.draw(st.sampled_from(KEYS))
    at = data.draw(st.integers(0, len(key) - 1))
    letter = data.draw(st.sampled_from(string.ascii_lowercase + "_"))
    how = data.draw(st.sampled_from(["drop", "replace", "insert", "swap"]))
    typed = {
        "drop": key[:at] + key[at + 1 :],
        "replace": key[:at] + letter + key[at + 1 :],
        "insert": key[:at] + letter + key[at:],
        "swap": key[:at] + key[at : at + 2][::-1] + key[at + 2 :],
    }[how]
    assume(typed not in {known for _, known in KEYS})
    lines = FULL.splitlines()
    lines[number] = KEY.sub(lambda match: f"{match[1]}{typed}:", lines[number], count=1)
    problems = problems_of(tmp_path, "\n".join(lines))
    unknown = next(line for line in problems if "unknown key" in line)
    assert unknown.startswith(f":{number + 1}: unknown key '")
    assert re.search(rf"[.']{typed}';", unknown)
    (near,) = re.findall(r"; did you mean '(\w+)'\?$", unknown)
    # 'bets' may be 'betas' or 'best': what is offered is a key, and no further away.
    assert near in {known for _, known in KEYS}
    assert SequenceMatcher(None, near, typed).ratio() >= SequenceMatcher(None, key, typed).ratio()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("trian: {}\n", ":3: unknown key 'trian'; did you mean 'train'?"),
        (
            "train:\n  lora:\n    rnk: 4\n",
            ":5: unknown key 'train.lora.rnk'; did you mean 'rank'?",
        ),
        (
            "eval:\n  tasks:\n    - {name: bfcl-simple, limt: 3}\n",
            ":5: unknown key 'eval.tasks[0].limt'; did you mean 'limit'?",
        ),
        (
            "serve:\n  qqq: 1\n",
            ":4: unknown key 'serve.qqq'; known are context, hold_calls.",
        ),
    ],
)
def test_a_key_is_named_with_all_that_is_above_it(text: str, problem: str, tmp_path: Path) -> None:
    assert problems_of(tmp_path, START + text) == [problem]


def test_every_problem_gets_its_line(tmp_path: Path) -> None:
    text = "name: x\ntrain:\n  epochs: 0\n  sed: 1\nserve:\n  context: many\n"
    assert problems_of(tmp_path, text) == [
        ": the key 'base' is missing.",
        ":3: train.epochs: input should be greater than 0.",
        ":4: unknown key 'train.sed'; did you mean 'seed'?",
        ":6: serve.context: input should be a valid integer, unable to parse string as an integer.",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("base: z\n", ":3: the key 'base' is given twice."),
        ("train:\n  seed: 1\n  seed: 2\n", ":5: the key 'train.seed' is given twice."),
        (
            "eval:\n  tasks:\n    - {name: mini-zh-tw, name: bfcl-simple}\n",
            ":5: the key 'eval.tasks[0].name' is given twice.",
        ),
    ],
)
def test_a_key_given_twice_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    """YAML would take the last one without a word."""
    assert problems_of(tmp_path, START + text) == [problem]


@pytest.mark.parametrize("key", ["1", "on", "no", "null", "2026-01-01"])
def test_a_key_that_yaml_reads_as_no_text_is_refused(key: str, tmp_path: Path) -> None:
    problem = f":3: the key {key!r} is read as no text; put it in quotes."
    assert problems_of(tmp_path, f"{START}{key}: 1\n") == [problem]


def test_a_missing_part_of_a_list_names_the_item(tmp_path: Path) -> None:
    text = f"{START}eval:\n  tasks:\n    - name: bfcl-simple\n      limit: 3\n    - limit: 4\n"
    assert problems_of(tmp_path, text) == [":7: the key 'eval.tasks[1].name' is missing."]


# -- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("train:\n  lora: 16\n", ":4: train.lora: must be a mapping of keys to values."),
        ("train:\n", ":3: train: must be a mapping of keys to values."),
        ("eval:\n  tasks: mini\n", ":4: eval.tasks: input should be a valid list."),
        (
            "train:\n  method: dora\n",
            ":4: train.method: input should be 'lora', 'full' or 'qlora'.",
        ),
        (
            "train:\n  rows_per_step: 1.5\n",
            ":4: train.rows_per_step: input should be a valid integer, got a number with a "
            "fractional part.",
        ),
        (
            "export:\n  quantisation: Q4\n",
            ":4: export.quantisation: input should be 'F32', 'F16', 'BF16'",
        ),
        ("train:\n  epochs: yes\n", ":4: train.epochs: yes, no, true and false are no numbers."),
        (
            "train:\n  lora: {rank: true}\n",
            ":4: train.lora.rank: yes, no, true and false are no numbers.",
        ),
        ("train:\n  epochs: .inf\n", ":4: train.epochs: input should be a finite number."),
        ("train:\n  epochs: .nan\n", ":4: train.epochs: input should be greater than 0."),
        (
            "eval:\n  tasks: [{name: no-such}]\n",
            ":4: eval.tasks[0].name: no such task; the tasks: ",
        ),
        ("data:\n  synth: {kinds: {singel: 1}}\n", ":4: data.synth: no kind 'singel'; there are "),
    ],
)
def test_a_value_that_cannot_be_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    (found,) = problems_of(tmp_path, START + text)
    assert found.startswith(problem)


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "", "a b", "-x"])
def test_a_name_must_be_able_to_name_a_folder(name: str, tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, f"name: {name!r}\nbase: y\n")
    assert problem.startswith(":1: name: ")


# -- what is no recipe ---------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n- b\n", "just words\n", "3\n"])
def test_what_is_no_mapping_is_no_recipe(text: str, tmp_path: Path) -> None:
    problem = " is not a recipe: it must be a mapping of keys to values."
    assert problems_of(tmp_path, text) == [problem]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: x\n\tbase: y\n", 2),
        ("name: 'x\nbase: y\n", 3),
        ("name: x\nbase: [1, 2\ntrain: {}\n", 3),
        ("name: x\nbase: !!python/object/apply:os.system [true]\n", 2),
        ("name: x\n---\nname: y\n", 2),
        ("name: *nowhere\n", 1),
        ("? [a]\n: 1\n", 1),
    ],
)
def test_what_is_no_yaml_says_where(text: str, line: int, tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, text)
    assert problem.startswith(f":{line} is not valid YAML: ")


@pytest.mark.parametrize(
    "text", ["name: x\x01\n", "name: 2026-13-45\nbase: y\n", "a: &a [*a]\n", "[" * 5000]
)
def test_odd_bytes_dates_and_circles_are_one_sentence(text: str, tmp_path: Path) -> None:
    assert len(problems_of(tmp_path, text)) == 1


def test_a_missing_recipe_a_folder_and_other_encodings_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path / "none.yaml")
    assert caught.value.message == f"There is no recipe {tmp_path / 'none.yaml'}."
    assert "recipes/mini.yaml" in caught.value.hint
    (tmp_path / "big5.yaml").write_bytes("name: 台灣\n".encode("big5"))
    for path in (tmp_path, tmp_path / "big5.yaml"):
        with pytest.raises(RecipeError) as caught:
            load_recipe(path)
        assert caught.value.message.startswith(f"The recipe {path} can't be read: ")
