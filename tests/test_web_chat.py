"""The chat page as it is served, and conversations as pages to keep: no browser needed here."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import sys
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import httpx2
import pytest
from click.testing import CliRunner
from starlette.applications import Starlette

from formosa.cli.serve import serve
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import DataError, MessageError, UserError
from formosa.serve.app import create_app
from formosa.serve.pages import Pages
from formosa.web.chat.pages import SCRIPTS, chat_page, chat_pages, export
from formosa.web.chat.saved import conversation_of, read_conversation, readable, saved_page
from formosa.web.chat.words import SAVED, SPOKEN, WORDS
from formosa.web.site import Site
from formosa.web.words import Lang

ATTACK = '</script><script>alert(1)</script><img src=x onerror="alert(2)"> \u202e {{ 7*7 }}'
LANGS: tuple[Lang, ...] = get_args(Lang)


def static(name: str) -> str:
    return resources.files("formosa.web").joinpath("static", *name.split("/")).read_text("utf-8")


def app_of(**options: Any) -> Starlette:
    model = TemplatedChat(ScriptedEngine(["hi"]))
    keyed = options.get("api_key") is not None
    return create_app({"m": model}, pages=chat_pages(keyed=keyed), **options)


def ask(app: Starlette, path: str, body: Any = None, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def asked() -> httpx2.Response:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            if body is None:
                return await client.get(path, headers=named)
            return await client.post(path, json=body, headers=named)

    return asyncio.run(asked())


class Elements(HTMLParser):
    """Which elements and attributes a page has, and its texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


# -- the page --------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGS)
def test_the_page_allows_its_own_scripts_by_their_hash_and_no_attribute_code(lang: Lang) -> None:
    page = chat_page(Site(lang))
    for tag, attributes in Elements(page.html).found:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert not (tag == "script" and "src" in attributes)
    assert "unsafe" not in page.policy
    assert page.policy.count("sha256-") == 2 + len(SCRIPTS)  # the shell's two, and ours


def test_every_text_of_the_scripts_is_said_in_both_languages() -> None:
    """A missing one stops the script where it would be said: rarely, and for a person."""
    for name in SCRIPTS:
        for found in re.finditer(r'(?:say|button)\(\s*"((?:[^"\\\n]|\\.)*)"', static(name)):
            assert found[1] in SPOKEN, f"{name}: {found[0]}"


def test_no_words_are_kept_that_nobody_says() -> None:
    scripts = "".join(map(static, SCRIPTS))
    assert not [text for text in SPOKEN if f'"{text}"' not in scripts]
    template = resources.files("formosa.web").joinpath("templates", "chat", "page.html.jinja")
    said = set(re.findall(r'_\("([^"]*)"', template.read_text("utf-8")))
    assert not set(WORDS) - said


@pytest.mark.parametrize("texts", [WORDS, SPOKEN, SAVED])
def test_placeholders_are_the_same_in_both_languages(texts: dict[str, str]) -> None:
    for english, chinese in texts.items():
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", chinese)), english


def test_scripts_never_read_text_as_markup() -> None:
    for name in SCRIPTS:
        found = re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc"
            r"|DOMParser|createContextualFragment|setHTML",
            static(name),
        )
        assert found is None, name


def test_the_page_is_at_both_addresses_and_lets_nobody_frame_it() -> None:
    for path in ("/", "/chat"):
        answer = ask(app_of(), path, accept_language="zh-TW")
        assert answer.status_code == 200
        assert "設定與工具" in answer.text
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "Settings and tools" in ask(app_of(), "/chat?lang=en").text


def test_with_a_key_the_page_answers_and_what_it_asks_for_does_not() -> None:
    app = app_of(api_key="sk-secret")
    page = ask(app, "/")
    assert page.status_code == 200
    assert '"keyed": true' in page.text
    assert "sk-secret" not in page.text
    for path in ("/v1/models", "/props", "/tools"):
        assert ask(app, path).status_code == 401
    body = {"messages": [{"role": "user", "content": "hi"}]}
    assert ask(app, "/chat/export", body).status_code == 401
    assert ask(app, "/chat/export", body, authorization="Bearer sk-secret").status_code == 200


def test_a_name_that_was_turned_to_this_machine_gets_no_page() -> None:
    answer = ask(app_of(hosts=["127.0.0.1"]), "/", host="evil.example")
    assert answer.status_code == 400


