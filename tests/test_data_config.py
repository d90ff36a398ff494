"""The `data:` part: what it takes, what it refuses, and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from formosa.data.config import DataConfig, MixtureConfig, load_data_config
from formosa.data.synth.dialogue import KINDS
from formosa.errors import RecipeError

PATH = {"path": "a.jsonl", "licence": "MIT"}
HUB = {"hub": "org/name", "revision": "v1"}


def load(tmp_path: Path, value: Any) -> DataConfig:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8")
    return load_data_config(path)


def refused(tmp_path: Path, value: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, value)
    return caught.value.message


@pytest.mark.parametrize(
    ("value", "key", "near"),
    [
        ({"surces": []}, "data.surces", "sources"),
        ({"mixtur": {}}, "data.mixtur", "mixture"),
        ({"mixture": {"repeet": True}}, "data.mixture.repeet", "repeat"),
        ({"clean": {"punctation": True}}, "data.clean.punctation", "punctuation"),
        ({"quality": {"refusal": True}}, "data.quality.refusal", "refusals"),
        ({"duplicates": {"nier": 0.9}}, "data.duplicates.nier", "near"),
        ({"decontaminate": {"benchmark": []}}, "data.decontaminate.benchmark", "benchmarks"),
        ({"synth": {"thinkin": 0.1}}, "data.synth.thinkin", "thinking"),
        ({"sources": [{**PATH, "licens": "x"}]}, "data.sources.0.licens", "licence"),
        ({"max_character": 3}, "data.max_character", "max_characters"),
    ],
)
def test_a_mistyped_key_is_named_with_the_one_that_was_meant(
    value: dict[str, Any], key: str, near: str, tmp_path: Path
) -> None:
    assert f"unknown key {key}, did you mean {near!r}" in refused(tmp_path, {"data": value})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"heldout": -1}, "data.heldout: Input should be greater than or equal to 0"),
        ({"seed": "one"}, "data.seed: Input should be a valid integer"),
        ({"rejects": -2}, "data.rejects: Input should be greater than or equal to 0"),
        ({"mixture": {"rows": "all"}}, "data.mixture.rows: Input should be a valid integer"),
        ({"duplicates": {"near": 1.5}}, "data.duplicates.near: Input should be less than"),
        ({"clean": {"converter": "s2hk"}}, "data.clean.converter: Input should be 's2twp'"),
        ({"sources": [{"licence": "MIT"}]}, "data.sources.0: give either path or hub"),
        ({"sources": [{**PATH, **HUB}]}, "data.sources.0: give either path or hub"),
        ({"sources": [{**PATH, "weight": 0}]}, "data.sources.0.weight: Input should be greater"),
        ({"sources": {"path": "a"}}, "data.sources: Input should be a valid list"),
        ({"files": [PATH]}, "data: `files` is called `sources` now, with the same keys"),
        ({"sources": [{**PATH, "weight": 2}]}, "add `mixture: {}`"),
        ({"sources": [PATH, {**HUB, "hub": "org/a"}]}, "data: two sources have the same name"),
        ({"sources": [{**PATH, "name": "synth"}]}, "data: two sources have the same name"),
        ({"synth": {"kinds": {"none": 1}}}, "data.synth: no kind 'none'"),
        ([], "data: Input should be"),
    ],
)
def test_a_wrong_value_is_a_sentence_with_its_place(value: Any, words: str, tmp_path: Path) -> None:
    assert words in refused(tmp_path, {"data": value})


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    message = refused(tmp_path, {"data": {"seed": -1, "heldout": -1, "surces": []}})
    assert message.count(";") == 2
    assert all(word in message for word in ("data.seed", "data.heldout", "data.surces"))


def test_a_recipe_without_data_takes_every_default(tmp_path: Path) -> None:
    assert load(tmp_path, {"data": None}) == load(tmp_path, {}) == DataConfig()
    assert DataConfig().mixture is None and DataConfig().decontaminate.benchmarks is None


def test_names_of_sources_are_their_own_unless_the_recipe_gives_one(tmp_path: Path) -> None:
    sources = [
        {**PATH, "path": "folder/mine.jsonl.gz"},
        HUB,
        {**HUB, "name": "again"},
        {**PATH, "path": "glaive/*.parquet"},
    ]
    config = load(tmp_path, {"sources": sources})
    assert [source.source for source in config.sources] == ["mine", "name", "again", "glaive"]


def test_a_mixture_may_be_written_in_two_letters(tmp_path: Path) -> None:
    config = load(tmp_path, {"sources": [{**PATH, "weight": 2}, HUB], "mixture": {}})
    assert config.mixture == MixtureConfig(rows=None, repeat=False)
    assert [source.weight for source in config.sources] == [2, 1]


def test_nothing_in_a_config_can_be_changed_by_who_reads_it() -> None:
    """Stages hash it, and work on it later."""
    config = DataConfig()
    for part in (config, config.synth, config.clean, config.quality, config.duplicates):
        with pytest.raises(pydantic.ValidationError, match="frozen"):
            setattr(part, next(iter(type(part).model_fields)), 1)


CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 9),
        "heldout": st.integers(0, 99),
        "max_characters": st.one_of(st.none(), st.integers(1, 9999)),
        "skip_bad": st.booleans(),
        "rejects": st.one_of(st.none(), st.integers(0, 9)),
        "mixture": st.sampled_from([{}, {"rows": 9}, {"repeat": True}]),
        "sources": st.lists(st.sampled_from([PATH, HUB]), max_size=2, unique_by=str),
        "synth": st.fixed_dictionaries(
            {"rows": st.integers(0, 9)},
            optional={
                "kinds": st.dictionaries(st.sampled_from(sorted(KINDS)), st.just(1.0), min_size=1),
                "thinking": st.floats(0, 1),
            },
        ),
        "duplicates": st.sampled_from([{}, {"near": None}, {"exact": False, "near": 0.9}]),
        "decontaminate": st.sampled_from([{}, {"benchmarks": []}, {"words": None}]),
        "clean": st.sampled_from([{}, {"purity": 0.5, "vocabulary": "always"}]),
    },
)


@given(CONFIGS)
def test_whatever_is_written_out_reads_back_equal(value: dict[str, Any]) -> None:
    """A run keeps its recipe with every default; it must be the same recipe."""
    config = DataConfig.model_validate(value)
    text = yaml.safe_dump(config.model_dump(mode="json"), allow_unicode=True)
    assert DataConfig.model_validate(yaml.safe_load(text)) == config
