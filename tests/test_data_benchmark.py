"""benchmarks/data_prepare.py runs, and its rows are what it says they are."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from formosa.data.formats.detect import detect
from formosa.data.prepare import prepare

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "data_prepare.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("data_prepare_benchmark", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("messages", "messages"), ("sharegpt", "sharegpt"), ("alpaca", "alpaca"),
        ("r1", "prompt-completion"), ("text", "text"),
    ],
)  # fmt: skip
def test_each_kind_of_row_is_in_its_format(script: ModuleType, kind: str, name: str) -> None:
    values = [script.value(kind, number) for number in range(50)]
    assert detect(values).format.name == name
    assert kind in script.FORMATS


def test_the_rows_are_the_same_every_time(script: ModuleType) -> None:
    for kind in script.FORMATS:
        assert script.value(kind, 7) == script.value(kind, 7) != script.value(kind, 8)


def test_the_faults_are_found_that_the_text_names(script: ModuleType, tmp_path: Path) -> None:
    """Three exact copies, three near ones and one Simplified row of a hundred: else the figures
    would be of rows that cost nothing."""
    paths = script.write_sources(tmp_path, 1000)
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths) == 1000
    report = prepare(script.config_of(paths), tmp_path / "out")
    assert report.duplicates == {"duplicate": 15, "near duplicate": 15}
    assert report.dropped["simplified"] == 10
    assert report.dropped["cut off"] == 8  # documents can't be
    assert sum(report.rows.values()) == 1000 - 48


def test_the_script_prints_both_tables() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--rows", "60", "--stages", "60"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    heads = [line[0] for line in lines]
    assert heads[:2] == ["data", "formosa,"] and lines[1][3] == "60"
    assert {"read", "format", "clean", "validate", "quality", "decontaminate", "duplicates"} <= set(
        heads
    )


def test_a_measurement_is_one_line_of_json(script: ModuleType, tmp_path: Path) -> None:
    script.write_sources(tmp_path, 50)
    done = subprocess.run(
        [sys.executable, SCRIPT, "--measure", tmp_path, "--workers", "1"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["rows"] == 50 and result["peak GB"] > 0.01 and result["disk GB"] > 0
    assert result["used"] <= 50 and result["rows/s"] > 0
    assert script.line("x", result).split()[:2] == ["x", "50"]
