"""What a task promises: fixed parts, seeded orders, no two samples with one id."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals_arithmetic import arithmetic, ask, exact
from formosa.chat.message import Message, Tool
from formosa.engines.protocol import ChatReply
from formosa.errors import DataError
from formosa.evals.task import (
    Asked,
    Sample,
    Task,
    plan_sha256,
    request_seed,
    seeded_key,
    shuffled,
    subset,
    unread,
)


def test_a_limit_takes_an_evenly_spread_part() -> None:
    assert subset(range(100), 4) == [12, 37, 62, 87]
    assert subset(range(10), 10) == list(range(10))
    assert subset(range(10), 99) == list(range(10))
    assert subset(range(10), None) == list(range(10))
    assert subset(range(7), 1) == [3]


@given(st.integers(1, 300), st.integers(1, 300))
def test_a_part_has_its_size_its_order_and_even_gaps(total: int, limit: int) -> None:
    part = subset(range(total), limit)
    assert len(part) == min(total, limit)
    assert part == sorted(set(part))
    gaps = [b - a for a, b in zip(part, part[1:], strict=False)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="leaves nothing"):
        subset(range(10), 0)


def test_the_seeded_order_is_the_same_everywhere_and_for_ever() -> None:
    """Logs are continued by other machines and later versions: these values must not change."""
    assert seeded_key(7, "q1", 0).startswith("fff889fa7e0b")
    assert shuffled("ABCD", 7, "q1", 0) == list("DBCA")
    assert request_seed(7, "q1", 0) == 1110483279


def test_every_place_gets_every_option_about_as_often() -> None:
    first = Counter(shuffled("ABCD", 0, f"q{n}", r)[0] for n in range(500) for r in range(4))
    assert all(430 <= count <= 570 for count in first.values())  # 500 ± 3.6 standard deviations


@given(st.integers(), st.text(max_size=9), st.integers(0, 9))
def test_a_sampling_seed_is_one_that_every_server_accepts(seed: int, id: str, repeat: int) -> None:
    assert 0 <= request_seed(seed, id, repeat) < 2**31


def test_two_samples_with_one_id_are_refused() -> None:
    samples = [Sample("a", 1), Sample("a", 2)]
    with pytest.raises(DataError, match="two samples with the id a"):
        Task("t", 1, "", "", "", "", samples, ask, {"exact": exact})


def test_a_task_without_samples_or_scorers_is_refused() -> None:
    with pytest.raises(DataError, match="no samples"):
        Task("t", 1, "", "", "", "", [], ask, {"exact": exact})
    with pytest.raises(DataError, match="no scorer"):
        Task("t", 1, "", "", "", "", [Sample("a", 1)], ask, {})


def test_what_was_cut_is_truncated_and_what_cannot_be_read_unparsed() -> None:
    cut = unread(ChatReply(Message("assistant", "…"), "length"), "no number")
    whole = unread(ChatReply(Message("assistant", "…"), "stop"), "no number")
    assert (cut.outcome, cut.answer) == ("truncated", None)
    assert "token limit" in cut.why
    assert (whole.outcome, whole.why) == ("unparsed", "no number")


def test_questions_share_their_system_messages_and_tools() -> None:
    system, user = Message("system", "s"), Message("user", "u")
    tool = Tool("t")
    assert Asked((system, user), (tool,)).shared() == ((system,), (tool,))
    assert Asked((user, system)).shared() == ((), ())
    assert Asked((system, user, user), prefix=2).shared() == ((system, user), ())


def test_the_plans_hash_tells_plans_apart() -> None:
    task = arithmetic()
    hashes = {
        plan_sha256(task, ids, repeats, seed)
        for ids in (["a"], ["a", "b"])
        for repeats in (1, 2)
        for seed in (0, 1)
    }
    assert len(hashes) == 8