# -- conversations to keep -------------------------------------------------------------------

TALK: dict[str, Any] = {
    "model": "formosa-mini",
    "tools": [{"type": "function", "function": {"name": "get_weather"}}],
    "messages": [
        {"role": "system", "content": "簡短回答"},
        {"role": "user", "content": "台北和高雄？"},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "要查兩個",
            "tool_calls": [
                {"id": "a", "type": "function",
                 "function": {"name": "get_weather", "arguments": '{"location": "台北"}'}},
                {"id": "b", "type": "function",
                 "function": {"name": "get_weather", "arguments": '{"location": "高雄"}'}},
                {"id": "c", "type": "function",
                 "function": {"name": "get_weather", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "b", "content": "高雄 29 度"},
        {"role": "tool", "tool_call_id": "a", "content": '{"degrees": 26}'},
        {"role": "assistant", "content": "台北 26，高雄 29。"},
    ],
}  # fmt: skip


def test_a_kept_conversation_shows_each_result_under_its_own_call() -> None:
    talk = conversation_of(TALK, "talk")
    _, _, turn, last = talk.turns
    assert [(call.arguments, call.result) for call in turn.calls] == [
        ('{"location": "台北"}', '{"degrees": 26}'),
        ('{"location": "高雄"}', "高雄 29 度"),
        ("{}", None),
    ]
    assert last.text == "台北 26，高雄 29。"


@pytest.mark.parametrize("lang", LANGS)
def test_a_kept_conversation_is_one_file_without_scripts_of_its_own(lang: Lang) -> None:
    html = saved_page(conversation_of(TALK, "talk"), lang)
    page = Elements(html)
    assert [tag for tag, _ in page.found].count("script") == 1  # the shell's: light and dark
    assert not [a for _, a in page.found if "src" in a or a.get("href", "#")[:1] not in ("#", "d")]  # type: ignore[index]
    shown = " ".join(page.texts)
    assert ("思考 · 4 字" if lang == "zh-TW" else "Reasoning · 4 characters") in shown
    assert '"degrees": 26' in shown and "簡短回答" in shown


def test_hostile_words_are_words_in_a_kept_conversation() -> None:
    call = {"id": "a", "function": {"name": ATTACK, "arguments": json.dumps({"x": ATTACK})}}
    talk = {
        "model": ATTACK,
        "messages": [
            {"role": "user", "content": ATTACK},
            {"role": "assistant", "content": ATTACK, "reasoning": ATTACK, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a", "content": ATTACK},
        ],
    }
    html = saved_page(conversation_of(talk, "talk"), "en")
    page = Elements(html)
    assert not [tag for tag, _ in page.found if tag == "img"]
    assert [tag for tag, _ in page.found].count("script") == 1
    assert "\u202e" not in html and "\\u202e" in html
    assert "{{ 7*7 }}" in html


def test_the_terminal_s_conversations_can_be_shown_too(tmp_path: Path) -> None:
    from formosa.chat.message import Message
    from formosa.cli.history import save_conversation

    path = tmp_path / "talk.json"
    save_conversation(path, [Message("user", "你好"), Message("assistant", "嗨")], [])
    assert [turn.text for turn in read_conversation(path).turns] == ["你好", "嗨"]
    assert "你好" in export([path], "zh-TW")
    with pytest.raises(UserError, match="one conversation"):
        export([path, path], "zh-TW")


def test_a_file_that_is_no_conversation_is_said_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    path.write_text('{"loss": 1}')
    with pytest.raises(DataError, match="no conversation"):
        read_conversation(path)
    path.write_text('{"messages": [{"role": "robot"}]}')
    with pytest.raises(MessageError, match=r"messages\[0\].role"):
        read_conversation(path)


@pytest.mark.parametrize(
    ("text", "shown"),
    [('{"a":1}', '{\n  "a": 1\n}'), ("[1", "[1"), ("26 度", "26 度"), ("[" * 9999, "[" * 9999)],
)
def test_json_is_laid_out_and_everything_else_left_as_it_is(text: str, shown: str) -> None:
    assert readable(text) == shown


def test_the_server_makes_the_page_only_for_its_own_page() -> None:
    app = app_of()
    answer = ask(app, "/chat/export", TALK, origin="http://127.0.0.1")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "高雄 29 度" in answer.text
    assert ask(app, "/chat/export", TALK, origin="https://evil.example").status_code == 403
    assert ask(app, "/chat/export", TALK, content_type="text/plain").status_code == 415


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages": "x"}, "no conversation"),
        ({"messages": [{"role": "robot", "content": ""}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "tool_call_id": "x", "content": ""}]}, "answers no call"),
    ],
)
def test_a_body_that_is_no_conversation_is_refused_with_its_field(body: Any, said: str) -> None:
    answer = ask(app_of(), "/chat/export", body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


# -- the command -----------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The command with scripted models and a server that ends at once."""
    told: dict[str, Any] = {"asked": []}

    def open_chat(model: str, **options: Any) -> TemplatedChat:
        told["asked"].append(model)
        return TemplatedChat(ScriptedEngine(["hi"], name=model.rpartition("/")[2] or "remote"))

    def run_server(models: dict[str, Any], **options: Any) -> None:
        told.update(options, served=list(models))
        options["started"]("http://127.0.0.1:8000/v1")

    monkeypatch.setattr("formosa.engines.open.open_chat", open_chat)
    monkeypatch.setattr("formosa.serve.run.run_server", run_server)
    return told


def run(*arguments: str) -> Any:
    return CliRunner().invoke(serve, list(arguments), catch_exceptions=False)


def paths(pages: Pages) -> set[str]:
    return {route.path for route in pages.routes}


def test_several_models_are_served_by_their_names(opened: dict[str, Any]) -> None:
    result = run("runs/mini", "runs/other")
    assert result.exit_code == 0, result.stderr
    assert opened["asked"] == ["runs/mini", "runs/other"]
    assert opened["served"] == ["mini", "other"]
    assert "mini, other are served" in result.stdout


def test_two_models_of_one_name_are_refused(opened: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="Two models are called mini"):
        run("a/mini", "b/mini")


@pytest.mark.parametrize(
    "options", [("--name", "x"), ("--base-url", "http://a/v1"), ("--adapter", "a=b.gguf")]
)
def test_what_is_said_of_one_model_is_refused_for_two(
    opened: dict[str, Any], options: tuple[str, ...]
) -> None:
    result = run("runs/mini", "runs/other", *options)
    assert result.exit_code == 2
    assert f"{options[0]} is for one model" in result.stderr
    assert opened["asked"] == []


def test_the_page_is_served_unless_it_is_left_out(opened: dict[str, Any]) -> None:
    out = run("runs/mini").stdout
    assert "Chat at http://127.0.0.1:8000/chat" in out
    assert {"/", "/chat", "/tools", "/tools/run"} <= paths(opened["pages"])
    assert "Chat at" not in run("runs/mini", "--no-pages").stdout
    assert opened["pages"] is None


def test_tools_without_the_page_are_refused(opened: dict[str, Any]) -> None:
    result = run("runs/mini", "--no-pages", "--mcp", "x")
    assert result.exit_code == 2
    assert "--no-pages" in result.stderr


def tools_of(pages: Pages) -> list[str]:
    """What the page is told once the server runs."""
    app = create_app({"m": TemplatedChat(ScriptedEngine(["hi"]))}, pages=pages)

    async def asked() -> list[str]:
        transport = httpx2.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
        ):
            assert app.state.failed is None
            found = (await client.get("/tools")).json()["tools"]
            return [tool["function"]["name"] for tool in found]

    return asyncio.run(asked())


def test_tools_of_a_file_and_of_an_mcp_server_stand_side_by_side(
    opened: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        'from formosa import tool\n\n\n@tool\ndef mine() -> str:\n    """Mine."""\n    return ""\n'
    )
    server = Path(__file__).parent / "mcp_server.py"
    command = f"theirs={shlex.join([sys.executable, str(server)])}"
    run("runs/mini", "--tools", str(file), "--mcp", command)
    names = tools_of(opened["pages"])
    assert names[0] == "mine"
    assert len(names) > 1 and all(name.startswith("theirs_") for name in names[1:])


def test_a_file_without_tools_is_said_before_a_model_is_loaded(
    opened: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(UserError, match="holds no tool"):
        run("runs/mini", "--tools", str(tmp_path / "empty.py"))
    assert opened["asked"] == []
