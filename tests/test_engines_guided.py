"""A model of llama.cpp that was given a grammar lives until another one surely read a later one.

llama.cpp remembers it by the address of its vocabulary, which a freed one would give away: then the
next model is held to tokens of the former, or the process ends.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.engines import guided as module
from formosa.engines.guided import guided


class Server:
    """Frees its model when the last reference goes."""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What real models of other tests left is not counted, and comes back."""
    before = module._kept[:]
    module._kept.clear()
    yield
    module._kept[:] = before


def ask(server: Server) -> None:
    with guided(server) as read:
        read()


def kept() -> list[Server]:
    return [entry.server for entry in module._kept]


def test_the_one_that_read_last_lives_until_another_one_read() -> None:
    first, second = Server(), Server()
    gone = [weakref.ref(first), weakref.ref(second)]
    ask(first)
    ask(first)
    del first
    with guided(second) as read:
        assert gone[0]() is not None  # the second has not read its grammar yet
        read()
        assert gone[0]() is None
    del second
    assert gone[1]() is not None


def test_of_two_that_are_asked_at_the_same_time_both_live() -> None:
    """Which of them reads last can't be seen; a late word of the first is no later grammar."""
    first, second, third = Server(), Server(), Server()
    with guided(first) as one:
        one()
        with guided(second) as two:
            two()
            assert kept() == [first, second]
        one()
    assert kept() == [first, second]
    ask(third)
    assert kept() == [third]


def test_one_that_was_asked_again_meanwhile_lives() -> None:
    first, second = Server(), Server()
    ask(first)
    with guided(second) as read:
        ask(first)  # perhaps after the second
        read()
    assert set(kept()) == {first, second}


def test_a_request_that_was_given_up_may_be_read_later() -> None:
    first, second = Server(), Server()
    with pytest.raises(TimeoutError), guided(first):
        raise TimeoutError
    ask(second)
    assert set(kept()) == {first, second}
    ask(first)  # it takes its requests in their order, so the one before is over
    ask(second)
    assert kept() == [second]


def test_an_older_request_proves_nothing_of_one_that_was_given_up_after_it() -> None:
    first, second = Server(), Server()
    with guided(first) as read:
        with guided(first):
            pass
        read()
    ask(second)
    assert set(kept()) == {first, second}


class Request:
    """One request with a grammar: llama.cpp reads it, its answer begins, it ends or is given up."""

    def __init__(self, server: Server) -> None:
        self.is_read = self.answered = False
        self.stack = ExitStack()
        self.read = self.stack.enter_context(guided(server))


STEPS = ("begin", "reads", "answer", "reads again", "end", "give up")


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(STEPS)), max_size=60))
def test_whoever_read_last_is_kept_in_whatever_order_things_happen(
    steps: list[tuple[int, str]],
) -> None:
    module._kept.clear()
    servers = [Server() for _ in range(3)]
    running: list[list[Request]] = [[], [], []]
    queues: list[list[Request]] = [[], [], []]  # not read yet, those that were given up among them
    last: Server | None = None  # whose vocabulary llama.cpp remembers

    def first(requests: list[Request], *, answered: bool, is_read: bool = True) -> Request | None:
        fitting = (one for one in requests if one.answered == answered and one.is_read >= is_read)
        return next(fitting, None)

    for number, what in steps:
        server, mine, queue = servers[number], running[number], queues[number]
        if what == "begin":
            mine.append(Request(server))
            queue.append(mine[-1])
        elif what == "reads" and queue:
            queue.pop(0).is_read = True  # in the order in which they came
            last = server
        elif what == "answer" and (one := first(mine, answered=False)):
            one.read()
            one.answered = True
        elif what == "reads again" and first(mine, answered=True):
            last = server
        elif (
            what == "end"
            and (one := first(mine, answered=True))
            or what == "give up"
            and (one := first(mine, answered=False, is_read=False))
        ):
            mine.remove(one)
            one.stack.close()
        assert last is None or last in kept()
    for requests in running:
        for one in requests:
            one.stack.close()
