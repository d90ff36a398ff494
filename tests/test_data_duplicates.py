"""Which rows say the same: exactly, nearly, and not at all."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_rows import called, talk, tool
from formosa.data import few_alike, minhash, near_duplicates
from formosa.data.cleaning_config import DuplicateConfig
from formosa.data.duplicates import EXACT, NEAR, Duplicates, compared_text
from formosa.data.rows import Row
from formosa.errors import UserError


@pytest.fixture(scope="module", params=["few", "many"], autouse=True)
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both ways to search must find the same: all pairs of a few rows, and bands of many."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "many":
            patch.setattr(near_duplicates, "FEW", 0)
        yield request.param


LONG = "請說明臺灣四大家族的歷史，並比較他們在日治時期與戰後的發展，最後列出三本可以參考的書籍。"
ENGLISH = (
    "Explain how a heat pump moves warmth from the cold air outside into a house, and why it needs "
    "less electricity than a heater that only burns it."
)
ANSWER = (
    "這四大家族是板橋林家、霧峰林家、高雄陳家與鹿港辜家，各自在不同的產業與地方政治中扮演要角。"
)


def found(
    tmp_path: Path, rows: Sequence[Row], config: DuplicateConfig | None = None, near: bool = True
) -> list[tuple[int, str, int]]:
    folder = tmp_path / str(random.random())
    folder.mkdir()
    index = Duplicates(folder, config or DuplicateConfig())
    for number, row in enumerate(rows):
        index.add(number, row, near=near)
    return list(index.resolve(lambda number: compared_text(rows[number])))


def test_the_same_words_are_a_duplicate_and_the_first_row_stays(tmp_path: Path) -> None:
    rows = [talk("你好", "您好"), talk("再見", "慢走"), talk("你好", "您好"), talk("你好", "您好")]
    assert found(tmp_path, rows) == [(2, EXACT, 0), (3, EXACT, 0)]


@pytest.mark.parametrize(
    "other", ["hello  there\n", "HELLO there", "Ｈello there", " hello\tthere"]
)
def test_space_width_and_case_make_no_difference(tmp_path: Path, other: str) -> None:
    rows = [talk("hello there", "Hi."), talk(other, "hi.")]
    assert found(tmp_path, rows) == [(1, EXACT, 0)]


def test_punctuation_makes_a_difference(tmp_path: Path) -> None:
    """3+5 is not 3-5."""
    assert found(tmp_path, [talk("3+5", "8"), talk("3-5", "-2"), talk("3 + 5", "8")]) == []


def test_tools_in_another_order_are_the_same_tools(tmp_path: Path) -> None:
    a, b = tool("天氣"), tool("新聞")
    rows = [talk("你好", "您好", tools=(a, b)), talk("你好", "您好", tools=(b, a))]
    assert found(tmp_path, rows) == [(1, EXACT, 0)]


def test_same_question_and_calls_with_other_tools_is_a_near_duplicate(tmp_path: Path) -> None:
    question, arguments = "台北明天會下雨嗎？", {"城市": "台北"}
    rows = [
        called(question, "天氣", arguments, tools=(tool("天氣"), tool("新聞"))),
        called(question, "天氣", arguments, tools=(tool("天氣"), tool("股價"))),
        called(question, "天氣", {"城市": "台北"}, tools=(tool("新聞"), tool("天氣"))),
    ]
    assert found(tmp_path, rows) == [(1, NEAR, 0), (2, EXACT, 0)]


def test_the_spelling_of_arguments_and_the_ids_of_calls_make_no_difference(tmp_path: Path) -> None:
    from formosa.chat.message import Message, ToolCall

    rows = [
        Row.of([Message("user", "q"), Message("assistant", tool_calls=(call,))], [tool("f")])
        for call in (
            ToolCall("f", '{"a": 1, "b": 2}', "x"),
            ToolCall("f", '{"b":2,"a":1}', "y"),
            ToolCall("f", '{"b": 2, "a": 1.5}'),
        )
    ]
    assert found(tmp_path, rows) == [(1, EXACT, 0)]


def test_the_same_wording_with_other_values_stays(tmp_path: Path) -> None:
    """Values are what such rows teach, however alike the rest is."""
    wording = LONG + "請以{}為例。"
    rows = [called(wording.format(city), "查", {"城市": city}) for city in ("台北", "高雄")]
    assert found(tmp_path, rows) == []


def test_a_question_without_the_right_tool_stays_beside_the_one_with_it(tmp_path: Path) -> None:
    rows = [
        called(LONG, "查", {"q": "四大家族"}),
        talk(LONG, "我沒有可以查詢的工具。", tools=(tool("天氣"),)),
    ]
    assert found(tmp_path, rows) == []


def test_questions_on_one_passage_all_stay(tmp_path: Path) -> None:
    """A reading comprehension set lost 5,015 of its 7,017 rows: passages were all that counted."""
    passage = LONG * 12 + "\n\n"
    rows = [
        talk(passage + "哪四個家族？", "板橋林家等四家。"),
        talk(passage + "列出幾本書？", "三本。"),
        talk(passage + "比較哪些時期？", "日治時期與戰後。"),
        talk(passage + "一共列出幾本書？", "三本。"),
    ]
    assert found(tmp_path, rows) == [(3, NEAR, 1)]
    long = [
        talk(passage + "請說明。", ANSWER * 12),
        talk(passage + "請你說明。", ANSWER * 12 + "以上。"),
    ]
    assert found(tmp_path, long) == [(1, NEAR, 0)]


def test_thinking_twins_both_stay(tmp_path: Path) -> None:
    rows = [talk(LONG, ANSWER), talk(LONG, ANSWER, thought="想一下。")]
    assert found(tmp_path, rows) == []
    twins = [called(LONG, "查", {"q": "x"}), called(LONG, "查", {"q": "x"}, thought="想一下。")]
    assert found(tmp_path, twins) == []


@pytest.mark.parametrize("text", [LONG + ANSWER, ENGLISH])
def test_a_word_more_or_less_is_a_near_duplicate_in_both_languages(
    tmp_path: Path, text: str
) -> None:
    other = text[:-3] + text[-2:]
    assert found(tmp_path, [talk(text, "好"), talk(other, "好")]) == [(1, NEAR, 0)]
    assert found(tmp_path, [Row.of(text=text), Row.of(text=other)]) == [(1, NEAR, 0)]


@pytest.mark.parametrize(("a", "b"), [(LONG, ANSWER), (ENGLISH, LONG), ("是", "否"), ("a", "b")])
def test_other_texts_are_none(tmp_path: Path, a: str, b: str) -> None:
    assert found(tmp_path, [talk(a, "好"), talk(b, "好")]) == []


def test_long_system_prompts_and_results_do_not_make_rows_alike(tmp_path: Path) -> None:
    rows = [
        talk("一加一是多少？", "二。", system=LONG * 10),
        talk("請翻成英文：蘋果", "apple", system=LONG * 10),
        called("天氣？", "查", {"q": "天氣"}, result=LONG * 10, answer="晴天"),
        called("新聞？", "查", {"q": "新聞"}, result=LONG * 10, answer="沒有"),
    ]
    assert found(tmp_path, rows) == []
    prompts = [talk(LONG, ANSWER, system="你是助理。"), talk(LONG, ANSWER, system="請幫忙。")]
    assert found(tmp_path, prompts) == [(1, NEAR, 0)]


def test_the_threshold_is_that_of_the_recipe(tmp_path: Path) -> None:
    text = LONG + ANSWER
    rows = [talk(text, "好"), talk(text[:60] + "然" + text[61:], "好")]
    similarity = minhash.jaccard(*(minhash.shingles(compared_text(row)) for row in rows))
    assert 0.85 < similarity < 0.95
    assert found(tmp_path, rows, DuplicateConfig(near=0.85))
    assert not found(tmp_path, rows, DuplicateConfig(near=0.95))
    assert not found(tmp_path, rows, DuplicateConfig(near=None))


def test_exact_duplicates_may_stay_and_then_are_near_ones(tmp_path: Path) -> None:
    rows = [talk(LONG, ANSWER)] * 2
    assert found(tmp_path, rows, DuplicateConfig(exact=False)) == [(1, NEAR, 0)]
    assert found(tmp_path, rows, DuplicateConfig(exact=False, near=None)) == []


def test_rows_may_stay_out_of_the_search_for_near_ones(tmp_path: Path) -> None:
    rows = [talk(LONG, ANSWER), talk(LONG, ANSWER + "。"), talk(LONG, ANSWER)]
    assert found(tmp_path, rows, near=False) == [(2, EXACT, 0)]


def test_the_row_that_stays_is_never_one_that_goes(tmp_path: Path) -> None:
    """An exact duplicate of a near duplicate names the first of them all."""
    rows = [talk(LONG, ANSWER), talk(LONG, ANSWER + "。"), talk(LONG, ANSWER + "。")]
    assert found(tmp_path, rows) == [(1, NEAR, 0), (2, EXACT, 0)]


def test_pairs_make_groups(tmp_path: Path) -> None:
    text = LONG + ANSWER
    rows = [talk(text, "好"), talk(text[6:], "好"), talk(text[12:], "好")]
    ends = minhash.jaccard(*(minhash.shingles(compared_text(rows[i])) for i in (0, 2)))
    assert ends < 0.9
    assert found(tmp_path, rows, DuplicateConfig(near=0.9)) == [(1, NEAR, 0), (2, NEAR, 0)]


def test_numbers_may_have_gaps(tmp_path: Path, way: str) -> None:
    index = Duplicates(tmp_path, DuplicateConfig())
    rows = {
        7: talk(LONG, ANSWER),
        12: talk(LONG, ANSWER + "！"),
        90_000_000_000: talk(LONG, ANSWER),
    }
    for number, row in rows.items():
        index.add(number, row)
    asked: list[int] = []

    def text_of(number: int) -> str:
        asked.append(number)
        return compared_text(rows[number])

    assert list(index.resolve(text_of)) == [(12, NEAR, 7), (90_000_000_000, EXACT, 7)]
    assert set(asked) == ({7, 12} if way == "many" else set())


def test_nothing_in_nothing_out(tmp_path: Path) -> None:
    assert found(tmp_path, []) == []


def test_few_rows_need_no_numpy_and_many_name_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    rows = [talk(LONG, ANSWER), talk(LONG, ANSWER), talk(LONG, ANSWER + "！")]
    assert found(tmp_path, rows, near=False) == [(1, EXACT, 0)]
    assert found(tmp_path, rows, DuplicateConfig(near=None)) == [(1, EXACT, 0)]
    if way == "few":
        assert found(tmp_path, rows) == [(1, EXACT, 0), (2, NEAR, 0)]
        return
    with pytest.raises(UserError) as caught:
        found(tmp_path, rows)
    assert "numpy" in caught.value.message
    assert "pip install" in caught.value.hint


def test_one_row_more_than_a_few_changes_nothing_but_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = variants(11, 40)
    monkeypatch.setattr(near_duplicates, "FEW", 40)
    few = found(tmp_path, rows)
    monkeypatch.setattr(near_duplicates, "FEW", 39)
    assert found(tmp_path, rows) == few
    monkeypatch.setattr(near_duplicates, "FEW", 40)
    monkeypatch.setattr(near_duplicates, "FEW_CHARACTERS", 1000)
    assert found(tmp_path, rows) == few


def variants(seed: int, count: int) -> list[Row]:
    """Rows in groups: some equal, some nearly so, most of their own."""
    rng = random.Random(seed)
    alphabet = "的一是不了人我在有他這為之大來以個中上們到說國和地也子時道出而要於就下得可你年生"
    texts = ["".join(rng.choices(alphabet, k=80)) for _ in range(max(1, count // 3))]
    rows = []
    for _ in range(count):
        text = rng.choice(texts)
        for _ in range(rng.randrange(4)):
            place = rng.randrange(80)
            text = text[:place] + rng.choice(alphabet) + text[place + 1 :]
        rows.append(talk(text, "好"))
    return rows


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_the_groups_do_not_depend_on_the_order(
    tmp_path_factory: pytest.TempPathFactory, seed: int, rng: random.Random
) -> None:
    """Only which row stays does: it is the first."""
    rows = variants(seed, 24)
    order = list(range(len(rows)))
    rng.shuffle(order)

    def groups(rows: list[Row], names: list[int]) -> set[frozenset[int]]:
        together: dict[int, set[int]] = {}
        for number, _, kept in found(tmp_path_factory.mktemp("d"), rows):
            assert kept < number
            together.setdefault(kept, {names[kept]}).add(names[number])
        return {frozenset(group) for group in together.values()}

    assert groups(rows, list(range(len(rows)))) == groups([rows[i] for i in order], order)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_what_is_found_is_alike_and_what_is_alike_is_found(
    tmp_path_factory: pytest.TempPathFactory, seed: int, way: str
) -> None:
    """Compared with each pair's real similarity: the bands miss next to none."""
    rows = variants(seed, 20)
    hashes = [minhash.shingles(compared_text(row)) for row in rows]
    group = list(range(len(rows)))
    for i in range(len(rows)):
        for j in range(i):
            if minhash.jaccard(hashes[i], hashes[j]) >= 0.8 and group[i] != group[j]:
                group = [group[j] if g == group[i] else g for g in group]
    going = {number for number, _, _ in found(tmp_path_factory.mktemp("d"), rows)}
    wanted = {i for i, g in enumerate(group) if g in group[:i]}
    assert going <= wanted
    assert len(wanted - going) <= (way == "many")


