"""What a model wrote is text: attack strings in a real browser, and the little that is laid out.

The usual `page` fails its test on a dialog, an error, a broken policy, or a request to another
machine; so showing the attacks is most of the test.
"""

from __future__ import annotations

import json
import time
from random import Random
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from chat_talk import call, chat_at, ended, replies, say, scripted, visit
from formosa.tools.function import tool

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "<svg/onload=alert(3)>",
    '<iframe srcdoc="<script>parent.alert(4)</script>"></iframe>',
    "</script><script>alert(5)</script>",
    "<a href=javascript:alert(6)>x</a>",
    "[x](javascript:alert(7))",
    "[x](data:text/html,<script>alert(8)</script>)",
    "![x](https://evil.example/pixel.png)",
    '<link rel=stylesheet href="https://evil.example/a.css">',
    '<meta http-equiv=refresh content="0;url=https://evil.example">',
    "<style>@import url(https://evil.example/b.css)</style>",
    '<form action="https://evil.example"><input name=q autofocus onfocus=alert(9)></form>',
    "`<b>code</b>`",
    "```html\n<script>alert(10)</script>\n```",
    "**<img src=y onerror=alert(11)>**",
    "- <script>alert(12)</script>",
    "{{constructor.constructor('alert(13)')()}} ${alert(14)}",
    '<base href="https://evil.example/">',
    "<object data=https://evil.example></object><embed src=https://evil.example>",
]


@tool
def echo(text: str) -> str:
    """Says it again.

    Args:
        text: what is said
    """
    return text


def test_attacks_in_every_part_of_a_message_are_shown_and_do_nothing(page: Page) -> None:
    attack = "\n\n".join(ATTACKS)

    def script(turn: str) -> str:
        if "tool_response" in turn:
            return attack
        calls = [call("echo", text=attack), call(attack, text=attack)]
        return f"<think>\n{attack}\n</think>\n\n{attack}\n" + "\n".join(calls)

    name = "<img src=z onerror=alert(15)>"
    with chat_at(echo, **{"m": scripted(script), name: scripted("x")}) as url:
        visit(page, url)
        page.get_by_label("token 與機率").check()
        page.get_by_label("token 上限").fill("100000")
        say(page, attack)
        expect(replies(page)).to_have_count(2)
        ended(page)
        for button in page.get_by_role("button", name="原始文字").all():
            button.click()
        page.locator("details.thoughts").first.locator("summary").click()
        text = page.locator("#columns").inner_text()
        for one in ("<script>alert(1)</script>", "<svg/onload=alert(3)>", "<base href="):
            assert one in text
        assert (
            page.locator("#columns").locator("script, img, svg, iframe, link, style").count() == 0
        )
        page.get_by_role("checkbox", name=name).check()
        expect(page.locator("section.column").nth(1).locator("h2")).to_have_text(name)
        hosts = page.locator("#columns a").evaluate_all("links => links.map((link) => link.href)")
        assert {host.split("/")[2] for host in hosts} <= {"evil.example"}
        assert all(host.startswith("https://") for host in hosts)


@pytest.mark.parametrize("mark", ["\u202e", "\u2066", "\x07", "\x9b", "\u2028"])
def test_marks_that_hide_or_turn_text_are_seen(page: Page, mark: str) -> None:
    with chat_at(m=scripted(f"safe{mark}exe.txt")) as url:
        visit(page, url)
        say(page, "x")
        expect(replies(page).locator(".says")).to_contain_text("safe\\")
        assert mark not in page.locator("#columns").inner_text()


def laid_out(page: Page, text: str) -> str:
    """The elements that a text is shown with."""
    shown: str = page.evaluate(
        """text => {
            const place = document.createElement("div");
            chatText.fill(place, text);
            return place.innerHTML;
        }""",
        text,
    )
    return shown


@pytest.fixture
def shown(page: Page) -> Any:
    with chat_at(m=scripted("x")) as url:
        visit(page, url)
        yield lambda text: laid_out(page, text)


