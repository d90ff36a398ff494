"""The evaluation pages as HTML: what stands on them, for honest logs and others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from starlette.testclient import TestClient

from eval_logs import append, end_of, mini_log, sample_of, start_of, write_log
from formosa.errors import LogError, UserError
from formosa.results.index import LogIndex
from formosa.results.log_writer import LogWriter
from formosa.web.app import create_pages
from formosa.web.evals.pages import export, routes
from formosa.web.evals.words import WORDS
from formosa.web.places import Places
from formosa.web.site import Link

ATTACK = (
    '"><script>alert(1)</script><img src=x onerror=alert(2)>'
    "<a href='javascript:alert(3)'>x</a>\x00\u202e\ud800]]>{{7*7}}${7*7}"
)
FIRST = "日月潭位於哪一個縣市？"

Get = Callable[..., str]


class Elements(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    app = create_pages(
        Places([tmp_path]), routes(), [Link("Overview", "/"), Link("Evaluations", "/evals")]
    )
    with TestClient(app, base_url="http://127.0.0.1") as made:
        yield made


@pytest.fixture
def get(client: TestClient) -> Get:
    def fetch(address: str, lang: str = "en", status: int = 200, **query: Any) -> str:
        if query:
            address += "?" + urlencode({"lang": lang, **query}, errors="replace")
        else:
            address += ("&" if "?" in address else "?") + f"lang={lang}"
        found = client.get(address)
        assert found.status_code == status, found.text[-2000:]
        return found.text

    return fetch


def text_of(html: str) -> str:
    """What a person reads, on one line."""
    main = html[html.index("<main") : html.index("</main>")]
    return " ".join(re.sub(r"<[^>]*>", " ", main).split())


def test_the_table_has_every_log_with_its_scores_and_outcomes(tmp_path: Path, get: Get) -> None:
    mini_log(tmp_path / "a.jsonl")
    write_log(tmp_path / "deep" / "b.jsonl", start_of(), sample_of("q1"))
    (tmp_path / "data.jsonl").write_text('{"messages": []}\n')
    text = text_of(get("/evals"))
    assert "2 logs." in text
    assert "mini-zh-tw" in text
    assert "invented" in text
    assert "finished" in text
    assert "interrupted 1 / 3" in text
    assert "25.0" in text  # of 12 answers, 3 are right


def test_the_figures_of_a_finished_log_are_those_of_its_page(tmp_path: Path, get: Get) -> None:
    """The table reads only a log's last line; the page counts its answers."""
    path = mini_log(tmp_path / "a.jsonl")
    pattern = r"25\.0 <span class=\"muted small\">[\d.–]+</span>"
    in_table = re.findall(pattern, get("/evals"))
    assert in_table
    assert in_table == re.findall(pattern, get("/evals/log", path=path, part="figures"))


def test_the_table_can_be_narrowed_and_ordered(tmp_path: Path, get: Get) -> None:
    mini_log(tmp_path / "a.jsonl")
    write_log(tmp_path / "b.jsonl", start_of(), sample_of("q1"))
    assert "1 logs." in text_of(get("/evals", task="invented"))
    assert "1 logs." in text_of(get("/evals", model="小模型"))
    assert "0 logs." in text_of(get("/evals", model="小模型", task="invented"))
    html = get("/evals", sort="score")
    assert html.index("path=" + quote(str(tmp_path / "b.jsonl"), safe="")) < html.index(
        "path=" + quote(str(tmp_path / "a.jsonl"), safe="")
    )
    assert "1 logs." in text_of(get("/evals", **{"in": str(tmp_path / "a.jsonl")}))


def test_a_damaged_log_is_named_and_the_others_are_shown(tmp_path: Path, get: Get) -> None:
    mini_log(tmp_path / "a.jsonl")
    write_log(tmp_path / "b.jsonl", start_of(), {"type": "nonsense"})
    text = text_of(get("/evals"))
    assert "b.jsonl:2 is damaged" in text
    assert "1 logs." in text


def test_where_no_logs_are_it_is_said_how_to_make_one(get: Get) -> None:
    assert "formosa eval run" in text_of(get("/evals"))


def test_a_logs_page_has_its_facts_figures_and_answers(tmp_path: Path, get: Get) -> None:
    path = mini_log(tmp_path / "a.jsonl")
    text = text_of(get("/evals/log", path=path))
    for said in (
        "mini-zh-tw · 小模型",
        "12 of 12 answers",
        "box",
        "pattern",
        "sampling temperature 0.0, max_tokens 64",
        "6 of 40 questions × 2, seed 0",
        "2026-11-22T05:54:03Z",
        "a" * 64,
        FIRST,
        "there is no closed",
        "no answer in 60 s",
        "tokens of the replies",
        "Han characters in the replies",
    ):
        assert said in text
    assert LogIndex(path).path.read_bytes()
    assert re.search(r"sha256 of the log [0-9a-f]{64}", text)


