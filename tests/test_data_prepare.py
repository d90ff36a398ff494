"""Preparing data: what goes in comes out or is counted, and no question is in both splits."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.data.config import DataConfig, MixtureConfig, load_data_config
from formosa.data.decontaminate import Benchmark
from formosa.data.prepare import prepare
from formosa.data.rejects import read_rejects
from formosa.data.report import Report
from formosa.data.rows import Row, read_rows
from formosa.data.sources.config import SourceConfig
from formosa.data.synth.config import SynthConfig
from formosa.data.validate import BadRowError, validate_row
from formosa.errors import DataError, RecipeError, UserError
from formosa.files import read_json, sha256_file

SMALL = SynthConfig(rows=30)
NONE = SynthConfig(rows=0)
FILES = ("train.jsonl", "heldout.jsonl", "rejects.jsonl", "report.json")
# What these tests are about is said by them; what cleaning and quality do, by their own tests.
NEAR = {"duplicates": {"near": None}}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "weather", "description": "The weather of a city", "parameters": SCHEMA}
TOOL = {"type": "function", "function": FUNCTION}


def call(name: str = "weather", arguments: str = '{"city": "Oslo"}') -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": "c0", "type": "function", "function": function}


def row(question: str = "Weather in Oslo?", **change: Any) -> dict[str, Any]:
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": "", "tool_calls": [call()]},
    ]
    return {"messages": messages, "tools": [TOOL], **change}


def write(path: Path, *values: Any) -> Path:
    lines = [value if isinstance(value, str) else json.dumps(value) for value in values]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def config_of(*paths: Path, synth: SynthConfig = NONE, **change: Any) -> DataConfig:
    sources = [{"path": str(path), "licence": "MIT"} for path in paths]
    value = {"synth": synth.model_dump(), "heldout": 0, "sources": sources, **NEAR, **change}
    return DataConfig.model_validate(value)


def from_file(path: Path, **change: Any) -> DataConfig:
    return config_of(sources=[{"path": str(path), "licence": "MIT", **change}])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def check_adds_up(report: Report, folder: Path) -> None:
    """Every row that came in went out or was refused for a reason, and the files hold the rest."""
    for source in report.sources:
        assert source.rows_in == source.rows_out + sum(source.dropped.values()), source
        assert source.heldout <= source.rows_out
        assert source.examples.keys() == source.dropped.keys()
        assert all(source.examples.values())
    written = sum(source.rows_out + source.repeated for source in report.sources)
    assert written == sum(report.rows.values())
    for name, count in report.rows.items():
        assert len(list(read_rows(folder / f"{name}.jsonl"))) == count
        assert report.sha256[name] == sha256_file(folder / f"{name}.jsonl")
    used = sum(source.rows_out for source in report.sources)
    assert used == sum(report.kinds.values()) == sum(report.languages.values())
    assert used == sum(item["rows"] for item in report.characters["histogram"])
    assert sum(report.dropped.values()) == sum(
        count for source in report.sources for count in source.dropped.values()
    )


def test_the_files_agree_with_each_other(tmp_path: Path) -> None:
    report = prepare(DataConfig(synth=SMALL, heldout=10), tmp_path)
    written = read_json(tmp_path / "report.json")
    assert written == report.to_json() and written["schema"] == 2
    assert written["rows"] == {"train": 30, "heldout": 10}
    assert set(contents(tmp_path)) == set(FILES)
    check_adds_up(report, tmp_path)
    (source,) = written["sources"]
    assert source["name"] == "synth" and source["rows_in"] == source["rows_out"] == 40


def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path) -> None:
    lines = [row(f"Weather in Oslo on day {i % 15}?") for i in range(30)]
    path = write(tmp_path / "mine.jsonl", *lines)
    source = {"path": str(path), "licence": "MIT", "limit": 12}
    config = config_of(seed=5, synth=SMALL, heldout=9, sources=[source])
    for name in "ab":
        prepare(config, tmp_path / name)
    prepare(config.model_copy(update={"seed": 6}), tmp_path / "c")
    first, second, other = (contents(tmp_path / name) for name in "abc")
    assert first == second
    assert first["train.jsonl"] != other["train.jsonl"]


def test_no_question_is_in_both_splits(tmp_path: Path) -> None:
    lines = [row(f"Weather in Oslo on day {i % 6}?", id=str(i)) for i in range(12)]
    for i, value in enumerate(lines):  # the same questions again, with other answers
        value["messages"][1]["content"] = f"Let me look, attempt {i}."
    path = write(tmp_path / "mine.jsonl", *lines)
    report = prepare(config_of(path, synth=SMALL, heldout=21), tmp_path)
    train = {item.question for item in read_rows(tmp_path / "train.jsonl")}
    heldout = list(read_rows(tmp_path / "heldout.jsonl"))
    assert not train & {item.question for item in heldout}
    assert {item.source for item in heldout} == {"synth", "mine"}
    check_adds_up(report, tmp_path)


def test_thinking_twins_are_trained_on_and_not_measured(tmp_path: Path) -> None:
    synth = SynthConfig(rows=20, thinking=1.0)
    report = prepare(DataConfig(synth=synth, heldout=6), tmp_path)
    assert report.rows == {"train": 40, "heldout": 6}
    check_adds_up(report, tmp_path)
    held = list(read_rows(tmp_path / "heldout.jsonl"))
    assert not any(message.reasoning for item in held for message in item.messages)


def test_a_question_that_the_generator_holds_out_is_not_trained_on(tmp_path: Path) -> None:
    """Somebody may have saved generated rows, the held-out ones too, and named them as a source."""
    prepare(DataConfig(synth=SMALL, heldout=10), tmp_path / "first")
    path = (tmp_path / "first" / "heldout.jsonl").rename(tmp_path / "mine.jsonl")
    report = prepare(config_of(path, synth=SMALL, heldout=13), tmp_path / "out")
    assert report.sources[1].dropped["question is held out"] > 0
    train = {item.question for item in read_rows(tmp_path / "out" / "train.jsonl")}
    assert not train & {item.question for item in read_rows(tmp_path / "out" / "heldout.jsonl")}


def test_what_comes_twice_is_kept_once_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", row(), row(id="other"), row("Snow in Bonn tomorrow?"))
    report = prepare(config_of(path), tmp_path)
    assert report.rows["train"] == 2
    assert report.sources[0].dropped == {"duplicate": 1}
    assert report.sources[0].examples == {"duplicate": "other"}
    assert report.duplicates["duplicate"] == 1
    (refused,) = read_rejects(tmp_path / "rejects.jsonl")
    assert refused.where == "mine.jsonl:2" or refused.where.endswith("/mine.jsonl:2")
    assert "mine.jsonl:1" in refused.detail and refused.row is not None


def test_a_limit_draws_with_the_seed(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", *(row(f"Weather {i}?") for i in range(30)))

    def questions(seed: int) -> set[str]:
        config = from_file(path, limit=5).model_copy(update={"seed": seed})
        report = prepare(config, tmp_path / str(seed))
        assert report.sources[0].dropped == {"over the limit": 25}
        return {item.question for item in read_rows(tmp_path / str(seed) / "train.jsonl")}

    assert len(questions(1)) == 5
    assert questions(1) == questions(1) != questions(2)


def test_held_out_rows_come_from_sources_where_there_is_nothing_else(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", *(row(f"Weather {i}?") for i in range(10)))
    report = prepare(config_of(path, heldout=3), tmp_path)
    assert report.rows == {"train": 7, "heldout": 3} and report.sources[0].heldout == 3


def test_a_small_source_is_not_held_out_to_its_last_row(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", *(row(f"Weather {i}?") for i in range(10)))
    said: list[str] = []
    report = prepare(config_of(path, heldout=40), tmp_path, say=said.append)
    assert report.rows == {"train": 5, "heldout": 5}
    assert "5 rows are held out, not 40: at most half of a source is" in said


BAD: dict[str, tuple[Any, str]] = {
    "broken": ("{", "no row"),
    "no reply": ({"messages": [{"role": "user", "content": "?"}]}, "no reply"),
    "unknown tool": (
        row(messages=[{"role": "user", "content": "?"},
                      {"role": "assistant", "tool_calls": [call("wether")]}]),
        "unknown tool",
    ),
    "wrong type": (
        row(messages=[{"role": "user", "content": "?"},
                      {"role": "assistant", "tool_calls": [call(arguments='{"city": 3}')]}]),
        "arguments do not fit",
    ),
    "unknown argument": (
        row(messages=[{"role": "user", "content": "?"},
                      {"role": "assistant",
                       "tool_calls": [call(arguments='{"city": "Oslo", "activity": null}')]}]),
        "arguments do not fit",
    ),
    "stray result": (
        row(messages=[{"role": "user", "content": "?"},
                      {"role": "tool", "content": "3", "tool_call_id": "c9"},
                      {"role": "assistant", "content": "3"}]),
        "result without call",
    ),
    "no schema": (
        row(tools=[{**FUNCTION, "parameters": {"properties": {"city": {"type": 3}}}}]),
        "bad schema",
    ),
    "torn": ('{"messages": [{"role": "user", "content": "Wea', "no row"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    value, _ = BAD[name]
    path = write(tmp_path / "mine.jsonl", row(), value)
    with pytest.raises(DataError) as caught:
        prepare(config_of(path), tmp_path / "out")
    assert "mine.jsonl:2: " in caught.value.message
    assert "--skip-bad" in caught.value.hint
    assert contents(tmp_path / "out") == {}


def test_a_field_that_would_be_lost_is_refused_with_the_key_that_ignores_it(tmp_path: Path) -> None:
    many = [row(f"Weather {i}?") for i in range(60)]  # more than are looked at for the format
    path = write(tmp_path / "mine.jsonl", *many, row(rating=5))
    with pytest.raises(DataError, match=r"mine\.jsonl:61: the field rating") as caught:
        prepare(config_of(path), tmp_path / "out")
    assert "ignore: [rating]" in caught.value.hint
    assert prepare(from_file(path, ignore=["rating"]), tmp_path / "out").rows["train"] == 61


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_skipped_only_when_asked_and_always_counted(name: str, tmp_path: Path) -> None:
    value, reason = BAD[name]
    path = write(tmp_path / "mine.jsonl", *[row(f"Weather {i}?") for i in range(50)], value)
    said: list[str] = []
    report = prepare(config_of(path), tmp_path, skip_bad=True, say=said.append)
    assert report.rows["train"] == 50
    assert report.sources[0].dropped == {reason: 1}
    assert any("mine.jsonl:51: " in line for line in said)
    assert said[-1].startswith("mine: 51 rows in, 50 out (1 ")
    check_adds_up(report, tmp_path)


def test_many_bad_rows_are_told_in_a_few_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", row(), *["{"] * 40)
    said: list[str] = []
    prepare(config_of(path), tmp_path, skip_bad=True, say=said.append)
    assert len([line for line in said if line.startswith("skipped")]) == 6
    assert any("35 more bad rows" in line for line in said)
    with pytest.raises(DataError, match="39 more of its rows are bad"):
        prepare(config_of(path), tmp_path)
    write(path, row(), *["{"] * 1000)
    with pytest.raises(DataError, match="At least 100 more of its rows are bad"):
        prepare(config_of(path), tmp_path)


def test_the_recipe_can_ask_to_skip_bad_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", row(), "{")
    assert prepare(config_of(path, skip_bad=True), tmp_path).rows["train"] == 1


def test_a_row_that_speaks_of_tokens_is_left_out_and_stops_nothing(tmp_path: Path) -> None:
    """In a set of 200,000 rows somebody explains chat templates. That is no damaged file."""
    path = write(tmp_path / "mine.jsonl", row(), row("What does <|eot_id|> mean?"))
    report = prepare(config_of(path), tmp_path)
    assert report.sources[0].dropped == {"control token": 1}


def test_rows_that_are_too_long_are_dropped_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", row(), row("A long walk in Oslo " * 200))
    report = prepare(config_of(path, max_characters=2000), tmp_path)
    assert report.sources[0].dropped == {"too long": 1}
    config = DataConfig(synth=SMALL, heldout=0, max_characters=600)
    report = prepare(config, tmp_path / "synth")
    assert 0 < report.rows["train"] < 30
    assert report.sources[0].dropped == {"too long": 30 - report.rows["train"]}


def test_nothing_left_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No training row is left") as caught:
        prepare(DataConfig(synth=NONE), tmp_path)
    assert "synth.rows" in caught.value.hint
    path = write(tmp_path / "mine.jsonl", row("Weather on the moon?", id="m1"))
    with pytest.raises(DataError, match=r"left \(1 of mine: too long, as m1\)"):
        prepare(config_of(path, max_characters=10), tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_a_source_without_rows_is_said_and_no_error(tmp_path: Path) -> None:
    empty, mine = write(tmp_path / "empty.jsonl"), write(tmp_path / "mine.jsonl", row())
    said: list[str] = []
    report = prepare(config_of(empty, mine), tmp_path / "out", say=said.append)
    assert "empty: there are no rows in it" in said
    assert [source.rows_in for source in report.sources] == [0, 1]


def test_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    write(tmp_path / "mine.jsonl", row())
    report = prepare(from_file(Path("mine.jsonl")), tmp_path / "out", root=tmp_path)
    assert report.rows["train"] == 1
    (file,) = report.sources[0].about["files"]
    assert file["name"] == "mine.jsonl"
    assert file["sha256"] == sha256_file(tmp_path / "mine.jsonl")


def test_documents_go_the_same_way_as_conversations(tmp_path: Path) -> None:
    """Continued pre-training: the same checks, the same report, the same files."""
    texts = [
        f"第{i}條　{word}之管理，依本法之規定。" * 3 for i, word in enumerate("道路河川森林漁業")
    ]
    path = write(tmp_path / "law.jsonl", *({"text": text} for text in texts))
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"text": texts[0]}) + "\n")
    report = prepare(config_of(path, heldout=2), tmp_path)
    assert report.kinds == {"text": 8} and report.languages == {"zh-TW": 8, "en": 0}
    assert report.sources[0].dropped == {"duplicate": 1}
    check_adds_up(report, tmp_path)
    rows = [*read_rows(tmp_path / "train.jsonl"), *read_rows(tmp_path / "heldout.jsonl")]
    assert sorted(item.text for item in rows) == sorted(texts)
    assert all(item.scores["purity"] == 1 for item in rows)
    assert report.purity.rows == 8 and report.purity.pure == 1


def test_a_mixture_draws_by_weight_and_says_what_it_got(tmp_path: Path) -> None:
    big = write(tmp_path / "big.jsonl", *(row(f"Weather {i}?") for i in range(40)))
    small = write(tmp_path / "small.jsonl", *(row(f"Snow {i}?") for i in range(5)))
    sources = [
        {"path": str(big), "licence": "MIT", "weight": 3},
        {"path": str(small), "licence": "MIT", "weight": 2},
    ]
    said: list[str] = []
    config = config_of(sources=sources, mixture={"rows": 25})
    report = prepare(config, tmp_path / "once", say=said.append)
    assert report.rows["train"] == 15 + 5
    assert "small: the mixture wants 10 rows, and there are 5" in said
    assert report.mixture == {
        "rows": 25,
        "repeat": False,
        "sources": {
            "big": {"weight": 3.0, "wanted": 15, "available": 40, "got": 15},
            "small": {"weight": 2.0, "wanted": 10, "available": 5, "got": 5},
        },
    }
    assert report.sources[0].dropped == {"not in the mixture": 25}
    check_adds_up(report, tmp_path / "once")
    again = config.model_copy(update={"mixture": MixtureConfig(rows=25, repeat=True)})
    report = prepare(again, tmp_path / "twice")
    assert report.rows["train"] == 25 and report.sources[1].repeated == 5
    check_adds_up(report, tmp_path / "twice")
    ids = [item.id for item in read_rows(tmp_path / "twice" / "train.jsonl")]
    assert len(set(ids)) == 25


def test_rows_of_a_benchmark_are_left_out_wherever_they_come_from(tmp_path: Path) -> None:
    asked = "請問臺灣最高的山是哪一座山，它的高度是多少公尺？"
    path = write(tmp_path / "mine.jsonl", row(), row(asked, id="leak"))
    benchmarks = [
        Benchmark("mini", (asked,), ()),
        Benchmark("other", ("不相干的題目文字一共這麼長",), ()),
    ]
    report = prepare(config_of(path), tmp_path, benchmarks=benchmarks)
    assert report.sources[0].dropped == {"benchmark: mini": 1}
    assert report.sources[0].examples == {"benchmark: mini": "leak"}
    assert report.contamination == [
        {"benchmark": "mini", "texts": 1, "tools": 0, "rows": 1},
        {"benchmark": "other", "texts": 1, "tools": 0, "rows": 0},
    ]


class StoppedError(Exception):
    """Stands for a kill in the middle of the second pass."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, StoppedError])
