"""From a conversation to token ids and labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.chat.message import Message, Tool, ToolCall
from formosa.chat.template import ChatTemplate
from formosa.errors import DataError
from formosa.train.rows import (
    IGNORED,
    Conversation,
    EncodedRow,
    encode,
    encode_rows,
    group_rows,
    read_conversations,
)

pytestmark = pytest.mark.train

TEMPLATE = ChatTemplate.formosa()
TOOL = Tool.of("f", "", {"type": "object", "properties": {"x": {"type": "integer"}}})
FLOW = (
    Message("system", "Be brief."),
    Message("user", "f of 1 and 2, please"),
    Message("assistant", "", tool_calls=(ToolCall.of("f", {"x": 1}, "call_0"),)),
    Message("tool", "11", tool_call_id="call_0"),
    Message("assistant", "It is 11 度。"),
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tiny import tiny_tokenizer

    return tiny_tokenizer()


def row(*messages: Message) -> Conversation:
    return Conversation("rows.jsonl:1", messages, (TOOL,))


def test_labels_are_exactly_the_assistants_words_and_its_stop_tokens(tokenizer: Any) -> None:
    encoded = encode(TEMPLATE.render(FLOW, [TOOL]), tokenizer)
    learnt = tokenizer.decode([label for label in encoded.labels if label != IGNORED])
    assert learnt == (
        '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call><|im_end|>'
        "It is 11 度。<|im_end|>"
    )


def test_ids_are_the_text_and_end_with_the_last_word(tokenizer: Any) -> None:
    encoded = encode(TEMPLATE.render(FLOW, [TOOL]), tokenizer)
    text = TEMPLATE.render(FLOW, [TOOL]).text
    assert tokenizer.decode(encoded.ids) == text.removesuffix("\n")


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30), st.text(min_size=1, max_size=30))
def test_the_prompt_of_a_server_is_the_beginning_of_the_row(question: str, answer: str) -> None:
    """Also where the answer begins with white space that the tokenizer would join to the head."""
    from tiny import tiny_tokenizer

    tokenizer = tiny_tokenizer()
    messages = (Message("user", question), Message("assistant", answer))
    encoded = encode(TEMPLATE.render(messages), tokenizer)
    prompt = tokenizer.encode(TEMPLATE.prompt(messages[:1]), add_special_tokens=False)
    assert encoded.ids[: len(prompt)] == prompt
    assert set(encoded.labels[: len(prompt)]) == {IGNORED}
    assert encoded.labels[len(prompt) :] == encoded.ids[len(prompt) :]


def test_a_row_without_an_assistants_turn_is_refused(tokenizer: Any) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl:1 has nothing to learn"):
        encode_rows([row(*FLOW[:2])], tokenizer, TEMPLATE, max_tokens=500)


def test_a_long_row_is_refused_with_both_lengths(tokenizer: Any) -> None:
    with pytest.raises(DataError, match=r"has \d+ tokens; the recipe allows 20") as error:
        encode_rows([row(*FLOW)], tokenizer, TEMPLATE, max_tokens=20)
    assert "overlong: drop" in error.value.hint


def test_a_long_row_is_dropped_and_counted_never_cut(tokenizer: Any) -> None:
    short = row(Message("user", "hi"), Message("assistant", "hello"))
    bare = Conversation("rows.jsonl:2", short.messages, ())
    rows = encode_rows([row(*FLOW), bare], tokenizer, TEMPLATE, max_tokens=40, overlong="drop")
    assert rows.dropped == {"overlong": 1}
    assert len(rows.rows) == 1
    assert rows.tokens == len(rows.rows[0].ids)
    assert rows.trained == rows.rows[0].trained > 0


def test_when_all_rows_are_dropped_nothing_is_trained(tokenizer: Any) -> None:
    with pytest.raises(DataError, match="No row is left"):
        encode_rows([row(*FLOW)], tokenizer, TEMPLATE, max_tokens=20, overlong="drop")


def test_a_template_that_rewrites_its_history_is_refused(tokenizer: Any) -> None:
    """R1-style templates drop the thinking of earlier turns: trained text is not served text."""
    forgetful = ChatTemplate.from_source(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
        "{% else %}{{ m.content if loop.last else '(gone)' }}<|im_end|>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        eos_token="<|im_end|>",
    )
    with pytest.raises(DataError, match="writes messages\\[:2\\] differently"):
        encode_rows([row(*FLOW)], tokenizer, forgetful, max_tokens=500)


def test_a_stop_token_that_is_no_token_is_refused(tokenizer: Any) -> None:
    with pytest.raises(DataError, match="not one token"):
        encode_rows([row(*FLOW)], tokenizer, ChatTemplate.formosa("llama3"), max_tokens=500)


def test_groups_hold_every_row_once_with_little_padding() -> None:
    rows = [EncodedRow([0] * n, [0] * n) for n in (9, 2, 8, 3, 7, 4, 5)]
    groups = group_rows(rows, 2)
    assert sorted(len(r.ids) for g in groups for r in g) == [2, 3, 4, 5, 7, 8, 9]
    assert [[len(r.ids) for r in g] for g in groups] == [[2, 3], [4, 5], [7, 8], [9]]


def test_rows_are_read_with_arguments_as_text_or_object(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": {"x": 1.0}}}]
    value = {"messages": [{"role": "assistant", "content": None, "tool_calls": calls}]}
    path.write_text(json.dumps(value) + "\n", encoding="utf-8")
    (found,) = read_conversations(path)
    assert found.messages[0].tool_calls == (ToolCall("f", '{"x": 1.0}', "c"),)
    assert found.where == f"{path}:1"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[]", "has no list of messages"),
        ('{"messages": "hi"}', "has no list of messages"),
        ('{"messages": [{"role": "human", "content": "x"}]}', r"messages\[0\]\.role"),
        ('{"messages": [], "tools": [{"function": {}}]}', r"tools\[0\]\.function\.name"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"messages": []}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=rf"rows\.jsonl:2.*{problem}"):
        list(read_conversations(path))
