"""Pieces of the card by themselves: the Modelfile, licences, shards, figures of new kinds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from card_run import write_json, write_log
from formosa.card import licences
from formosa.card.claims import Claim
from formosa.card.figures import Sources
from formosa.card.hub import LICENSES
from formosa.card.modelfile import Turn, modelfile, turn_of
from formosa.card.run_files import role_of, shard_of
from formosa.card.write import _ollama_name
from formosa.chat.template import FAMILIES, ChatTemplate
from formosa.errors import CardError


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_the_control_tokens_of_our_template_are_found(name: str) -> None:
    family = FAMILIES[name]
    turn = turn_of(ChatTemplate.formosa(family).source)
    assert turn is not None
    assert (turn.open, turn.head, turn.close, turn.assistant) == (
        *(family.open, family.head, family.close, family.assistant),
    )


@pytest.mark.parametrize(
    "template",
    [
        "",
        "{{ messages }}",
        "{%- set turn = {'open': 'x'} -%} Formosa chat format",  # a field is missing
        "{%- set turn = {'open': open('/etc/passwd')} -%} Formosa chat format",
        "{%- set turn = {1: 2} -%} Formosa chat format",
        "{%- set turn = {'a': __import__('os')} -%} Formosa chat format",
    ],
)
def test_a_template_of_another_make_is_not_guessed_at(template: str) -> None:
    assert turn_of(template) is None


@given(st.text())
def test_any_text_may_stand_where_a_template_should(text: str) -> None:
    turn_of(text)
    turn_of("{%- set turn = {" + text + "} -%} Formosa chat format")


def test_a_token_cannot_break_out_of_the_modelfile() -> None:
    """The template is a stranger's: three quotes would end ours, two braces begin an action."""
    for token in ('"""', "{{ .Env }}"):
        fields = dict.fromkeys(Turn._fields, "x") | {"open": token}
        assert turn_of(f"{{%- set turn = {fields!r} -%}} Formosa chat format") is None


CHATML = Turn("", "<|im_start|>", "\n", "<|im_end|>", "\n", "assistant")


def test_the_modelfile_writes_the_turns_of_our_format() -> None:
    text = modelfile("gguf/m.gguf", CHATML, reasoning=False)
    assert text.startswith('FROM ./gguf/m.gguf\nTEMPLATE """')
    assert 'PARAMETER stop "<|im_end|>"' in text
    for words in ("<tools>", "<tool_call>", "<tool_response>", "<|im_start|>user\n"):
        assert words in text
    assert text.count("{{ end }}") + text.count("{{- end }}") == text.count("{{ if") + text.count(
        "{{- if"
    ) + text.count("{{ range")
    assert "<think>" not in text


def test_a_model_that_thinks_has_its_thoughts_in_the_template() -> None:
    assert "<think>\n{{ .Thinking }}" in modelfile("m.gguf", CHATML, reasoning=True)


def test_an_unknown_template_leaves_ollama_its_own() -> None:
    assert modelfile("m.gguf", None, reasoning=True) == "FROM ./m.gguf\nPARAMETER temperature 0"


@pytest.mark.parametrize(
    ("name", "plain"), [("mini", "mini"), ("My Model/3B", "my-model-3b"), ("模型", "model")]
)
def test_a_name_that_ollama_takes(name: str, plain: str) -> None:
    assert _ollama_name(name) == plain


def test_every_licence_of_the_table_is_one_of_the_hub() -> None:
    assert set(licences.LICENCES) <= LICENSES
    for licence in licences.LICENCES.values():
        assert licence.link.startswith("https://")


@pytest.mark.parametrize(
    ("said", "id"),
    [
        ("Apache-2.0", "apache-2.0"),
        ("apache  license 2.0", "apache-2.0"),
        ("CC-BY-4.0", "cc-by-4.0"),
        ("llama3.2", "llama3.2"),
        ("unknown", ""),
        ("other", ""),
        ("my own terms", ""),
        ("", ""),
    ],
)
def test_a_licence_as_the_hub_writes_it(said: str, id: str) -> None:
    assert licences.hub_id(said) == id


def test_only_llamas_must_be_named_so() -> None:
    assert licences.name_breaks("llama3.2", "mini") == "Llama"
    assert licences.name_breaks("llama3.2", "Llama-mini") == ""
    for licence in ("apache-2.0", "gemma", "my own terms", ""):
        assert licences.name_breaks(licence, "mini") == ""


