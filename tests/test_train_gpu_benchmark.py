"""The GPU's speed table, at a tiny size: it has to work the day there is a GPU."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.train

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "training_gpu.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("training_gpu", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_line_is_a_real_training(
    script: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    rows = script.main(["--tiny"])
    printed = capsys.readouterr().out
    assert [row["who"] for row in rows] == ["formosa", "formosa, activations twice"], printed
    for row in rows:
        assert row["tokens/s"] > 0
        assert 0 < row["MFU of matmul"] < 1
        assert row["loss"] == pytest.approx(rows[0]["loss"], rel=1e-3)
    assert "no peer: name a Python that has trl" in printed


def test_a_peer_that_cannot_run_is_a_line(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = {"who": "trl", "ids": str(tmp_path / "none")}
    found = script.measured(sys.executable, job)
    assert isinstance(found, str)
    assert found


def test_documents_are_the_same_every_time_and_enough(script: ModuleType, tmp_path: Path) -> None:
    for name in ("a", "b"):
        script.write_documents(tmp_path / name, 10_000, 256)
    text = (tmp_path / "a").read_text(encoding="utf-8")
    assert text == (tmp_path / "b").read_text(encoding="utf-8")
    assert len(text) > 10_000


def test_without_a_gpu_the_whole_size_is_refused(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit):
        script.main([])
    assert "--tiny runs on a processor" in capsys.readouterr().err