@given(
    st.lists(st.tuples(st.text(alphabet="甲乙丙", max_size=14), st.integers(0, 1)), max_size=12),
    st.sampled_from([0.5, 0.7, 0.8, 0.9, 1.0]),
)
def test_of_a_few_texts_no_pair_is_missed(texts: list[tuple[str, int]], threshold: float) -> None:
    wanted = {
        (i, j)
        for j in range(len(texts))
        for i in range(j)
        if texts[i][1] == texts[j][1]
        and few_alike.similarity(few_alike.runs(texts[i][0]), few_alike.runs(texts[j][0]))
        >= threshold
    }
    assert set(few_alike.alike_pairs(texts, threshold)) == wanted


@given(st.text(), st.text())
def test_both_ways_mean_the_same_similarity(a: str, b: str) -> None:
    exact = few_alike.similarity(few_alike.runs(a), few_alike.runs(b))
    assert minhash.jaccard(minhash.shingles(a), minhash.shingles(b)) == pytest.approx(exact)


def test_files_are_written_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = variants(3, 40)
    whole = found(tmp_path, rows)
    monkeypatch.setattr(near_duplicates, "_BLOCK", 7)
    assert found(tmp_path, rows) == whole
    assert whole


def test_a_bucket_of_any_size_is_linear_work() -> None:
    """Texts with one band in common, none like another: each is compared `bucket` times at most."""
    compared = 0

    def alike(a: int, b: int) -> bool:
        nonlocal compared
        compared += 1
        return False

    groups = near_duplicates._Groups(2000, alike)
    groups.join(range(2000), 8)
    assert compared <= 2000 * 8


