"""The second pass: no question in both splits, counts that add up, and the same rows every time."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.chat.message import Message
from formosa.data.rejects import RejectPile
from formosa.data.rows import Row
from formosa.data.selection import (
    ASKED,
    LIMIT,
    NOT_DRAWN,
    Selection,
    heldout_parts,
    shuffled,
)
from formosa.data.spool import Spool

NAMES = ("mine", "theirs", "synth")
# (source, question): few questions, so that many rows ask the same
ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), min_size=1, max_size=60)


def silent(_: str) -> None: ...


def fill(folder: Path, rows: list[tuple[int, int]]) -> Spool:
    spool = Spool(folder)
    for number, (source, question) in enumerate(rows):
        messages = (Message("user", f"Question {question}?"), Message("assistant", str(number)))
        spool.add(Row.of(messages, id=str(number)), source, f"{NAMES[source]}:{number}")
    return spool


def begin(spool: Spool, fixed: frozenset[int] = frozenset()) -> tuple[Selection, RejectPile]:
    pile = RejectPile(io.BytesIO())
    return Selection(spool, NAMES, pile, fixed, 2), pile


@given(
    rows=ROWS,
    wanted=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    seed=st.integers(0, 3),
    data=st.data(),
)
def test_no_question_is_in_both_splits_and_no_row_is_lost(
    rows: list[tuple[int, int]],
    wanted: tuple[int, int],
    seed: int,
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    own = [i for i, (source, _) in enumerate(rows) if source == 2]
    # The generator's splits never share a question: half of its questions are held out.
    fixed = frozenset(i for i in own if rows[i][1] % 2)
    with fill(tmp_path_factory.mktemp("spool"), rows) as spool:
        chosen, pile = begin(spool, fixed)
        chosen.hold_out(dict(enumerate(wanted)), seed, silent)
        train = chosen.every()
        again, _ = begin(spool, fixed)
        again.hold_out(dict(enumerate(wanted)), seed, silent)
    questions = {rows[i][1] for i in train}
    assert not questions & {rows[i][1] for i in chosen.heldout}
    assert fixed <= chosen.heldout
    assert not set(train) & chosen.heldout
    assert len(train) + len(chosen.heldout) + sum(pile.counts.values()) == len(rows)
    assert {reason for _, reason in pile.counts} <= {ASKED}
    assert len(chosen.heldout - fixed) <= sum(wanted)
    assert set(own) - fixed <= set(train), "the generator's rows are not moved"
    assert again.heldout == chosen.heldout and again.every() == train


def test_rows_with_equal_questions_are_held_out_together(tmp_path: Path) -> None:
    """Two answers to one question: with one of them in training, the other measures memory."""
    rows = [(0, number // 2) for number in range(20)]
    with fill(tmp_path, rows) as spool:
        chosen, pile = begin(spool)
        chosen.hold_out({0: 6}, 1, silent)
    assert len(chosen.heldout) == 6 and not pile.counts
    assert Counter(Counter(rows[i][1] for i in chosen.heldout).values()) == {2: 3}


def test_too_few_questions_are_said(tmp_path: Path) -> None:
    said: list[str] = []
    with fill(tmp_path, [(0, 7)] * 10) as spool:
        chosen, _ = begin(spool)
        chosen.hold_out({0: 5}, 1, said.append)
    assert not chosen.heldout and said == ["mine: 0 of 5 rows are held out; there are no more"]


def test_duplicates_go_with_the_name_of_the_row_that_stays(tmp_path: Path) -> None:
    with fill(tmp_path, [(0, 1), (1, 1), (1, 1)]) as spool:
        file = io.BytesIO()
        chosen = Selection(spool, NAMES, RejectPile(file))
        chosen.drop_duplicates([(1, "duplicate", 0), (2, "near duplicate", 0)])
        assert list(chosen.every()) == [0]
    assert b"The same as 0 of mine (mine:0)." in file.getvalue()


@given(rows=ROWS, most=st.integers(1, 30), seed=st.integers(0, 2))
def test_a_limit_keeps_so_many_rows_and_counts_the_others(
    rows: list[tuple[int, int]], most: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with fill(tmp_path_factory.mktemp("spool"), rows) as spool:
        chosen, pile = begin(spool)
        chosen.limit(0, most, seed)
        kept = len(chosen.of(0))
    mine = sum(source == 0 for source, _ in rows)
    assert kept == min(most, mine)
    assert pile.dropped("mine") == ({LIMIT: mine - kept} if mine > kept else {})


@given(
    rows=ROWS,
    weights=st.tuples(st.floats(0.1, 5), st.floats(0.1, 5), st.floats(0.1, 5)),
    total=st.integers(1, 90),
    repeat=st.booleans(),
)
def test_a_mixture_gives_what_was_wanted_or_all_there_is(
    rows: list[tuple[int, int]],
    weights: tuple[float, float, float],
    total: int,
    repeat: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    said: list[str] = []
    with fill(tmp_path_factory.mktemp("spool"), rows) as spool:
        chosen, pile = begin(spool)
        train, shares = chosen.mix(
            dict(enumerate(weights)), total, 1, repeat=repeat, say=said.append
        )
    lines = Counter(rows[number][0] for number in train)
    for source, name in enumerate(NAMES):
        share = shares[name]
        has = sum(item == source for item, _ in rows)
        assert share.available == has and share.got == lines[source]
        assert share.got == (share.wanted if repeat and has else min(share.wanted, has))
        assert pile.dropped(name).get(NOT_DRAWN, 0) == max(0, has - share.wanted)
        assert any(name in line for line in said) == (share.wanted > has)
    assert sum(share.wanted for share in shares.values()) == total
    assert len(set(train)) + sum(pile.counts.values()) == len(rows)


@pytest.mark.parametrize(
    ("repeat", "said"),
    [
        (False, "the mixture has 9 rows, as theirs decides: 3 rows for a weight of 1"),
        (True, "the mixture has 60 rows, as mine decides: 40 rows for a weight of 2"),
    ],
)
def test_a_mixture_without_a_size_says_which_source_decided(
    repeat: bool, said: str, tmp_path: Path
) -> None:
    """A source that lost most of its rows would else shrink the whole in silence."""
    told: list[str] = []
    with fill(tmp_path, [(0, n) for n in range(40)] + [(1, n) for n in range(3)]) as spool:
        chosen, _ = begin(spool)
        train, _ = chosen.mix({0: 2.0, 1: 1.0}, None, 1, repeat=repeat, say=told.append)
    assert said in told and len(train) == int(said.split()[3])


@given(
    st.integers(0, 300),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 200), min_size=1),
)
def test_held_out_rows_are_shared_out_and_never_eat_a_source(
    total: int, rows: dict[str, int]
) -> None:
    parts = heldout_parts(total, rows, rows)
    assert sum(parts.values()) <= total
    assert all(parts[name] <= rows[name] // 2 for name in parts)
    if sum(rows.values()) >= 2 * total + 2 * len(rows):
        assert sum(parts.values()) >= total - len(rows)


def test_the_order_is_shuffled_by_the_seed(tmp_path: Path) -> None:
    with fill(tmp_path, [(0, n) for n in range(40)]) as spool:
        chosen, _ = begin(spool)
        one, same, other = (shuffled(chosen.every(), seed) for seed in (1, 1, 2))
    assert one == same != other
    assert sorted(one) == sorted(other) == list(range(40))