LINK = (
    '<a class="external" href="{0}" rel="noopener noreferrer nofollow" target="_blank">{0}'
    '<span aria-hidden="true"> ↗</span></a>'
)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("一\n二\n\n三", "<p>一\n二</p><p>三</p>"),
        ("- 一\n- 二\n  續\n3. 三\n4. 四",
         '<ul><li>一</li><li>二\n續</li></ul><ol start="3"><li>三</li><li>四</li></ol>'),
        ("# 標題", '<p class="heading">標題</p>'),
        ("**粗** 和 `碼`", "<p><strong>粗</strong> 和 <code>碼</code></p>"),
        ("```python\n**x** <b>\n", '<pre class="text code" tabindex="0" data-lang="python">'
         "<code>**x** &lt;b&gt;\n</code></pre>"),
        ("```a b\n一\n``` x\n````",
         '<pre class="text code" tabindex="0"><code>a b\n一\n``` x</code></pre>'),
        ("1 * 2 * 3 ** 4", "<p>1 * 2 * 3 ** 4</p>"),
        ("見 https://a.example/x?y=1。", f"<p>見 {LINK.format('https://a.example/x?y=1')}。</p>"),
        ("(https://a.example/x).", f"<p>({LINK.format('https://a.example/x')}).</p>"),
        ("[字](https://a.example/x)", f"<p><span>字 ({LINK.format('https://a.example/x')})</span></p>"),
        ("https://user:pass@a.example/", "<p>https://user:pass@a.example/</p>"),
        ("javascript:alert(1) ftp://a data:x", "<p>javascript:alert(1) ftp://a data:x</p>"),
        ("https://xn--80ak6aa92e.com/", f"<p>{LINK.format('https://xn--80ak6aa92e.com/')}</p>"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_little_of_what_models_write_is_laid_out(shown: Any, text: str, html: str) -> None:
    assert shown(text) == html


def test_a_text_that_grows_piece_by_piece_ends_as_the_whole_one(page: Page) -> None:
    text = "**一**\n\n- 二\n- 三\n\n```\n四\n```\n五 https://a.example/ 六\n\n1. 七"
    with chat_at(m=scripted("x")) as url:
        visit(page, url)
        grown = page.evaluate(
            """text => {
                const place = document.createElement("div");
                for (let n = 0; n <= text.length; n += 1) chatText.fill(place, text.slice(0, n));
                return place.innerHTML;
            }""",
            text,
        )
        assert grown == laid_out(page, text)


@pytest.mark.parametrize("text", ["[" * 50_000, "**" * 50_000, "`a" * 50_000, "https://" * 20_000,
                                  "[a](" * 25_000, "- \n" * 30_000, "```\n" * 30_000])  # fmt: skip
def test_no_text_makes_the_page_hang(shown: Any, text: str) -> None:
    """A hundred thousand characters of a mark once; a pattern that tries everything takes hours."""
    began = time.perf_counter()
    shown(text)
    assert time.perf_counter() - began < 60


PIECES = [
    "**", "`", "```", "~~~", "\n", "\n\n", "- ", "1. ", "# ", "[", "](", ")", "<", ">", '"', "'",
    "<script>", "<img src=x onerror=alert(1)>", "javascript:alert(1)", "https://a.example/",
    "data:", "&", "http://", "@", " ", "\t", "\u202e", "\x00", "台北", "x", "😀",
    "\ud800", "on", "=", "\\",
]  # fmt: skip


def test_whatever_a_model_writes_only_these_elements_come_of_it(page: Page) -> None:
    """Two thousand texts of marks put together by chance, whole and growing."""
    random = Random(7)
    texts = ["".join(random.choices(PIECES, k=random.randint(1, 40))) for _ in range(2000)]
    with chat_at(m=scripted("x")) as url:
        visit(page, url)
        found = page.evaluate(
            """texts => {
                const found = {
                    names: new Set(), attributes: new Set(), links: new Set(), lost: [],
                };
                for (const text of texts.map(JSON.parse)) {
                    const place = document.createElement("div");
                    chatText.fill(place, text.slice(0, text.length / 2));
                    chatText.fill(place, text);
                    for (const one of place.querySelectorAll("*")) {
                        found.names.add(one.localName);
                        for (const { name } of one.attributes) found.attributes.add(name);
                        if (one.href) found.links.add(new URL(one.href).protocol);
                    }
                    const words = (text.match(/台北|😀/gu) ?? []).length;
                    if ((place.textContent.match(/台北|😀/gu) ?? []).length < words) {
                        found.lost.push(text);
                    }
                }
                return { names: [...found.names], attributes: [...found.attributes],
                    links: [...found.links], lost: found.lost };
            }""",
            [json.dumps(text) for text in texts],
        )
    assert set(found["names"]) <= {"p", "ul", "ol", "li", "pre", "code", "strong", "a", "span"}
    attributes = {"class", "href", "rel", "target", "aria-hidden", "tabindex", "data-lang", "start"}
    assert set(found["attributes"]) <= attributes
    assert set(found["links"]) <= {"http:", "https:"}
    assert found["lost"] == []


def test_streams_are_read_whatever_way_they_are_cut(page: Page) -> None:
    events = [
        {"choices": [{"index": 0, "delta": {"content": text}}]} for text in ("一", "二😀", "\u2028")
    ]
    body = ": hello\r\n\r\nevent: x\r\n" + "".join(
        f"data: {json.dumps(event, ensure_ascii=False)}\r\n\r\n" for event in events
    )
    body += 'data: {"choices":\ndata: []}\n\ndata: [DONE]\n\n'
    with chat_at(m=scripted("x")) as url:
        visit(page, url)
        for size in (1, 2, 3, 7, 10_000):
            text = page.evaluate(
                """async ([body, size]) => {
                    const bytes = new TextEncoder().encode(body);
                    const stream = new ReadableStream({start(controller) {
                        for (let n = 0; n < bytes.length; n += size) {
                            controller.enqueue(bytes.slice(n, n + size));
                        }
                        controller.close();
                    }});
                    const reply = new chatStream.Reply();
                    for await (const chunk of chatStream.events(new Response(stream))) {
                        reply.add(chunk);
                    }
                    return reply.content;
                }""",
                [body, size],
            )
            assert text == "一二😀\u2028"