def test_in_a_large_bucket_rows_like_one_of_the_first_are_found() -> None:
    groups = near_duplicates._Groups(1000, lambda a, b: a % 5 == b % 5)
    groups.join(range(1000), 8)
    assert {groups.root(i) for i in range(1000)} == {0, 1, 2, 3, 4}


def test_rows_in_full_buckets_of_every_band_are_given_up() -> None:
    """400,000 rows of one template, 18 bands: they did not come back within ten minutes."""
    compared = 0

    def alike(a: int, b: int) -> bool:
        nonlocal compared
        compared += 1
        return False

    groups = near_duplicates._Groups(500, alike, 16)
    dice = random.Random(1)
    for _ in range(30):
        groups.join(sorted(dice.sample(range(500), 300)), 8)
    assert compared <= 500 * 16


def test_a_pair_that_differs_is_compared_once_for_all_bands() -> None:
    calls: list[tuple[int, int]] = []

    def alike(a: int, b: int) -> bool:
        calls.append((a, b))
        return False

    groups = near_duplicates._Groups(3, alike)
    for _ in range(4):
        groups.join([0, 1, 2], 8)
    assert sorted(calls) == [(0, 1), (0, 2), (1, 2)]


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_bands_find_a_pair_right_at_the_threshold(threshold: float) -> None:
    count, rows = minhash.bands(threshold)
    assert count * rows <= minhash.BINS
    assert 1 - (1 - threshold**rows) ** count >= 0.98