def claim(metric: str, *files: str, scorer: str = "box", pointer: str = "") -> Claim:
    return Claim("t", ("r",), "c", "", files, metric, scorer, pointer)


def test_plus_minus_is_the_spread_of_the_runs_in_points(tmp_path: Path) -> None:
    """Four of four right, then two of four: a mean of 75 with 25 points on either side."""
    write_log(
        tmp_path / "base-x.jsonl", task="x", model="m", outcomes={"box": ["CCCC", "CCWW"]},
        repeats=2,
    )  # fmt: skip
    printed = Sources(tmp_path).printed(claim("runs", "base-x.jsonl"))
    assert printed.startswith("75.0 ±25.0 [")
    assert printed.endswith(" n=4")


def test_one_run_has_no_spread(tmp_path: Path) -> None:
    write_log(tmp_path / "base-x.jsonl", task="x", model="m", outcomes={"box": ["CCWW"]})
    assert "±" not in Sources(tmp_path).printed(claim("runs", "base-x.jsonl"))


def test_the_mean_is_of_unrounded_scores(tmp_path: Path) -> None:
    names = []
    for i, letters in enumerate(("CWW", "CWW", "CCW")):  # 33.33, 33.33, 66.67
        names.append(f"base-t{i}.jsonl")
        write_log(tmp_path / names[-1], task=f"t{i}", model="m", outcomes={"box": [letters]})
    assert Sources(tmp_path).printed(claim("mean", *names)) == "44.4"


def test_a_seed_of_0_is_no_missing_one(tmp_path: Path) -> None:
    """It was printed as a dash."""
    start = {"plan": {"seed": 0}}
    path = tmp_path / "base-x.jsonl"
    write_log(path, task="x", model="m", outcomes={"box": ["C"]}, start=start)
    sources = Sources(tmp_path)
    assert sources.printed(claim("seeds", "base-x.jsonl")) == "0"
    assert sources.printed(claim("temperature", "base-x.jsonl")) == "0"
    assert sources.printed(claim("engine", "base-x.jsonl")) == "–"


@pytest.mark.parametrize("value", [{"value": 0.5}, 3, None, {"value": "x", "low": 0, "high": 1}])
def test_an_interval_of_another_shape_is_an_error(tmp_path: Path, value: object) -> None:
    write_json(tmp_path / "r.json", {"a": value})
    with pytest.raises(CardError):
        Sources(tmp_path).printed(claim("interval", "r.json", pointer="/a"))


def test_two_evaluations_are_not_one(tmp_path: Path) -> None:
    for name in ("base-x.jsonl", "trained-x.jsonl"):
        write_log(tmp_path / name, task="x", model="m", outcomes={"box": ["C"]})
    with pytest.raises(CardError, match="2 evaluations"):
        Sources(tmp_path).printed(claim("score", "base-x.jsonl", "trained-x.jsonl"))


@settings(deadline=None)  # the machine may be busy
@given(
    letters=st.text("CWUTF", min_size=4, max_size=12),
    of=st.integers(1, 4),
)
def test_any_cut_into_shards_gives_the_figures_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, letters: str, of: int
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    write_log(folder / "base-x.jsonl", task="x", model="m", outcomes={"box": [letters]})
    names = [f"base-x-{number}.jsonl" for number in range(1, of + 1)]
    for number, name in enumerate(names, start=1):
        write_log(
            folder / name, task="x", model="m", outcomes={"box": [letters]}, shard=(number, of)
        )
    sources = Sources(folder)
    for metric in ("score", "runs", "correct", "wrong", "unparsed", "truncated", "failed", "asked"):
        whole = sources.printed(claim(metric, "base-x.jsonl"))
        assert sources.printed(claim(metric, *names)) == whole
        assert sources.printed(claim(metric, *reversed(names))) == whole


def test_a_shard_that_says_nonsense_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "base-x.jsonl"
    write_log(path, task="x", model="m", outcomes={"box": ["CC"]}, shard=(1, 2))
    path.write_text(path.read_text().replace('"number": 1', '"number": "one"'))
    with pytest.raises(CardError, match="says of its shard"):
        shard_of(Sources(tmp_path).log("base-x.jsonl"))


def test_the_role_is_how_the_name_of_a_log_begins() -> None:
    assert role_of("logs/trained-bfcl-simple.jsonl") == "trained"
    assert role_of("logs/base-x.jsonl") == "base"
