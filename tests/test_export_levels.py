"""Several levels of one checkpoint: the table, the plot, and what is measured for them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from formosa.engines.gguf_levels import LEVELS
from formosa.errors import ModelError, ParityError
from formosa.export import parity
from formosa.export.about import described, git_revision
from formosa.export.config import ExportConfig, Quantisation
from formosa.export.divergence import LIMITS, measure
from formosa.export.levels import (
    Row,
    export_levels,
    files_of,
    read_levels,
    shown,
    with_scores,
    write_levels,
)
from formosa.export.plot import PANEL, ROW, TITLE, VALUE, draw
from formosa.export.reference import TEXT, Reference, read_while_running
from formosa.files import read_json, write_json


def row(level: str, megabytes: float, lost: float, **scores: Any) -> Row:
    return Row(
        level, f"model-{level}.gguf", int(megabytes * 1e6), "ab" * 32, lost, 0.9, 20.0, scores
    )


ROWS = [row("F16", 271, 0.00001), row("Q8_0", 145, 0.007), row("Q4_K_M", 105, 0.1)]
HALF = {"value": 0.5, "low": 0.4, "high": 0.6, "samples": 80}


# -- table and plot, without a model --------------------------------------------------------------


def test_the_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = with_scores(ROWS, {"Q8_0": {"mini": HALF}})
    write_levels(tmp_path, rows)
    assert read_levels(tmp_path) == rows
    assert read_json(tmp_path / "levels.json")["reference"] == "the checkpoint in float32"
    write_json(tmp_path / "levels.json", {"levels": [{"level": "F16"}]})
    with pytest.raises(ModelError, match="is no table of levels"):
        read_levels(tmp_path)


def test_people_see_megabytes_percent_and_intervals() -> None:
    table = shown(with_scores(ROWS, {"Q8_0": {"mini": HALF}}))
    assert [line["size"] for line in table] == ["100%", "54%", "39%"]
    assert table[1] == {
        "level": "Q8_0", "MB": 145.0, "size": "54%", "tok/s": 20.0, "nats": "0.00700",
        "same first": "90.0%", "mini": "50.0% [40.0%, 60.0%]",
    }  # fmt: skip
    assert table[0]["mini"] is None  # not asked


SPACE = "{http://www.w3.org/2000/svg}"


def drawn(rows: list[Row]) -> tuple[list[str], list[tuple[float, float]]]:
    """The words of the picture, and where its dots are; in their own panels."""
    found = ElementTree.fromstring(draw(rows))
    words = [text.text or "" for text in found.iter(f"{SPACE}text")]
    dots = [
        (float(circle.get("cx", "-1")), float(circle.get("cy", "-1")))
        for circle in found.iter(f"{SPACE}circle")
    ]
    return words, dots


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], [row("F16", 0, 0.0), row("Q8_0", 0, 0.0)]])
def test_the_plot_is_a_whole_picture_for_any_values(rows: list[Row]) -> None:
    """Also one level, no bytes, and nothing lost at all, of which there is no logarithm."""
    words, dots = drawn(rows)
    assert len(dots) == 3 * len(rows)
    assert {item.level for item in rows} <= set(words)
    assert "divergence, nats" in words
    assert all(0 <= x <= PANEL - VALUE for x, _ in dots)
    assert all(TITLE < y < TITLE + ROW * len(rows) for _, y in dots)


def test_every_level_has_a_line_of_its_own_and_its_figures_in_words() -> None:
    """Files of 4 and 5 bits are almost equal in size: points over the size would lie on each
    other, and their labels with them."""
    words, dots = drawn([row("Q5_K_M", 112.1, 0.13), row("Q4_K_M", 105.4, 0.000012)])
    assert len({y for _, y in dots}) == 2
    assert {"112", "105", "20", "0.13", "0.000012"} <= set(words)


def test_what_begins_at_nothing_is_drawn_to_scale() -> None:
    """Half the size is half as far from the left."""
    _, dots = drawn([row("F16", 200, 0.1), row("Q8_0", 100, 0.1)])
    ((whole, _), (half, _)) = dots[:2]
    assert half - 6 == pytest.approx((whole - 6) / 2, abs=0.1)


def test_a_plot_has_a_panel_for_each_task_and_no_markup_of_its_name() -> None:
    rows = with_scores(ROWS, {"Q8_0": {"<script>x": HALF}, "F16": {"<script>x": HALF}})
    words, dots = drawn(rows)
    assert "<script" not in draw(rows)
    assert "<script>x, % of 80" in words
    assert len(dots) == 3 * len(rows) + 2
    assert words.count("–") == 1  # the level that was not asked
    assert words.count("50") == 2


def test_a_recipe_may_list_levels_and_the_served_one_comes_first() -> None:
    config = ExportConfig(quantisation="Q8_0", levels=("F16", "Q8_0", "Q4_K_M"))
    assert config.every_level == ("Q8_0", "F16", "Q4_K_M")
    assert ExportConfig().every_level == ("Q8_0",)
    assert set(LEVELS) == set(LIMITS)


# -- where it comes from --------------------------------------------------------------------------


def test_a_header_says_licence_languages_base_and_hashes() -> None:
    values = described(
        base={"name": "smollm2-135m", "licence": "apache-2.0", "hub_id": "org/Smol",
              "revision": "abc"},
        recipe_sha256="r", data_sha256="d", revision="c0ffee",
    )  # fmt: skip
    assert values["general.license"] == "apache-2.0"
    assert values["general.languages"] == ["zh", "en"]
    assert values["general.base_model.count"] == 1
    assert values["general.base_model.0.organization"] == "org"
    assert values["general.base_model.0.name"] == "Smol"
    assert values["general.base_model.0.repo_url"] == "https://huggingface.co/org/Smol"
    assert values["formosa.recipe.revision"] == "c0ffee"
    assert (values["formosa.recipe.sha256"], values["formosa.data.sha256"]) == ("r", "d")


def test_what_is_not_known_is_not_said() -> None:
    assert set(described(base={})) == {"general.languages", "general.tags", "formosa.version"}


def test_the_revision_is_the_commit_and_whether_files_differ(tmp_path: Path) -> None:
    assert git_revision(tmp_path / "nowhere") == ""
    assert git_revision(tmp_path) == ""

    def git(*words: str) -> str:
        config = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        command = ["git", *config, "-C", str(tmp_path), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "recipe.yaml").write_text("a", encoding="utf-8")
    git("add", ".")
    git("commit", "-q", "-m", "x")
    commit = git("rev-parse", "HEAD")
    assert git_revision(tmp_path) == commit
    (tmp_path / "recipe.yaml").write_text("b", encoding="utf-8")
    assert git_revision(tmp_path) == f"{commit}+changes"


# -- measured -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("levels")
    said: list[str] = []
    rows = export_levels(
        tiny_checkpoint, folder, ("Q8_0", "F16", "Q4_0"), name="tiny", greedy_tokens=4,
        metadata={"general.license": "mit"}, main_report=folder / "parity.json", say=said.append,
    )  # fmt: skip
    assert [r.level for r in rows] == ["Q8_0", "F16", "Q4_0"]
    assert any(line.startswith("parity of divergence at Q4_0: 0.") for line in said)
    return folder


@pytest.mark.train
def test_fewer_bits_are_smaller_and_lose_more(made: Path) -> None:
    eight, half, four = read_levels(made)
    assert half.bytes > eight.bytes > four.bytes
    assert 0 <= half.divergence < eight.divergence < four.divergence
    assert half.same_first >= four.same_first
    assert all(r.tokens_per_second > 0 for r in (eight, half, four))
    assert (made / "levels.svg").read_text(encoding="utf-8").startswith("<svg ")


@pytest.mark.train
def test_below_8_bits_words_may_differ_and_probabilities_are_held_to_a_limit(made: Path) -> None:
    names = {
        path.name: [check["name"] for check in read_json(path)["checks"]]
        for path in made.glob("parity*.json")
    }
    words = ["template", "tokens", "greedy", "divergence"]
    assert names == {
        "parity.json": words,
        "parity-F16.json": words,
        "parity-Q4_0.json": ["template", "tokens", "divergence"],
    }
    report = read_json(made / "parity-Q4_0.json")
    assert report["divergence"]["tokens"] == 256
    assert report["bytes"] == (made / "model-Q4_0.gguf").stat().st_size


@pytest.mark.train
def test_a_report_holds_nothing_of_the_machine(made: Path) -> None:
    """The stages after the export are done again when its files change: a speed would do that."""
    report = read_json(made / "parity.json")
    assert set(report["divergence"]) == {"tokens", "mean", "worst", "same_first"}


@pytest.mark.train
def test_what_a_stage_leaves_is_known_beforehand(made: Path) -> None:
    levels: tuple[Quantisation, ...] = ("Q8_0", "F16", "Q4_0")
    files = files_of(made, levels, made / "parity.json")
    assert {path.name for path in files} == {path.name for path in made.iterdir()}
    assert files[0].name == "model-Q8_0.gguf"
    alone = files_of(made, ("F16",), made / "parity.json")
    assert [path.name for path in alone] == ["model-F16.gguf", "parity.json"]


@pytest.mark.train
def test_the_divergence_is_that_of_the_definition(tiny_checkpoint: Path, made: Path) -> None:
    """Against sums written out with torch, from the logits that llama.cpp gives."""
    import numpy as np
    import torch

    from formosa.export.native import read_logits

    reference, path = Reference(tiny_checkpoint), made / "model-Q4_0.gguf"
    found = measure(reference, path)
    logits = np.stack([values.copy() for values, _ in read_logits(path, reference.ids)])
    ours = torch.tensor(logits, dtype=torch.float64).log_softmax(-1)
    theirs = torch.tensor(reference.log_probabilities, dtype=torch.float64)
    every = torch.nn.functional.kl_div(ours, theirs, log_target=True, reduction="none").sum(-1)
    assert found.mean == pytest.approx(float(every.mean()), rel=1e-3)
    assert found.worst == pytest.approx(float(every.max()), rel=1e-3)
    assert found.same_first == float((ours.argmax(-1) == theirs.argmax(-1)).double().mean())


@pytest.mark.train
def test_a_file_beyond_its_limit_fails(
    tiny_checkpoint: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LIMITS, "Q4_0", 1e-9)
    with pytest.raises(ParityError, match="divergence: .* Q4_0 files may be 1e-09 nats away"):
        parity.check_parity_now(tiny_checkpoint, made / "model-Q4_0.gguf")


@pytest.mark.train
def test_a_large_model_computes_in_float32_without_being_in_memory(tiny_checkpoint: Path) -> None:
    """Tied and own heads, norms and embeddings with their own scale."""
    import torch

    from formosa.checkpoints import load_weights
    from tiny import write_tiny_checkpoint
    from tiny_gemma import write_tiny_gemma

    gemma = write_tiny_gemma(tiny_checkpoint.parent / "absent-gemma")
    ids = torch.tensor([[5, 300, 17, 42, 9]])
    untied = write_tiny_checkpoint(
        tiny_checkpoint.parent / "untied", tie_word_embeddings=False, hidden_size=32
    )
    for folder in (tiny_checkpoint, gemma, untied):
        whole = load_weights(folder, dtype="float32").eval()
        absent = read_while_running(folder)
        for _ in range(2):
            with torch.no_grad():
                wanted, found = whole(ids).logits, absent(ids).logits
            assert found.dtype == torch.float32
            assert torch.allclose(found, wanted, atol=1e-5)
            assert {weight.device.type for weight in absent.parameters()} == {"meta"}


@pytest.mark.train
def test_the_text_is_read_from_the_first_token_on(tiny_checkpoint: Path) -> None:
    reference = Reference(tiny_checkpoint)
    assert len(reference.ids) == 256
    assert reference.ids[0] == reference.tokenizer.bos_token_id
    assert "臺" in TEXT
    assert '{"name":' in TEXT
