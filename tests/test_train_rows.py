"""From a conversation to token ids and labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat_strategies import awkward_texts, conversations
from formosa.chat.message import Message, Tool, ToolCall
from formosa.chat.template import ChatTemplate
from formosa.errors import DataError
from formosa.train.rows import (
    IGNORED,
    Conversation,
    Document,
    EncodedRow,
    Outcome,
    RowEncoder,
    RowSettings,
    control_tokens,
    encode_texts,
    read_rows,
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


@pytest.fixture(scope="module", params=["plain", "joins line breaks", "tags are tokens"])
def any_tokenizer(request: pytest.FixtureRequest) -> Any:
    """As they come: Llama 3 has tokens of several line breaks, Qwen has our tags."""
    from tiny import tiny_tokenizer

    tokenizer = tiny_tokenizer()
    if request.param == "joins line breaks":
        tokenizer.add_tokens(["\n\n", "\n "])
    if request.param == "tags are tokens":
        tokenizer.add_tokens(["<tool_call>", "</tool_call>", "<think>", "</think>"])
    return tokenizer


def encoder(
    tokenizer: Any, max_tokens: int = 4096, template: ChatTemplate = TEMPLATE, **settings: Any
) -> RowEncoder:
    return RowEncoder(tokenizer, template, RowSettings(max_tokens=max_tokens, **settings))


def one(encoder: RowEncoder, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> Outcome:
    (outcome,) = encoder.encode([Conversation("rows.jsonl:1", tuple(messages), tuple(tools))])
    return outcome


def test_labels_are_exactly_the_assistants_words_and_its_stop_tokens(tokenizer: Any) -> None:
    (encoded,) = one(encoder(tokenizer), FLOW, [TOOL]).rows
    learnt = tokenizer.decode([label for label in encoded.labels if label != IGNORED])
    assert learnt == (
        '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call><|im_end|>'
        "It is 11 度。<|im_end|>"
    )


def test_ids_are_the_text_and_end_with_the_last_word(tokenizer: Any) -> None:
    (encoded,) = one(encoder(tokenizer), FLOW, [TOOL]).rows
    text = TEMPLATE.render(FLOW, [TOOL]).text
    assert tokenizer.decode(encoded.ids) == text.removesuffix("\n")


def test_a_row_without_an_assistants_turn_is_refused(tokenizer: Any) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl:1 has nothing to learn"):
        one(encoder(tokenizer), FLOW[:2])


def test_a_long_row_is_refused_with_both_lengths(tokenizer: Any) -> None:
    with pytest.raises(DataError, match=r"has \d+ tokens; the recipe allows 20") as error:
        one(encoder(tokenizer, 20), FLOW, [TOOL])
    assert "overlong: drop (or split)" in error.value.hint


def test_a_long_row_is_dropped_never_cut(tokenizer: Any) -> None:
    outcome = one(encoder(tokenizer, 40, overlong="drop"), FLOW, [TOOL])
    assert (outcome.rows, outcome.dropped) == ((), "overlong")
    assert outcome.tokens > 40


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
        one(encoder(tokenizer, template=forgetful), FLOW)


def test_a_stop_token_that_is_no_token_is_refused(tokenizer: Any) -> None:
    with pytest.raises(DataError, match="not one token"):
        encoder(tokenizer, template=ChatTemplate.formosa("llama3"))


def test_rows_are_read_with_arguments_as_text_or_object(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": {"x": 1.0}}}]
    value = {"messages": [{"role": "assistant", "content": None, "tool_calls": calls}]}
    path.write_text(json.dumps(value) + "\n", encoding="utf-8")
    (found,) = read_rows(path)
    assert isinstance(found, Conversation)
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
        list(read_rows(path))


# What a server would be asked, and what the model learns to answer.

SPELLED = st.sampled_from(["<|im_end|>", "a<|im_start|>system\nb", "<|im_", "\n", " ", "\n\n x"])
TOKENS = ("<|im_end|>", "<|im_start|>", "<|endoftext|>")


def learnt_parts(row: EncodedRow) -> list[tuple[int, list[int]]]:
    """Where each learnt run begins, and its ids."""
    parts: list[tuple[int, list[int]]] = []
    for i, label in enumerate(row.labels):
        if label == IGNORED:
            continue
        if parts and i and row.labels[i - 1] != IGNORED:
            parts[-1][1].append(label)
        else:
            parts.append((i, [label]))
    return parts


def served(tokenizer: Any, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]:
    """The ids that a server makes of a conversation that it shall answer."""
    prompt = TEMPLATE.guarded_prompt(messages, tools, control_tokens=control_tokens(tokenizer))
    pieces = (prompt,) if isinstance(prompt, str) else prompt
    return [token for ids in encode_texts(tokenizer, pieces) for token in ids]


def spelling_conversations() -> st.SearchStrategy[tuple[list[Message], list[Tool]]]:
    """Conversations whose messages also spell control tokens, and begin or end with white space."""

    def spoil(value: tuple[tuple[list[Message], list[Tool]], list[str]]) -> Any:
        (messages, tools), words = value
        return [
            replace(message, content=message.content + word)
            for message, word in zip(messages, words, strict=False)
        ], tools

    words = st.lists(st.one_of(SPELLED, awkward_texts()), min_size=6, max_size=6)
    return st.tuples(conversations(), words).map(spoil)


@pytest.mark.parametrize("thinking", ["keep", "drop"])
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spelling_conversations())
def test_every_turn_is_learnt_once_behind_the_very_ids_that_a_server_reads(
    thinking: Any, any_tokenizer: Any, conversation: tuple[list[Message], list[Tool]]
) -> None:
    """Any conversation: with control tokens as words, with answers that begin with line breaks."""
    tokenizer = any_tokenizer
    messages, tools = conversation
    turns = [i for i, message in enumerate(messages) if message.role == "assistant"]
    if not turns:
        return
    outcome = one(encoder(tokenizer, 10**6, thinking=thinking), messages, tools)
    found = [(row.ids[:at], words) for row in outcome.rows for at, words in learnt_parts(row)]
    assert len(found) == len(turns)
    for i in turns:
        history = messages[:i]
        if thinking == "drop":
            history = [replace(message, reasoning="") for message in history]
        text = TEMPLATE.render([*history, messages[i]], tools)
        start, end = text.spans[-1]
        prompt = served(tokenizer, history, tools)
        match = [words for before, words in found if before == prompt]
        assert match, f"turn {i} is not learnt behind its prompt"
        assert text.text[start:end] in [tokenizer.decode(words) for words in match]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spelling_conversations())
def test_control_tokens_are_those_of_the_template_and_no_others(
    tokenizer: Any, conversation: tuple[list[Message], list[Tool]]
) -> None:
    messages, tools = conversation
    if not any(message.role == "assistant" for message in messages):
        return
    outcome = one(encoder(tokenizer, 10**6), messages, tools)
    # An empty system prompt has no turn.
    plain = [replace(m, content="x"[: len(m.content)], reasoning="", tool_calls=())
             for m in messages]  # fmt: skip
    allowed = TEMPLATE.render(plain, tools).text
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in TOKENS}
    for row in outcome.rows:
        for token, number in ids.items():
            assert row.ids.count(number) <= allowed.count(token)
        assert row.ids[-1] == row.labels[-1] == ids["<|im_end|>"]


def test_a_word_that_spells_a_control_token_is_seen_and_stays_words(tokenizer: Any) -> None:
    outcome = one(
        encoder(tokenizer),
        [Message("user", "what is <|im_end|>?"), Message("assistant", "<|im_end|> ends a turn")],
    )
    assert outcome.guarded
    (row,) = outcome.rows
    assert row.ids.count(tokenizer.convert_tokens_to_ids("<|im_end|>")) == 2
    text = TEMPLATE.render([Message("user", "what is <|im_end|>?"),
                            Message("assistant", "<|im_end|> ends a turn")]).text  # fmt: skip
    assert tokenizer.decode(row.ids) == text.removesuffix("\n")


def test_answers_that_begin_with_line_breaks_get_samples_of_their_own() -> None:
    """A server joins the line break of the head with the answer's own when it reads the history,
    but can't when the model writes it: one sequence of ids can't be both."""
    from tiny import tiny_tokenizer

    messages = [Message("user", "a"), Message("assistant", "\n\nx"),
                Message("user", "b"), Message("assistant", "y")]  # fmt: skip
    tokenizer = tiny_tokenizer()
    assert not one(encoder(tokenizer), messages).separated, "line breaks are single tokens here"
    tokenizer.add_tokens(["\n\n"])
    outcome = one(encoder(tokenizer), messages)
    assert outcome.separated and len(outcome.rows) == 2


def test_a_template_that_marks_no_turns_is_refused(tokenizer: Any) -> None:
    foreign = ChatTemplate.from_source(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        eos_token="<|im_end|>",
    )
    with pytest.raises(DataError, match=r"rows\.jsonl:1: .* marks 0 of 2 turns"):
        one(encoder(tokenizer, template=foreign), FLOW)


def test_a_turn_whose_stop_token_is_not_learnt_is_refused(tokenizer: Any) -> None:
    """Also where only an earlier turn is without: it would teach never to stop there."""
    careless = ChatTemplate.from_source(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
        "{% generation %}{{ m.content }}{% if loop.last %}<|im_end|>{% endif %}{% endgeneration %}"
        "{% if not loop.last %}<|im_end|>{% endif %}"
        "{% else %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        eos_token="<|im_end|>",
    )
    dialogue = [*FLOW, Message("user", "and now?"), Message("assistant", "12")]
    with pytest.raises(DataError, match="never teach the model to stop"):
        one(encoder(tokenizer, template=careless), dialogue)


# Length.


def dialogue(exchanges: int, words: str = "word ") -> list[Message]:
    return [
        message
        for n in range(exchanges)
        for message in (Message("user", words), Message("assistant", f"answer {n}."))
    ]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(40, 200), st.lists(awkward_texts(), min_size=8, max_size=8))
def test_split_rows_fit_and_teach_every_turn_once(
    tokenizer: Any, exchanges: int, limit: int, words: list[str]
) -> None:
    messages = [Message("system", "Be brief."), *dialogue(exchanges)]
    for n, text in enumerate(words[:exchanges]):
        messages[1 + 2 * n] = Message("user", text)
    (outcome,) = encoder(tokenizer, limit, overlong="split").encode(
        [Conversation("rows.jsonl:1", tuple(messages), ())]
    )
    learnt = [
        tokenizer.decode(ids).removesuffix("<|im_end|>")
        for row in outcome.rows
        for _, ids in learnt_parts(row)
    ]
    assert len(learnt) == len(set(learnt))
    assert set(learnt) <= {f"answer {n}." for n in range(exchanges)}
    assert all(len(row.ids) <= limit for row in outcome.rows)
    if outcome.dropped:
        assert not learnt
    else:
        assert len(learnt) + outcome.lost_turns == exchanges
    alone = max(len(served(tokenizer, [messages[0], message], ())) for message in messages[1::2])
    if alone + 20 < limit:  # every exchange fits alone
        assert outcome.lost_turns == 0 and not outcome.dropped


def test_a_split_row_keeps_its_system_prompt_and_its_tools(tokenizer: Any) -> None:
    messages = (Message("system", "Be brief."), *dialogue(12))
    whole = one(encoder(tokenizer), messages, [TOOL])
    front = served(tokenizer, messages[:1], [TOOL])[:-10]
    limit = whole.tokens // 2
    outcome = one(encoder(tokenizer, limit, overlong="split"), messages, [TOOL])
    assert outcome.tokens == whole.tokens > limit
    assert len(outcome.rows) >= 2
    assert all(row.ids[: len(front)] == front for row in outcome.rows)


def test_only_samples_that_are_too_long_are_dropped(tokenizer: Any) -> None:
    """With thinking: drop a row is several samples; the short ones stay."""
    thought = Message("assistant", "yes", reasoning="because " * 30)
    messages = [Message("user", "?"), Message("assistant", "no", reasoning="hm"),
                Message("user", "?"), thought]  # fmt: skip
    outcome = one(encoder(tokenizer, 60, overlong="drop", thinking="drop"), messages)
    assert (len(outcome.rows), outcome.lost_turns, outcome.dropped) == (1, 1, "")


# Documents and conversations in one file.


def test_rows_are_read_as_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    tools = json.dumps([TOOL.to_openai()])
    lines = [{"text": "臺灣"}, {"messages": [{"role": "user", "content": "?"}], "tools": tools}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    document, conversation = read_rows(path)
    assert document == Document(f"{path}:1", "臺灣")
    assert isinstance(conversation, Conversation) and conversation.tools == (TOOL,)


def test_a_document_is_no_row_of_fine_tuning(tokenizer: Any) -> None:
    with pytest.raises(DataError, match=r"a:3 is a document") as error:
        list(encoder(tokenizer).encode([Document("a:3", "text")]))
    assert "objective: cpt" in error.value.hint


@pytest.mark.parametrize("tools", ["[", "{}", 5])
def test_tools_that_are_no_list_are_named(tmp_path: Path, tools: Any) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"messages": [], "tools": tools}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"rows\.jsonl:1: tools"):
        list(read_rows(path))


def test_truncation_that_a_tokenizer_brings_is_not_ours() -> None:
    """A tokenizer.json may hold a length to cut at: answers would be lost in silence."""
    from tiny import tiny_tokenizer

    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.enable_truncation(3)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    (ids,) = encode_texts(tokenizer, ["one two three four five six seven eight nine"])
    assert tokenizer.decode(ids).endswith("nine")
