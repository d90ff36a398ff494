"""The reading from log-probabilities: never a guess."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.chat.message import Message
from formosa.engines.protocol import ChatReply, Logprob, Sampling, TokenLogprob
from formosa.evals.choice import Choice, ChoiceSet, order, right_letter
from formosa.evals.logit import TOP, first_character, letter_logprobs, logit_scorer, logit_task
from formosa.evals.task import Sample, ScoreRecord

MOUNTAIN = Sample("m", Choice("最高的山？", ("玉山", "雪山", "合歡山", "大屯山"), 0))
SET = ChoiceSet("t", [MOUNTAIN], "zh", "", "", "", "zh-TW")
GOLD = right_letter(MOUNTAIN, 0, 0)
OTHERS = [letter for letter in "ABCD" if letter != GOLD]


def token(text: str, logprob: float) -> TokenLogprob:
    return TokenLogprob(text, logprob, text.encode())


def reply(*tokens: tuple[str, float]) -> ChatReply:
    top = tuple(token(*pair) for pair in sorted(tokens, key=lambda pair: -pair[1]))
    chosen = top[0] if top else token("", 0.0)
    logprobs = (Logprob(chosen, top),) if top else ()
    return ChatReply(Message("assistant", chosen.text), "length", logprobs=logprobs)


def score(*tokens: tuple[str, float]) -> ScoreRecord:
    return logit_scorer(MOUNTAIN, 0, 0, reply(*tokens))


def test_the_likeliest_letter_is_the_answer() -> None:
    made = score((GOLD, -0.1), (OTHERS[0], -3.0), (OTHERS[1], -4.0), (OTHERS[2], -5.0))
    assert (made.outcome, made.answer) == ("correct", GOLD)
    made = score((GOLD, -3.0), (OTHERS[0], -0.1), (OTHERS[1], -4.0), (OTHERS[2], -5.0))
    assert (made.outcome, made.answer) == ("wrong", OTHERS[0])
    assert f"{OTHERS[0]} -0.100" in made.why
    assert f"{GOLD} is right" in made.why


def test_a_likelier_token_that_is_no_letter_does_not_hinder() -> None:
    made = score(("我", -0.1), (GOLD, -2.0), (OTHERS[0], -3.0))
    assert (made.outcome, made.answer) == ("correct", GOLD)


def test_a_letter_beyond_the_likeliest_tokens_is_named() -> None:
    made = score((GOLD, -0.1), ("我", -0.5))
    assert made.outcome == "correct"
    for letter in OTHERS:
        assert letter in made.why
    assert f"not among the {TOP} likeliest" in made.why


def test_no_letter_at_all_is_no_answer() -> None:
    """Such as a model that begins every reply with <think>."""
    made = score(("<think>", -0.1), ("我", -0.5))
    assert (made.outcome, made.answer) == ("unparsed", None)
    assert "none of A, B, C, D" in made.why


def test_two_letters_in_the_first_place_are_no_answer() -> None:
    made = score(("A", -0.7), ("B", -0.7), ("C", -3.0))
    assert (made.outcome, made.answer) == ("unparsed", None)
    assert "equally likely" in made.why


def test_an_engine_without_log_probabilities_gives_no_answer() -> None:
    made = score()
    assert (made.outcome, made.answer) == ("unparsed", None)
    assert "no log-probabilities" in made.why


def test_it_is_never_called_truncated() -> None:
    """A few tokens are all that was asked for, so every reply ends at the limit."""
    assert score(("x", -1.0)).outcome == "unparsed"


def test_only_the_first_token_counts() -> None:
    later = Logprob(token(GOLD, 0.0), (token(GOLD, 0.0),))
    first = Logprob(token(OTHERS[0], -0.1), (token(OTHERS[0], -0.1),))
    made = ChatReply(Message("assistant", "xy"), "length", logprobs=(first, later))
    assert logit_scorer(MOUNTAIN, 0, 0, made).answer == OTHERS[0]


def test_spellings_of_a_letter_are_one_letter() -> None:
    made = letter_logprobs(reply(("B", -2.0), (" B", -1.0), ("Ｂ", -4.0), ("A", -1.5)), "ABCD")
    assert made == {"B": -1.0, "A": -1.5}


def test_lower_case_and_longer_tokens_are_no_letters() -> None:
    """`a` begins a sentence, and `BC` may begin a word."""
    assert letter_logprobs(reply(("a", -0.1), ("BC", -0.2), ("", -0.3)), "ABCD") == {}


def test_only_letters_of_the_question_count() -> None:
    assert letter_logprobs(reply(("E", -0.1), ("A", -0.2)), "ABCD") == {"A": -0.2}


def test_the_task_asks_for_a_character_and_the_likeliest_beside_it() -> None:
    task = logit_task(SET, "t-logit")
    assert task.needs is first_character
    asked = first_character(Sampling(temperature=0.7, top_p=0.9, max_tokens=512, stop=("\n",)))
    assert (asked.temperature, asked.max_tokens, asked.logprobs) == (0.0, 4, TOP)
    assert not asked.stop
    assert "log-probability" in task.describe()["decoder"]


def test_the_prompt_asks_for_the_letter_alone_and_shuffles_like_the_others() -> None:
    asked = logit_task(SET, "t-logit").ask(MOUNTAIN, 3, 1)
    assert "A、B、C、D" in asked.messages[0].content
    assert "只輸出正確選項的字母" in asked.messages[0].content
    assert asked.gold == right_letter(MOUNTAIN, 3, 1)
    lines = asked.messages[1].content.split("\n")
    shown = [MOUNTAIN.content.options[i] for i in order(MOUNTAIN, 3, 1)]
    assert lines == ["最高的山？", *(f"{c}: {t}" for c, t in zip("ABCD", shown, strict=True))]
    english = logit_task(ChoiceSet("t", [MOUNTAIN], "en", "", "", "", "en"), "t-logit")
    assert "A, B, C, and D" in english.ask(MOUNTAIN, 0, 0).messages[0].content


@given(
    st.dictionaries(
        st.sampled_from(["A", "B", "C", "D", " A", "x", "我"]),
        st.floats(-30, 0, allow_nan=False),
        min_size=1,
    )
)
def test_the_answer_is_a_letter_that_nothing_beats(told: dict[str, float]) -> None:
    made = score(*told.items())
    letters = {text: p for text, p in told.items() if text.strip() in "ABCD"}
    if made.answer is None:
        best = sorted(letters.values(), reverse=True)[:2]
        assert not letters or (len(best) == 2 and best[0] == best[1])
    else:
        assert max(letters.values()) == max(
            p for text, p in letters.items() if text.strip() == made.answer
        )


@pytest.mark.parametrize("count", [2, 5, 20])
def test_any_number_of_options(count: int) -> None:
    sample = Sample("q", Choice("?", tuple(map(str, range(count))), 1))
    letters = sample.content.letters
    told = [(letter, -math.log(count) - i) for i, letter in enumerate(letters)]
    made = logit_scorer(sample, 0, 0, reply(*told))
    assert made.answer == "A"