def test_what_is_stopped_leaves_the_old_files_as_they_were(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(DataConfig(synth=SMALL), tmp_path)
    before = contents(tmp_path)

    def stop(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("formosa.data.prepare.write_split", stop)
    with pytest.raises(error):
        prepare(DataConfig(synth=SynthConfig(rows=20)), tmp_path)
    assert contents(tmp_path) == before


def test_a_full_disk_is_a_sentence_and_the_old_files_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(DataConfig(synth=SMALL), tmp_path)
    before = contents(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="disk is full"):
        prepare(DataConfig(synth=SynthConfig(rows=20)), tmp_path)
    assert contents(tmp_path) == before


def test_an_old_report_does_not_vouch_for_new_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed while the files change places must look unprepared to the next."""
    prepare(DataConfig(synth=SMALL), tmp_path)

    def killed(*_: object) -> None:
        raise StoppedError

    monkeypatch.setattr("formosa.data.prepare.write_json", killed)
    with pytest.raises(StoppedError):
        prepare(DataConfig(synth=SynthConfig(rows=20)), tmp_path)
    assert not (tmp_path / "report.json").exists()
    assert len(list(read_rows(tmp_path / "train.jsonl"))) == 20


def test_progress_counts_rows_made_and_rows_written(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    config = DataConfig(synth=SMALL, heldout=5)
    prepare(config, tmp_path, progress=lambda *step: seen.append(step))
    assert seen == [(i, 35, what) for what in ("generated", "written") for i in range(1, 36)]


QUESTIONS = st.sampled_from([f"How is day {i} in Oslo?" for i in range(8)])
LINES = st.one_of(
    st.builds(row, QUESTIONS),
    st.builds(lambda q, n: row(q, id=str(n)), QUESTIONS, st.integers(0, 3)),
    st.builds(lambda q: row(q + " <|im_end|>"), QUESTIONS),
    st.builds(lambda q: row(q + " Please." * 200), QUESTIONS),
    st.builds(lambda q: row(q, tools=[]), QUESTIONS),
    st.sampled_from(["{", "3", "", '{"messages": []}', '{"text": "neither"']),
)


@settings(max_examples=40, deadline=None)
@given(
    first=st.lists(LINES, max_size=25),
    second=st.lists(LINES, max_size=25),
    synth=st.integers(0, 4),
    heldout=st.integers(0, 8),
    limit=st.one_of(st.none(), st.integers(1, 9)),
    mixture=st.sampled_from([None, {"rows": 9}, {"rows": 30, "repeat": True}]),
    seed=st.integers(0, 3),
)
def test_whatever_comes_in_is_counted_and_never_in_both_splits(
    first: list[Any],
    second: list[Any],
    synth: int,
    heldout: int,
    limit: int | None,
    mixture: Any,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("data")
    good = row("How is the weather in Oslo now?")  # there is always one to learn from
    paths = [write(folder / f"{n}.jsonl", good, *rows) for n, rows in (("a", first), ("b", second))]
    sources = [
        {"path": str(path), "licence": "MIT", "format": "messages", "limit": limit}
        for path in paths
    ]
    config = config_of(
        synth=SynthConfig(rows=synth), heldout=heldout, seed=seed, max_characters=900,
        sources=sources, mixture=mixture,
    )  # fmt: skip
    try:
        report = prepare(config, folder / "out", skip_bad=True)
    except DataError as error:
        assert "No training row is left" in error.message or "no rows left" in error.message
        return
    check_adds_up(report, folder / "out")
    lines = sum(1 for rows in (first, second) for value in rows if value != "")
    assert sum(source.rows_in for source in report.sources if source.name in "ab") == 2 + lines
    train = list(read_rows(folder / "out" / "train.jsonl"))
    held = list(read_rows(folder / "out" / "heldout.jsonl"))
    assert not {item.question for item in train} & {item.question for item in held}
    ids = [item.id for item in (*train, *held)]
    assert len(set(ids)) == len(ids)
    prepare(config, folder / "again", skip_bad=True)
    assert contents(folder / "out") == contents(folder / "again")


def test_a_small_preparation_loads_nothing_heavy(tmp_path: Path) -> None:
    """`formosa run recipes/mini.yaml` must start without numpy and pyarrow, which the base install
    does not have."""
    path = write(tmp_path / "mine.jsonl", *(row(f"Weather {i}?") for i in range(30)))
    code = """
import sys
from pathlib import Path
from formosa.data.config import DataConfig
from formosa.data.prepare import prepare
source = {"path": sys.argv[1], "licence": "MIT"}
prepare(DataConfig(synth={"rows": 20}, sources=[source]), Path(sys.argv[2]))
heavy = {"numpy", "pyarrow", "opencc", "datasketch", "rensa", "torch"} & set(sys.modules)
sys.exit(f"loaded {heavy}" if heavy else 0)
"""
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_result_answers_one_call_only() -> None:
    value = row()
    value["messages"] += [
        {"role": "tool", "content": "3", "tool_call_id": "c0"},
        {"role": "tool", "content": "4", "tool_call_id": "c0"},
        {"role": "assistant", "content": "3"},
    ]
    with pytest.raises(BadRowError, match="answers no call"):
        validate_row(Row.from_json(value, "x:1"))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"sinth": {}}, "sinth"),
        ({"synth": {"kinds": {"paralel": 1}}}, "no kind 'paralel'"),
        ({"synth": {"kinds": {"single": 0}}}, "no kind has a weight above 0"),
        ({"synth": {"languages": {"zh-CN": 1}}}, "no language 'zh-CN'"),
        ({"synth": {"languages": {"en": -1}}}, "below 0"),
        ({"synth": {"rows": -1}}, "greater than or equal to 0"),
        ({"sources": [{"path": "a.jsonl"}]}, "licence"),
        ({"sources": [{"path": "a.jsonl", "licence": "MIT", "format": "alpacca"}]}, "alpaca"),
        ({"sources": [{"path": "a/x.jsonl", "licence": "MIT"},
                      {"path": "b/x.jsonl", "licence": "MIT"}]}, "same name"),
        ({"sources": [{"path": "synth.jsonl", "licence": "MIT"}]}, "same name"),
        ({"files": [{"path": "a.jsonl", "licence": "MIT"}]}, "`files` is called `sources`"),
        ({"synth": {"weight": 2}}, "a weight is for a mixture"),
        ({"mixture": {"rows": 0}}, "greater than or equal to 1"),
    ],
)  # fmt: skip
def test_a_wrong_config_is_refused(value: dict[str, Any], words: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=words):
        DataConfig.model_validate(value)


def test_who_names_sources_gets_no_generated_rows_unasked() -> None:
    source = {"path": "a.jsonl", "licence": "MIT"}
    assert DataConfig.model_validate({"sources": [source]}).synth.rows == 0
    assert DataConfig.model_validate({"sources": [source], "synth": {}}).synth.rows > 0
    assert DataConfig.model_validate({}).synth.rows > 0


def test_a_config_with_every_default_written_out_reads_back_equal() -> None:
    value = {"sources": [{"path": "a.jsonl", "licence": "MIT"}], "mixture": {"repeat": True}}
    config = DataConfig.model_validate(value)
    assert DataConfig.model_validate(config.model_dump(mode="json")) == config
    plain = DataConfig()
    assert DataConfig.model_validate(plain.model_dump(mode="json")) == plain


def test_every_field_of_the_config_says_what_it_means() -> None:
    for part in (DataConfig, SynthConfig, SourceConfig, MixtureConfig):
        for name, info in part.model_fields.items():
            assert info.description, name


def test_a_recipe_or_its_data_part_alone_can_be_read(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: x\ndata:\n  seed: 3\n  synth: {rows: 7}\n")
    assert load_data_config(recipe) == DataConfig(seed=3, synth=SynthConfig(rows=7))
    recipe.write_text("seed: 3\n")
    assert load_data_config(recipe) == DataConfig(seed=3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data: {synth: {rowz: 3}}", "unknown key data.synth.rowz, did you mean 'rows'"),
        ("data: {heldout: many}", "data.heldout: Input should be a valid integer"),
        ("data: 3", "data: Input should be"),
        ("data: [", "not valid YAML"),
        ("- 1", "the file: Input should be"),
    ],
)
def test_a_wrong_recipe_is_a_sentence_with_the_place(text: str, words: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_data_config(recipe)
    assert words in caught.value.message
    with pytest.raises(RecipeError, match="Cannot read"):
        load_data_config(tmp_path / "none.yaml")
