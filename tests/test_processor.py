"""Cores, threads that wait, and memory that was freed: what is seen, and what is set."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from formosa.processor import (
    SPINS,
    cores_of_quota,
    keeping_freed_memory,
    usable_cores,
    wait_briefly,
)

FAULTS = """
import resource
from contextlib import nullcontext
from formosa.processor import keeping_freed_memory

def faults(context):
    with context:
        bytearray(8 << 20)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(4):
            bytearray(8 << 20)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(nullcontext()), faults(keeping_freed_memory()))
"""
glibc = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc"
)


def test_threads_spin_for_a_moment_unless_a_person_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    wait_briefly()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["GOMP_SPINCOUNT"]) == ("passive", "7")
    monkeypatch.delenv("GOMP_SPINCOUNT")
    wait_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == SPINS


@glibc
def test_memory_that_was_freed_is_used_again() -> None:
    """Pages that the system gives anew are counted: none, where the same memory is used again."""
    run = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, timeout=60
    )
    usual, kept = map(int, run.stdout.split())
    assert usual > 1000
    assert kept < usual / 10


@glibc
def test_the_usual_settings_come_back_after_an_error() -> None:
    with pytest.raises(KeyError), keeping_freed_memory() as told:
        assert told
        raise KeyError
    with keeping_freed_memory() as told:
        assert told


def test_a_c_library_that_cannot_be_told_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    with keeping_freed_memory() as told:
        assert not told


@pytest.mark.parametrize(
    ("text", "cores"),
    [("200000 100000\n", 2), ("150000 100000", 2), ("50000 100000", 1), ("max 100000", None),
     ("", None), ("a b", None)],
)  # fmt: skip
def test_a_container_s_share_is_no_more_than_it_has(
    tmp_path: Path, text: str, cores: int | None
) -> None:
    """64 threads on a share of two cores wait for each other most of the time."""
    file = tmp_path / "cpu.max"
    file.write_text(text)
    assert cores_of_quota(file) == cores
    assert cores_of_quota(tmp_path / "none") is None
    assert usable_cores() >= 1
