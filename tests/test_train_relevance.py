"""Whether held-out replies begin as calls: what is asked, and how it is counted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.chat.message import Message, Tool, ToolCall
from formosa.chat.tags import CALL
from formosa.chat.template import ChatTemplate
from formosa.train.curves import CHARTS, Point, Story
from formosa.train.relevance import Beginning, Relevance, beginnings, call_token, relevance
from formosa.train.rows import IGNORED, Conversation, RowEncoder, RowSettings

TOOL = Tool.of("f", "", {"type": "object", "properties": {"x": {"type": "integer"}}})
ONE = ToolCall.of("f", {"x": 1}, "call_0")
USER = Message("user", "go <think> 請算")
FAR = 10_000  # tokens


def row(*replies: Message, tools: tuple[Tool, ...] = (TOOL,)) -> Conversation:
    return Conversation("x", (USER, *replies), tools)


CALLS = row(Message("assistant", tool_calls=(ONE,)))
REFUSES = row(Message("assistant", "抱歉，這裡沒有合適的工具。"))
THINKS = row(Message("assistant", reasoning="Which tool?\nThe first.", tool_calls=(ONE,)))
THINKS_BETTER = row(Message("assistant", "No tool fits.", reasoning="None fits."))
ASKED = (CALLS, REFUSES, THINKS, THINKS_BETTER)


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Path) -> Any:
    from formosa.checkpoints import load_tokenizer

    return load_tokenizer(tiny_checkpoint)


# -- what is asked -------------------------------------------------------------------------------


@pytest.mark.train
@pytest.mark.parametrize("asked", ASKED)
def test_what_is_asked_are_the_very_tokens_that_training_reads(
    tokenizer: Any, asked: Conversation
) -> None:
    """The ids before the reply begin the row's own, and what comes next in it is the answer."""
    template = ChatTemplate.formosa()
    (begun,) = beginnings(tokenizer, template, [asked], FAR)
    (outcome,) = RowEncoder(tokenizer, template, RowSettings()).encode([asked])
    (encoded,) = outcome.rows
    assert encoded.ids[: len(begun.ids)] == begun.ids
    following = encoded.ids[len(begun.ids)]
    assert encoded.labels[len(begun.ids)] == following != IGNORED, "it is learnt"
    assert (following == call_token(tokenizer)) == begun.calls


@pytest.mark.train
def test_only_rows_that_must_or_must_not_begin_with_a_call_are_asked(tokenizer: Any) -> None:
    left_out = [
        row(Message("assistant", "Let me look.", tool_calls=(ONE,))),  # both beginnings are right
        row(Message("assistant", "Hello."), tools=()),  # there is nothing to call
        Conversation("x", (USER,), (TOOL,)),  # nobody answers
    ]
    template = ChatTemplate.formosa()
    assert beginnings(tokenizer, template, left_out, FAR) == []
    found = beginnings(tokenizer, template, [*left_out, *ASKED], FAR)
    assert [item.calls for item in found] == [True, False, True, False]


@pytest.mark.train
def test_a_longer_row_than_any_that_is_measured_is_left_out(tokenizer: Any) -> None:
    template = ChatTemplate.formosa()
    lengths = [len(item.ids) for item in beginnings(tokenizer, template, ASKED, FAR)]
    assert len(beginnings(tokenizer, template, ASKED, max(lengths))) == len(ASKED)
    shorter = beginnings(tokenizer, template, ASKED, max(lengths) - 1)
    assert [len(item.ids) for item in shorter] == [n for n in lengths if n < max(lengths)]


@pytest.mark.train
def test_a_call_begins_with_its_tag(tiny_checkpoint: Path, tokenizer: Any) -> None:
    first = tokenizer.decode([call_token(tokenizer)], skip_special_tokens=False)
    assert first and CALL.startswith(first)


# -- how it is counted ---------------------------------------------------------------------------


class Scripted:
    """Stands for a model: the first token of each answer is given."""

    device = "cpu"

    def __init__(self, tokens: list[int]) -> None:
        self.tokens = tokens

    def __call__(self, **inputs: Any) -> Any:
        import torch

        assert inputs["logits_to_keep"] == 1
        return SimpleNamespace(logits=torch.nn.functional.one_hot(torch.tensor(self.tokens), 9)
                               .float().unsqueeze(1))  # fmt: skip


PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=8)


@pytest.mark.train
@given(PAIRS, st.integers(0, 8))
def test_every_row_that_counts_is_counted_once(
    wanted_and_made: list[tuple[bool, bool]], count: int
) -> None:
    call = 7
    model = Scripted([call if made else 3 for _, made in wanted_and_made])
    begun = [Beginning([1] * (i + 1), wanted) for i, (wanted, _) in enumerate(wanted_and_made)]
    found = relevance(model, begun, count, call=call, padding=0)
    counted = wanted_and_made[:count]
    assert found.calls + found.others == len(counted)
    assert found == Relevance(
        missed=counted.count((True, False)),
        calls=counted.count((True, True)) + counted.count((True, False)),
        needless=counted.count((False, True)),
        others=counted.count((False, True)) + counted.count((False, False)),
    )


@pytest.mark.train
def test_rows_beside_it_change_no_answer(tiny_checkpoint: Path, tokenizer: Any) -> None:
    """Shorter rows are padded on the left; the positions count from their own first token."""
    import torch

    from formosa.checkpoints import load_weights

    model = load_weights(tiny_checkpoint, dtype="float32").eval()
    begun = beginnings(tokenizer, ChatTemplate.formosa(), ASKED, FAR)
    assert len({len(item.ids) for item in begun}) > 1
    for item in begun:
        with torch.no_grad():
            likeliest = int(model(input_ids=torch.tensor([item.ids])).logits[0, -1].argmax())
        for call in (likeliest, likeliest + 1):  # as if that were how a call begins
            alone = relevance(model, [item], 1, call=call, padding=0)
            first = [item, *(other for other in begun if other is not item)]
            assert relevance(model, first, 1, call=call, padding=0) == alone
            assert alone.needless + (alone.calls - alone.missed) == (call == likeliest)


# -- how it is shown -----------------------------------------------------------------------------


def test_the_curves_are_shares_of_the_rows_in_question() -> None:
    counts = {"missed": 1, "calls": 4, "needless": 3, "others": 5}
    records = (
        {"type": "measured", "step": 10, "loss": 1.0},  # made before it was measured
        {"type": "measured", "step": 20, "loss": 1.0, "relevance": counts},
        {"type": "measured", "step": 30, "loss": 1.0, "relevance": {**counts, "others": 0}},
    )
    (chart,) = [chart for chart in CHARTS if chart.title == "Wrongly called"]
    needless, missed = chart.curves(Story("x", records, None))
    assert needless.points == (Point(20, 0.6),)
    assert missed.points == (Point(20, 0.25), Point(30, 0.25))