def test_the_same_page_in_chinese(tmp_path: Path, get: Get) -> None:
    path = mini_log(tmp_path / "a.jsonl")
    text = text_of(get("/evals/log", "zh-TW", path=path))
    assert "已作答 12 / 12 筆" in text
    assert "回覆中沒有寫完整、裡面有答案的" in text
    assert "there is no closed" not in text


def test_the_list_is_narrowed_by_outcome_subject_and_text(tmp_path: Path, get: Get) -> None:
    path = mini_log(tmp_path / "a.jsonl")
    assert "3 of 12 answers" in text_of(get("/evals/log", path=path, outcome="wrong"))
    assert "9 of 12 answers" in text_of(get("/evals/log", path=path, outcome="not-correct"))
    assert "2 of 12 answers" in text_of(get("/evals/log", path=path, subject="地理"))
    # In the question, which the log does not hold; and in a reply.
    assert "2 of 12 answers" in text_of(get("/evals/log", path=path, q=FIRST))
    assert "3 of 12 answers" in text_of(get("/evals/log", path=path, q="我想應該是"))


def test_a_long_list_has_pages_and_keeps_its_filter(tmp_path: Path, get: Get) -> None:
    records = [sample_of(f"q{i:03}", "wrong" if i % 2 else "correct") for i in range(130)]
    path = write_log(tmp_path / "a.jsonl", start_of(samples=130), *records)
    html = get("/evals/log", path=path, outcome="wrong", page=2)
    assert "65 of 130 answers" in text_of(html)
    assert "page 2 of 2" in text_of(html)
    assert html.count('class="row"') == 15
    assert 'rel="prev"' in html
    assert 'rel="next"' not in html
    # A page that is not there is the last one.
    assert "page 3 of 3" in text_of(get("/evals/log", path=path, page=99))


def test_an_answer_has_its_question_reply_verdict_and_repeats(tmp_path: Path, get: Get) -> None:
    path = mini_log(tmp_path / "a.jsonl")
    index = LogIndex(path)
    row = next(row for row in range(12) if index.outcome["box"][row] == 1)
    record = index.record(row)
    html = get("/evals/sample", path=path, id=record["id"], repeat=record["repeat"])
    text = text_of(html)
    read = record["scores"]["box"]["answer"]
    assert f"read {read} from" in text
    assert f"{record['gold']} is right" in text
    assert rf"<mark>\box{{{read}}}</mark>" in html
    assert "system message" in text
    assert any(f"{letter}: " in text for letter in "ABCD")
    assert "先想一想" in text  # the reasoning, folded
    assert "raw text, as the model wrote it" in text
    assert "asked 2 times, each time with its options in another order" in text
    assert "chosen" in text


def test_neighbours_are_those_of_the_list_it_was_chosen_from(tmp_path: Path, get: Get) -> None:
    records = [sample_of(f"q{i}", "wrong" if i % 2 else "correct") for i in range(6)]
    path = write_log(tmp_path / "a.jsonl", start_of(samples=6), *records)
    html = get("/evals/sample", path=path, id="q3", repeat=0, outcome="wrong")
    assert "2 of 3 · wrong" in text_of(html)
    links = {
        values.get("rel"): values.get("href") for tag, values in Elements(html).found if tag == "a"
    }
    assert "id=q1" in str(links["prev"])
    assert "outcome=wrong" in str(links["prev"])
    assert "id=q5" in str(links["next"])
    assert "outcome=wrong" in str(links["up"])


def test_tool_calls_are_cards_beside_what_is_accepted(tmp_path: Path, get: Get) -> None:
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "f", "arguments": '{"city": "高雄"}'},
    }
    broken = {"id": "d", "type": "function", "function": {"name": "g", "arguments": '{"a": '}}
    reply = {"text": "raw", "message": {"role": "assistant", "tool_calls": [call, broken]},
             "finish": "tool_calls", "usage": [1, 2], "defects": [["a", "not closed"]]}  # fmt: skip
    record = sample_of(
        "q1", "wrong", reply=reply, answer='[{"f": {"city": "高雄"}}]',
        gold=[{"f": {"city": ["臺北"]}}],
        why="value_error:string — city: '高雄' is not among ['臺北']",
    )  # fmt: skip
    path = write_log(tmp_path / "a.jsonl", start_of(), record)
    text = text_of(get("/evals/sample", "zh-TW", path=path, id="q1", repeat=0))
    assert "參數 city 的值" in text
    assert "可接受的呼叫" in text
    assert "{&#34;a&#34;: " in text
    assert "無法讀成工具呼叫" in text
    assert "f(city=&#34;高雄&#34;)" in text_of(get("/evals/log", path=path))


