"""docs/data.md holds: its commands, keys, formats and recipes are those that there are."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from formosa.cli.data import data as group
from formosa.data.config import DataConfig
from formosa.data.formats.registry import FORMATS
from formosa.data.report import Report, SourceReport
from formosa.data.sources.named import NAMED

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def commands() -> list[str]:
    joined = "\n".join(blocks("bash")).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.startswith("formosa data ")]


@pytest.mark.parametrize("line", commands())
def test_every_command_line_is_understood(line: str) -> None:
    """Its subcommand and its options exist; nothing is run."""
    words = line.split("#")[0].split()[2:]
    command = group.commands[words[0]]
    known = {option for item in command.params for option in (*item.opts, *item.secondary_opts)}
    for word in words[1:]:
        if word.startswith("--"):
            assert word in known, f"formosa data {words[0]} has no {word}"


def test_every_command_of_the_group_is_shown() -> None:
    shown = {line.split()[2] for line in commands()}
    assert shown == set(group.commands) and isinstance(group, click.Group)


@pytest.mark.parametrize("block", blocks("yaml"))
def test_every_recipe_is_read(block: str) -> None:
    value: Any = yaml.safe_load(block)
    config = DataConfig.model_validate(value["data"])
    assert config.sources


def test_every_key_of_a_recipe_is_in_the_text() -> None:
    for name in DataConfig.model_fields:
        assert re.search(rf"`?\b{name}\b", TEXT), f"data.{name} is not explained"


def test_every_format_is_in_the_table() -> None:
    cells = "\n".join(line.split("|")[1] for line in TEXT.splitlines() if line.startswith("| `"))
    named = set(re.findall(r"`([a-z0-9-]+)`", cells))
    assert named >= set(FORMATS), f"missing: {set(FORMATS) - named}"


def test_every_data_set_that_is_known_by_name_is_listed() -> None:
    for name in NAMED:
        assert f"`{name}`" in TEXT


def test_the_keys_of_the_report_are_those_that_are_explained() -> None:
    section = TEXT.split("## Reading the report")[1].split("\n## ")[0]
    cells = "\n".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))
    ours = {item.name for item in fields(SourceReport)}
    known = {item.name for item in fields(Report)}
    for name in re.findall(r"`(?:sources\[\]\.)?(\w+)`", cells):
        assert name in known | ours, f"report.json has no {name}"
    assert set(re.findall(r"`(?:sources\[\]\.)?(\w+)`", cells)) >= known - {"sources", "dropped"}


def test_the_recipe_that_everybody_runs_first_explains_each_value() -> None:
    text = (ROOT / "recipes" / "mini.yaml").read_text(encoding="utf-8")
    part = text[text.index("\ndata:\n") : text.index("\ntrain:\n")]
    for line in part.strip().splitlines()[1:]:
        assert "#" in line or not line.strip() or line.endswith(":"), f"no reason beside: {line}"
