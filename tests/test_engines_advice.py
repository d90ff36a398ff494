"""Hints for this machine: said where they help, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest

from formosa.engines.advice import build_advice, cpu_flags, quantisation_advice

WHEEL = "CPU : SSE3 = 1 | AVX = 1 | AVX2 = 1 | OPENMP = 1 | REPACK = 1 | "
NATIVE = WHEEL + "AVX512 = 1 | AVX512_VNNI = 1 | AVX512_BF16 = 1 | "


@pytest.mark.parametrize(("kind", "slow"), [("Q4_1", True), ("Q4_0", False), ("Q8_0", False)])
def test_slow_kinds_of_files_are_named(kind: str, slow: bool) -> None:
    assert bool(quantisation_advice(kind)) is slow


def test_a_build_that_leaves_instructions_unused_is_named() -> None:
    wide = {"avx2", "avx512f", "avx512_vnni"}
    said = build_advice(WHEEL, wide)
    assert said is not None
    assert "AVX512, VNNI" in said
    assert build_advice(NATIVE, wide) is None
    assert build_advice(WHEEL, {"avx2"}) is None


@pytest.mark.model
def test_the_installed_llama_cpp_says_what_it_uses() -> None:
    assert build_advice(flags=set()) is None


def test_the_flags_are_the_first_cpu_s(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    assert cpu_flags(file) == {"fpu", "avx2"}
    assert cpu_flags(tmp_path / "none") == set()