def test_of_a_private_task_it_is_said_why_nothing_is_shown(tmp_path: Path, get: Get) -> None:
    start = start_of()
    start["task"] |= {"name": "gpqa-diamond", "private": True}
    kept = {"private": {"read": "Answer: A", "characters": 9}, "finish": "stop", "usage": None}
    path = write_log(tmp_path / "a.jsonl", start, sample_of("abc", "wrong", reply=kept))
    text = text_of(get("/evals/sample", path=path, id="abc", repeat=0))
    assert "private" in text
    assert "Answer: A" in text
    assert "private" in text_of(get("/evals/log", path=path))


def test_a_question_whose_data_are_not_here_says_how_to_get_them(tmp_path: Path, get: Get) -> None:
    path = write_log(tmp_path / "a.jsonl", start_of(), sample_of("q1"))
    text = text_of(get("/evals/sample", path=path, id="q1", repeat=0))
    assert "formosa eval run invented --dry-run" in text


def test_a_running_log_is_followed_and_a_finished_one_is_not(tmp_path: Path, get: Get) -> None:
    path = tmp_path / "a.jsonl"
    with LogWriter(path, start_of()) as writer:
        assert "No answers yet." in text_of(get("/evals/log", path=path))
        writer.append(sample_of("q1"))
        html = get("/evals/log", path=path)
        if "running" in text_of(html):  # not seen on systems without /proc/locks
            assert 'data-live="2000"' in html
        writer.append(sample_of("q2", "wrong"))
        part = get("/evals/log", path=path, part="figures")
        assert "2 of 3 answers" in text_of(part)
        assert 'class="row"' not in part
    append(path, [sample_of("q3"), end_of()])
    html = get("/evals/log", path=path)
    assert "3 of 3 answers" in text_of(html)
    assert "data-live=" not in html[html.index("<main") :]


def test_a_last_record_that_says_another_score_is_caught(tmp_path: Path, get: Get) -> None:
    end = {**end_of(), "scores": {"box": {"value": 0.9}}}
    path = write_log(tmp_path / "a.jsonl", start_of(), sample_of("q1", "wrong"), end)
    assert "says another score for box" in text_of(get("/evals/log", path=path))
    honest = mini_log(tmp_path / "b.jsonl")
    assert "says another score" not in text_of(get("/evals/log", path=honest))


def test_most_replies_unread_is_said(tmp_path: Path, get: Get) -> None:
    path = write_log(tmp_path / "a.jsonl", start_of(), sample_of("q1", "unparsed"))
    assert "100.0 % of the replies could not be read" in text_of(get("/evals/log", path=path))


def test_huge_texts_are_folded(tmp_path: Path, get: Get) -> None:
    text = "begin " + "臺" * 500_000 + " end"
    path = write_log(tmp_path / "a.jsonl", start_of(), sample_of("q1", text=text))
    html = get("/evals/sample", path=path, id="q1", repeat=0)
    assert len(html) < 400_000
    assert "characters in between" in html
    assert "300,010 more characters are not on this page" in html
    assert " end</pre>" in html


@pytest.mark.parametrize(
    ("address", "query"),
    [
        ("/evals/log", {"path": "/etc/passwd"}),
        ("/evals/log", {}),
        ("/evals/sample", {"id": "q9", "repeat": "0"}),
        ("/evals/sample", {"id": "q1", "repeat": "x"}),
        ("/evals", {"in": "/etc"}),
    ],
)
def test_what_is_not_there_is_said_and_nothing_else_is_read(
    tmp_path: Path, get: Get, address: str, query: dict[str, str]
) -> None:
    path = write_log(tmp_path / "a.jsonl", start_of(), sample_of("q1"))
    said = {"path": str(path), **query} if address.endswith("sample") else query
    assert "root:" not in text_of(get(address, status=404, **said))


def hostile(path: Path, attack: str = ATTACK) -> Path:
    """A log in which every text is an attack."""
    call = {"id": attack, "type": "function", "function": {"name": attack, "arguments": attack}}
    message = {"role": attack, "content": attack, "reasoning_content": attack, "tool_calls": [call]}
    reply = {"text": attack + "raw", "message": message, "finish": attack, "usage": [1, 2],
             "defects": [attack]}  # fmt: skip
    start = start_of([attack], repeats=2)
    for part in ("task", "model"):
        start[part] = dict.fromkeys(start[part], attack) | {"details": {"engine": attack}}
    start["started"] = attack
    end = {**end_of(), "finished": attack}
    samples = [
        sample_of(attack, "wrong", repeat=repeat, scorers=[attack], subject=attack + str(repeat),
                  answer=attack, why=attack, gold=attack, reply=reply)
        for repeat in (0, 1)
    ]  # fmt: skip
    failed = sample_of("f", "failed", scorers=[attack], error=attack)
    return write_log(path, start, *samples, failed, end)


