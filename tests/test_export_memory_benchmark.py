"""benchmarks/export_memory.py at a tiny size: what it makes is a checkpoint, and what it measures
are the real commands."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import pytest

from formosa.train.shapes import SHAPES, Shape, shape_of

pytestmark = pytest.mark.train

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "export_memory.py"
SMALL = Shape("small", 2, 256, 512, 4, 2, 64, 1500, tied=True)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("export_memory", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("shape", [SHAPES["llama-3.2-3b"], SHAPES["llama-3.1-8b"], SMALL])
def test_the_tensors_are_those_of_the_shape(script: ModuleType, shape: Shape) -> None:
    sizes = dict(script.tensors(shape))
    assert sum(map(math.prod, sizes.values())) == shape.parameters


def test_each_line_is_a_command_that_really_ran(script: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "big"
    script.make(SMALL, folder)
    assert shape_of(str(folder / "base")).parameters == SMALL.parameters
    rows = list(script.costs(folder, ["Q4_K_M"], merge=True, check=True))
    assert [row.what for row in rows] == ["merge", "write Q4_K_M", "check Q4_K_M"]
    assert all(row.seconds > 0 and row.peak > 50e6 for row in rows)
    assert rows[0].disk > 2 * SMALL.parameters > rows[1].disk > 0 == rows[2].disk
    assert sorted(path.name for path in folder.iterdir()) == ["adapter", "base"]
    assert script.line(rows[0]).startswith("merge  ")


def test_a_command_that_fails_ends_the_measurement(script: ModuleType) -> None:
    with pytest.raises(SystemExit, match="broken ended with 3"):
        script.measured("broken", "raise SystemExit(3)", [])
    with pytest.raises(SystemExit, match="killed ended with -9"):
        script.measured("killed", "import os; os.kill(os.getpid(), 9)", [], verdict=True)
    assert script.measured("differs", "raise SystemExit(1)", [], verdict=True).seconds > 0
