"""Ctrl-C that comes between two chunks, and to this process alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from formosa.data.interrupts import kept_interrupts, without_interrupts


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_comes_where_it_is_asked_for() -> None:
    seen = []
    with pytest.raises(KeyboardInterrupt), kept_interrupts() as interrupt:
        interrupt()
        press()
        seen.append("goes on")
        interrupt()
        seen.append("never")
    assert seen == ["goes on"]


def test_what_was_kept_comes_at_the_end() -> None:
    with pytest.raises(KeyboardInterrupt), kept_interrupts():
        press()


def test_without_ctrl_c_nothing_is_raised() -> None:
    with kept_interrupts() as interrupt:
        interrupt()


def test_several_are_one() -> None:
    with kept_interrupts() as interrupt:
        press()
        press()
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        interrupt()


def test_another_error_is_not_hidden() -> None:
    with pytest.raises(ValueError, match="first"), kept_interrupts():
        press()
        raise ValueError("first")


@pytest.mark.parametrize("failing", [False, True])
def test_afterwards_ctrl_c_is_as_before(failing: bool) -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        with kept_interrupts():
            assert signal.getsignal(signal.SIGINT) is not before
            if failing:
                raise ValueError
    except ValueError:
        pass
    assert signal.getsignal(signal.SIGINT) is before


def test_a_thread_that_gets_no_ctrl_c_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with kept_interrupts() as interrupt:
            interrupt()
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_ctrl_c_that_is_ignored_stays_ignored() -> None:
    """As under nohup: nobody's Ctrl-C is meant for this process."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with kept_interrupts() as interrupt:
            press()
            interrupt()
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_process_started_without_interrupts_gets_none() -> None:
    """It has Ctrl-C before its first instruction of Python, and goes on."""
    code = "import sys; sys.stdin.readline(); print('whole')"
    with without_interrupts():
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    os.kill(child.pid, signal.SIGINT)
    said, _ = child.communicate("\n")
    assert said == "whole\n"


def test_this_process_gets_its_ctrl_c_afterwards() -> None:
    with pytest.raises(KeyboardInterrupt), without_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