def assert_harmless(html: str) -> None:
    """Nothing of the log became an element, an attribute that runs, or an unseen mark."""
    own = 0
    for tag, values in Elements(html).found:
        own += tag == "script"
        assert tag not in ("img", "iframe", "object", "embed")
        assert not [name for name in values if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action", "formaction"):
            assert not str(values.get(name) or "").strip().lower().startswith("javascript")
    assert own <= 3
    assert not re.search("[\x00\u202e\ud800]", html)
    assert "49" not in re.findall(r"\{\{?7\*7|\b49\b", html)
    assert "&lt;script&gt;alert(1)" in html


@pytest.mark.parametrize("lang", ["en", "zh-TW"])
def test_nothing_of_a_log_becomes_part_of_a_page(tmp_path: Path, get: Get, lang: str) -> None:
    path = hostile(tmp_path / "a.jsonl")
    # No address can name what holds half a surrogate pair, so another log has none.
    whole = ATTACK.replace("\ud800", "")
    other = hostile(tmp_path / "b.jsonl", whole)
    pages = [
        get("/evals", lang),
        get("/evals/sample", lang, path=other, id=whole, repeat=1, q="</script>"),
        get("/evals/log", lang, path=other, subject=whole + "1"),
        get("/evals/log", lang, path=path),
        get("/evals/log", lang, path=path, q=ATTACK[:40], subject=ATTACK[:50]),
        get("/evals/sample", lang, path=path, id="f", repeat=0),
        export([path], "en" if lang == "en" else "zh-TW"),
    ]
    for html in pages:
        assert_harmless(html)


def test_a_subject_or_id_is_found_by_its_own_link(tmp_path: Path, get: Get) -> None:
    """Whatever characters it has, as long as an address can hold them."""
    name = "a&b=c#d%20\"'<e> 臺/\\?\u202e"
    records = [sample_of(name, subject=name), sample_of("other", subject="x")]
    path = write_log(tmp_path / "a.jsonl", start_of(), *records)
    assert "1 of 2 answers" in text_of(get("/evals/log", path=path, subject=name))
    html = get("/evals/log", path=path)
    (href,) = (
        str(values["href"])
        for tag, values in Elements(html).found
        if tag == "a" and values.get("class") == "row" and "other" not in str(values["href"])
    )
    assert "\\u202e" in text_of(get(href))


def test_a_log_as_one_file_has_all_answers_and_needs_nobody(tmp_path: Path) -> None:
    path = mini_log(tmp_path / "a.jsonl")
    html = export([path], "en")
    assert html.count('<details class="exported"') == 12
    assert "All 12 answers are in this file." in html
    assert FIRST in html
    for tag, values in Elements(html).found:
        assert tag != "a" or str(values["href"]).startswith("#")
        assert "data-live" not in values
        assert values.get("src") is None
    assert "connect-src &#39;none&#39;" in html


def test_a_file_says_what_is_left_out_and_keeps_what_went_wrong(tmp_path: Path) -> None:
    records = [sample_of(f"q{i}", "correct" if i < 8 else "wrong") for i in range(10)]
    path = write_log(tmp_path / "a.jsonl", start_of(samples=10), *records)
    html = export([path], "en", most=3)
    assert "3 of 10 answers are in this file, those that are not correct first; 7 are left" in html
    kept = re.findall(r"<strong>(q\d)</strong>", html)
    assert kept == ["q8", "q9", "q0"]


def test_only_one_log_makes_a_file(tmp_path: Path) -> None:
    path = mini_log(tmp_path / "a.jsonl")
    with pytest.raises(UserError, match="one log"):
        export([path, path], "en")
    with pytest.raises(LogError):
        export([tmp_path / "missing.jsonl"], "en")


def test_a_log_without_answers_is_a_page_too(tmp_path: Path, get: Get) -> None:
    path = write_log(tmp_path / "a.jsonl", start_of())
    assert "No answers yet." in text_of(get("/evals/log", path=path))
    assert "No answers yet." in text_of(export([path], "en"))
    assert "0 / 3" in text_of(get("/evals"))


def test_placeholders_are_the_same_in_both_languages() -> None:
    for english, chinese in WORDS.items():
        found = [sorted(re.findall(r"\{(\w+)\}", text)) for text in (english, chinese)]
        assert found[0] == found[1], english


def test_words_are_those_of_taiwan() -> None:
    from formosa.zh.purity import measure

    text = "。".join(WORDS.values()).replace("大陸用語", "").replace("簡體字", "")
    assert measure(text).simplified_only == 0
    assert measure(text).mainland_terms == ()
