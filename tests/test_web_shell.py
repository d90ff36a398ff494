"""The shell of the pages without a browser: the policy, the languages, the places, the answers."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup, escape
from starlette.applications import Starlette
from starlette.testclient import TestClient

from formosa.errors import EngineError, LogError, UserError
from formosa.web import overview, words
from formosa.web.app import WORDS, create_pages
from formosa.web.page import Rendered, address, link, pretty, render, shown
from formosa.web.places import OutsideError, Places
from formosa.web.site import Link, Site
from formosa.web.words import SHELL, Words, preferred

LINKS = (Link("Overview", "/"), Link("Evaluations", "/evals"))


def rendered(site: Site | None = None, title: str = "t", **values: str) -> Rendered:
    given = {"heading": "h", "message": "m", "hint": "", **values}
    return render("problem.html.jinja", site or Site("en"), title=title, words=WORDS, **given)


def problem(site: Site | None = None, **values: str) -> str:
    return rendered(site, **values).html


class TestPage:
    def test_its_policy_names_every_style_and_script_by_its_hash(self) -> None:
        page = rendered()
        parts = re.findall(r"<(style|script)>(.*?)</\1>", page.html, re.DOTALL)
        assert {kind for kind, _ in parts} == {"style", "script"}
        for kind, text in parts:
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in page.policy.split(f"{kind}-src")[1].split(";")[0]
        assert str(escape(page.policy)) in page.html
        assert "unsafe" not in page.policy

    def test_a_page_in_a_file_may_ask_nobody(self) -> None:
        policy = rendered().policy
        assert "connect-src 'none'" in policy
        assert "form-action 'none'" in policy
        assert "default-src 'none'" in policy

    def test_a_page_in_a_file_leads_nowhere(self) -> None:
        assert 'href="/' not in problem()
        assert 'href="/evals"' in problem(Site("en", LINKS, "/", "/?lang=zh-TW"))

    @given(st.text())
    def test_no_text_becomes_an_element(self, text: str) -> None:
        made = problem(message=f"{text}<b>")
        inside = made.split("<main", 1)[1].split("</main>")[0]
        assert "<b>" not in inside
        assert inside.count("<p>") == 1

    @given(st.text())
    def test_no_control_or_direction_mark_stays_unseen(self, text: str) -> None:
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", shown(text))

    def test_what_is_unseen_is_written_by_its_number(self) -> None:
        assert shown("a\x00b\u202ec\td\ne") == "a\\x00b\\u202ec\td\ne"
        assert "\\u202e" in problem(message="\u202e")

    def test_half_a_surrogate_pair_breaks_no_page(self) -> None:
        """A model may write one, and UTF-8 has no bytes for it."""
        assert "\\ud800" in problem(message="\ud800").encode().decode()
        assert address("/a", id="\ud800") == "/a?id=%3F"

    def test_the_title_is_escaped(self) -> None:
        made = rendered(title="</title><script>").html
        assert "<title>&lt;/title&gt;&lt;script&gt; · Formosa</title>" in made

    def test_a_text_without_translation_is_an_error_in_both_languages(self) -> None:
        for lang in words.LANGS:
            with pytest.raises(KeyError):
                Words(lang, {})("Nobody translated this")

    def test_every_text_of_the_shell_is_there_in_chinese_with_the_same_placeholders(self) -> None:
        for english, chinese in {**SHELL, **WORDS, **overview.WORDS}.items():
            assert re.findall(r"{\w+}", english) == re.findall(r"{\w+}", chinese)
            assert re.search("[\u4e00-\u9fff]", chinese), english


class TestLinks:
    @pytest.mark.parametrize(
        "url",
        ["javascript:alert(1)", "data:text/html,x", "vbscript:x", "//no.scheme", "ftp://x/y",
         " JaVaScRiPt:alert(1)", "java\nscript:alert(1)", "http:///nohost", "http://[::1", ""],
    )  # fmt: skip
    def test_what_is_no_web_address_stays_text(self, url: str) -> None:
        assert "<a" not in link(url)

    def test_a_web_address_is_marked_and_tells_nothing(self) -> None:
        made = link('https://example.org/"><b>', "<i>")
        assert made.startswith('<a class="external"')
        assert 'rel="noopener noreferrer nofollow"' in made
        assert "<b>" not in made
        assert "<i>" not in made
        assert "↗" in made

    def test_an_address_leaves_out_what_is_not_given_and_repeats_lists(self) -> None:
        assert address("/a", x=None, y="", z=["1", "甲"]) == "/a?z=1&z=%E7%94%B2"
        assert address("/a") == "/a"

    def test_a_value_for_people_keeps_its_characters(self) -> None:
        assert pretty({"城市": "台北"}) == '{\n  "城市": "台北"\n}'
        assert pretty({1, 2}) == "{1, 2}"


class TestLanguage:
    @pytest.mark.parametrize(
        ("accepted", "lang"),
        [("", "zh-TW"), ("zh-TW,zh;q=0.9,en;q=0.8", "zh-TW"), ("en-US,en;q=0.5", "en"),
         ("de,zh-TW", "en"), ("zh-Hant-HK", "zh-TW"), ("*", "zh-TW"), (";;,,", "zh-TW")],
    )  # fmt: skip
    def test_the_browsers_first_language_decides(self, accepted: str, lang: str) -> None:
        assert preferred(accepted) == lang


class TestPlaces:
    def test_only_what_lies_in_a_place_is_found(self, tmp_path: Path) -> None:
        inside = tmp_path / "in"
        inside.mkdir()
        (inside / "a.jsonl").touch()
        (tmp_path / "secret").touch()
        (inside / "way-out").symlink_to(tmp_path / "secret")
        places = Places([inside])
        assert places.find(str(inside / "a.jsonl")).name == "a.jsonl"
        for text in (
            str(tmp_path / "secret"),
            str(inside / ".." / "secret"),
            str(inside / "way-out"),
            str(inside / "missing"),
            "/etc/passwd",
            "\x00",
            "",
        ):
            with pytest.raises(OutsideError):
                places.find(text)

    def test_a_file_may_be_a_place(self, tmp_path: Path) -> None:
        one, other = tmp_path / "one", tmp_path / "other"
        one.touch()
        other.touch()
        assert Places([one]).find(str(one)) == one
        with pytest.raises(OutsideError):
            Places([one]).find(str(other))

    def test_a_place_that_is_not_there_is_said_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="does not exist"):
            Places([tmp_path / "nothing"])


def app(tmp_path: Path) -> Starlette:
    def fail(request: object) -> None:
        raise LogError("<b>broken</b>", "try this")

    def break_down(request: object) -> None:
        raise EngineError("down")

    from starlette.routing import Route

    routes = [*overview.routes(), Route("/fail", fail), Route("/down", break_down)]
    return create_pages(Places([tmp_path]), routes, LINKS)


class TestAnswers:
    @pytest.fixture
    def client(self, tmp_path: Path) -> TestClient:
        return TestClient(app(tmp_path), base_url="http://127.0.0.1")

    def test_every_answer_keeps_the_page_alone(self, client: TestClient) -> None:
        for path in ("/", "/fail", "/nothing"):
            headers = client.get(path).headers
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] == "no-store"

    def test_an_error_is_its_sentence_and_what_to_try(self, client: TestClient) -> None:
        answered = client.get("/fail", headers={"accept-language": "en"})
        assert answered.status_code == 400
        assert "&lt;b&gt;broken&lt;/b&gt;" in answered.text
        assert "try this" in answered.text
        assert client.get("/down").status_code == 500
        assert client.get("/nothing").status_code == 404

    def test_another_host_name_gets_nothing(self, client: TestClient) -> None:
        assert client.get("/", headers={"host": "evil.example"}).status_code == 400

    def test_the_chosen_language_is_kept_and_a_made_up_one_is_not(self, client: TestClient) -> None:
        assert 'lang="en"' in client.get("/?lang=en").text
        assert '<html lang="en">' in client.get("/").text
        assert "set-cookie" not in client.get("/?lang=xx").headers

    def test_the_link_to_the_other_language_keeps_the_query(self, client: TestClient) -> None:
        made = client.get("/?in=%E7%94%B2&in=b&lang=en").text
        assert 'href="/?in=%E7%94%B2&amp;in=b&amp;lang=zh-TW"' in made

    def test_nothing_can_be_sent(self, client: TestClient) -> None:
        assert client.post("/").status_code == 405


START = '{"type":"start","schema":1}\n'


class TestOverview:
    def test_it_lists_runs_with_what_belongs_to_them_and_the_rest_alone(
        self, tmp_path: Path
    ) -> None:
        run = tmp_path / "runs" / "mini"
        for name in ("logs", "gguf", "train", "checkpoint"):
            (run / name).mkdir(parents=True)
        for name in ("state.json", "README.md", "gguf/m.gguf", "train/log.jsonl",
                     "checkpoint/x.gguf"):  # fmt: skip
            (run / name).write_text("---\n")
        for name in ("base-t", "trained-t"):
            (run / "logs" / f"{name}.jsonl").write_text(START)
        (tmp_path / "alone.jsonl").write_text(START)
        (tmp_path / "rows.jsonl").write_text("{}\n")
        (tmp_path / "card.md").write_text("---\nlicense: mit\n---\n")
        (tmp_path / "notes.md").write_text("# notes\n")
        (tmp_path / ".hidden.gguf").touch()
        found = overview.find(Places([tmp_path]))
        (only,) = found.runs
        assert [log.name for log in only.logs] == ["base-t.jsonl", "trained-t.jsonl"]
        assert [model.name for model in only.models] == ["m.gguf"]
        assert only.training is not None
        assert only.card is not None
        assert [path.name for path in found.logs] == ["alone.jsonl"]
        assert [path.name for path in found.cards] == ["card.md"]
        assert found.models == []
        page = TestClient(app(tmp_path), base_url="http://127.0.0.1").get("/?lang=en").text
        for text in ("2 logs", "Compare base and trained", "/training?run=", "/card?path="):
            assert text in page

    def test_an_empty_place_says_how_to_begin(self, tmp_path: Path) -> None:
        page = TestClient(app(tmp_path), base_url="http://127.0.0.1").get("/?lang=en").text
        assert "formosa run recipes/mini.yaml" in page

    def test_a_huge_place_is_cut_and_says_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(overview, "MOST", 2)
        for name in "abc":
            (tmp_path / f"{name}.gguf").touch()
        found = overview.find(Places([tmp_path]))
        assert found.more
        assert len(found.models) == 1

    def test_a_name_is_text(self, tmp_path: Path) -> None:
        (tmp_path / "<img src=x>.gguf").touch()
        page = TestClient(app(tmp_path), base_url="http://127.0.0.1").get("/").text
        assert "<img" not in page
        assert Markup.escape("<img src=x>.gguf") in page
