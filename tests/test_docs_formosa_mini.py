"""docs/formosa-mini.md: its commands exist, and what it says of the recipe is the recipe's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from formosa.cli.main import cli
from formosa.models import ADAPTERS, BUILTIN
from formosa.results.log import read_log
from formosa.results.metrics import paired_difference, score
from formosa.run.recipe import load_recipe

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "formosa-mini.md").read_text(encoding="utf-8")
RECIPE = load_recipe(ROOT / "recipes" / "formosa-mini.yaml")
LINES = [line.strip() for line in PAGE.splitlines() if line.startswith("    formosa ")]


@pytest.mark.parametrize("line", LINES)
def test_a_command_has_these_options(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs" / "formosa-mini").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = cli
    while isinstance(command, click.Group):
        name = words[0] if words else ""  # `formosa chat`: of the model that is built in
        found = command.get_command(click.Context(command), name)
        if found is not None:
            words.pop(0)
        else:  # `formosa chat [MODEL]`: the group's hidden command
            found = next(item for item in command.commands.values() if item.hidden)
        command = found
    command.make_context(command.name, list(words))
    for word in words:
        if word.startswith("recipes/"):
            assert (ROOT / word).exists(), word


def test_it_trains_what_the_page_says() -> None:
    train = RECIPE.train
    assert RECIPE.base in BUILTIN and RECIPE.base in PAGE
    assert f"rank {train.lora.rank} on all linear layers" in PAGE
    assert train.schedule == "stable" and f"last {train.decay_share:.0%}".replace("%", " %") in PAGE
    assert f"longer than {train.max_tokens} tokens" in PAGE
    assert "Gemma Terms of Use" in PAGE


def test_no_row_is_trained_on_that_is_measured() -> None:
    """All of BFCL's categories in both languages that are measured, whole."""
    measured = {task.name for task in RECIPE.eval.tasks}
    for kind in ("simple", "multiple", "parallel", "parallel-multiple", "irrelevance"):
        assert {f"bfcl-{kind}", f"bfcl-zhtw-{kind}"} <= measured
    assert RECIPE.data.decontaminate.benchmarks is None  # those that are measured
    seal = next(source for source in RECIPE.data.sources if source.name == "seal-tools")
    assert str(seal.path).endswith("/*_domain.jsonl")  # dev.jsonl is to choose by


def test_the_page_says_whether_it_ships() -> None:
    said = "nothing is shipped yet" in PAGE
    assert said == ("formosa-mini" not in ADAPTERS)
    assert re.search(r"at most 16 MB", PAGE)


AGAIN = ROOT / "docs" / "logs" / "formosa-mini-seed-8"  # the recipe's run with another seed
ROW = re.compile(
    r"\| (?P<kind>[a-z ]+)(?P<zh>, zh-TW)? \| (?P<asked>\d+) \| [\d.]+ \([\d.]+ to [\d.]+\) "
    r"\| (?P<again>[\d.]+) \| (?P<better>\d+) \| (?P<worse>\d+) \|"
)
ROWS = [row for line in PAGE.splitlines() if (row := ROW.match(line))]


@pytest.mark.parametrize("path", sorted(AGAIN.glob("*.jsonl")), ids=lambda path: str(path.stem))
def test_what_another_seed_gave_follows_from_its_log(path: Path) -> None:
    ships = read_log(ADAPTERS["formosa-mini"].folder / "logs" / path.name)
    again = read_log(path)
    assert again.start["model"]["sha256"] != ships.start["model"]["sha256"]
    task = again.start["task"]["name"].removeprefix("bfcl-")
    kind, zh = task.removeprefix("zhtw-").replace("-", " "), task.startswith("zhtw-")
    (row,) = (row for row in ROWS if row["kind"] == kind and bool(row["zh"]) == zh)
    difference = paired_difference(ships, again, "ast")
    assert difference.questions == int(row["asked"])
    assert f"{100 * score(again, 'ast').value:.1f}" == row["again"]
    assert (difference.better, difference.worse) == (int(row["better"]), int(row["worse"]))
    assert f"**{100 * score(ships, 'ast').value:.1f}**" in PAGE


def test_every_row_of_another_seed_has_its_log() -> None:
    assert len(ROWS) == len(list(AGAIN.glob("*.jsonl")))