@given(st.text(), st.text())
def test_similarity_is_a_share_and_equal_texts_are_equal(a: str, b: str) -> None:
    first, second = minhash.shingles(a), minhash.shingles(b)
    assert 0.0 <= minhash.jaccard(first, second) <= 1.0
    assert minhash.jaccard(first, second) == minhash.jaccard(second, first)
    assert minhash.jaccard(first, first) == 1.0
    assert (minhash.signature(first) == minhash.signature(first)).all()


@given(
    st.text(alphabet="甲乙丙丁", min_size=5, max_size=40), st.text(alphabet="甲乙丙丁", max_size=40)
)
def test_similarity_is_that_of_the_runs_of_five(a: str, b: str) -> None:
    b += "甲乙丙丁甲"
    runs = [{text[i : i + 5] for i in range(len(text) - 4)} for text in (a, b)]
    made = minhash.jaccard(minhash.shingles(a), minhash.shingles(b))
    assert made == pytest.approx(len(runs[0] & runs[1]) / len(runs[0] | runs[1]))


def test_signatures_are_the_same_on_every_machine() -> None:
    """Else files of two machines would not be comparable, nor reports of two runs."""
    signature = minhash.signature(minhash.shingles("臺灣的四大家族與地方政治"))
    assert len(signature) == minhash.BINS
    assert [int(value) for value in signature[:2]] == SIGNATURE


SIGNATURE = [9499973504079907966, 3320908653525089517]


def test_signatures_agree_about_as_often_as_texts_do() -> None:
    rng = random.Random(5)
    for share in (0.3, 0.6, 0.9):
        a = "".join(chr(rng.randrange(0x4E00, 0x9000)) for _ in range(600))
        b = a[: int(600 * share)] + "".join(chr(rng.randrange(0x9000, 0x9FFF)) for _ in range(300))
        first, second = minhash.shingles(a), minhash.shingles(b)
        agreed = (minhash.signature(first) == minhash.signature(second)).mean()
        assert abs(agreed - minhash.jaccard(first, second)) < 0.15
