"""Tools of MCP servers, asked of real processes: only a process can die, hang or fill a pipe."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest

from formosa.chat.message import Message, ToolCall
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import MessageError, UserError
from formosa.tools.converse import converse
from formosa.tools.function import tool
from formosa.tools.mcp import McpTool, mcp_tools
from formosa.tools.mcp_servers import McpServer
from formosa.tools.registry import Registry
from formosa.tools.runner import Limits, ToolResult, run_calls

SERVER = Path(__file__).parent / "mcp_server.py"
STDIO = McpServer((sys.executable, str(SERVER)))
LONG = Limits(seconds=60)


def started(*arguments: str, name: str = "") -> McpServer:
    return McpServer((sys.executable, str(SERVER), *arguments), name=name)


class Kept(NamedTuple):
    """One server for all tests that leave it alive: starting one costs a second."""

    runner: asyncio.Runner
    registry: Registry


_kept: list[Kept] = []


@pytest.fixture(scope="module", autouse=True)
def kept() -> Iterator[None]:
    with asyncio.Runner() as runner:
        opened = mcp_tools(STDIO)
        _kept.append(Kept(runner, Registry(runner.run(opened.__aenter__()))))
        yield
        runner.run(opened.__aexit__(None, None, None))


def with_tools(
    use: Callable[[Registry], Coroutine[Any, Any, Any]], *servers: McpServer, **options: Any
) -> Any:
    """What `use` returns; with the kept server, or with servers of its own."""
    if not servers:
        return _kept[0].runner.run(use(_kept[0].registry))

    async def main() -> Any:
        async with mcp_tools(*servers, **options) as tools:
            return await use(Registry(tools))

    return asyncio.run(main())


def results(
    *calls: ToolCall, server: McpServer | None = None, limits: Limits = LONG
) -> list[ToolResult]:
    async def use(registry: Registry) -> list[ToolResult]:
        return list(await run_calls(calls, registry, limits))

    found: list[ToolResult] = with_tools(use, *([server] if server else []))
    return found


def call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall.of(name, arguments, f"id_{name}")


@contextmanager
def serving_http(name: str = "") -> Iterator[McpServer]:
    """The same server over HTTP, in a process of its own."""
    with subprocess.Popen(
        [sys.executable, SERVER, "http"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield McpServer(url=f"http://127.0.0.1:{port}/mcp", name=name)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def http_server() -> Iterator[McpServer]:
    with serving_http() as server:
        yield server


# -- what a model sees ----------------------------------------------------------------------------


def test_tools_of_a_server_are_shown_like_functions() -> None:
    async def use(registry: Registry) -> Registry:
        return registry

    registry: Registry = with_tools(use)
    item = registry.get("get_weather")
    assert isinstance(item, McpTool)
    assert item.tool.description.startswith("Get the weather.")
    schema = item.tool.schema()
    assert schema["required"] == ["location"]
    assert schema["properties"]["location"] == {"type": "string"}, "no titles"
    assert item.source == f"MCP server {STDIO.label}"


def test_a_name_that_no_api_takes_is_made_valid_and_asked_for_as_it_was() -> None:
    (result,) = results(call("dotted_name_with_slash"))
    assert (result.content, result.ok) == ("dotted", True)


def test_two_servers_with_one_name_of_a_tool_are_refused_and_named() -> None:
    async def both(registry: Registry) -> None:
        raise AssertionError

    with pytest.raises(UserError, match=r"Two tools are named 'get_weather': .*MCP server") as e:
        with_tools(both, STDIO, STDIO)
    assert "--mcp NAME=" in e.value.hint


def test_a_named_server_begins_the_names_of_its_tools() -> None:
    async def use(registry: Registry) -> tuple[ToolResult, ...]:
        assert "get_weather" in registry
        return await run_calls([call("two_get_weather", location="台北")], registry, LONG)

    (result,) = with_tools(use, STDIO, started(name="two"))
    assert result.content == "台北 26 celsius"


def test_a_function_with_the_name_of_a_servers_tool_is_refused() -> None:
    @tool
    def get_weather(location: str) -> str:
        """Mine."""
        return location

    async def main() -> None:
        async with mcp_tools(STDIO) as tools:
            Registry([get_weather, *tools])

    with pytest.raises(UserError, match=f"one of {__file__}, one of MCP server"):
        asyncio.run(main())


# -- arguments ------------------------------------------------------------------------------------


WRONG = {
    "{}": "'location' is a required property",
    '{"location": 3}': "location: 3 is not of type 'string'",
    '{"location": ': "not JSON",
    "[]": "must be a JSON object",
}


def test_wrong_arguments_never_reach_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what to put right, with the signature."""
    asked: list[str] = []

    async def use(registry: Registry) -> tuple[ToolResult, ...]:
        item = registry.get("get_weather")
        assert isinstance(item, McpTool)

        async def never(name: str, arguments: dict[str, Any]) -> str:
            asked.append(name)
            return ""

        monkeypatch.setattr(item._connection, "call", never)
        calls = [ToolCall("get_weather", arguments) for arguments in WRONG]
        return await run_calls(calls, registry, LONG)

    for result, problem in zip(with_tools(use), WRONG.values(), strict=True):
        assert not result.ok
        assert result.content.startswith("error: wrong arguments: ")
        assert problem in result.content
        assert "expected get_weather(location: string, unit?: string)" in result.content
        assert "\n" not in result.content
    assert not asked


def a_tool(schema: dict[str, Any]) -> McpTool:
    from formosa.chat.message import Tool
    from formosa.tools.mcp_connection import McpConnection

    connection = McpConnection(STDIO, 1)
    return McpTool(Tool.of("t", "", schema), False, "s", connection, "t", schema)


def test_a_schema_with_references_of_its_own_is_followed() -> None:
    schema = {
        "type": "object",
        "properties": {"at": {"$ref": "#/$defs/Place"}},
        "$defs": {"Place": {"type": "object", "required": ["city"]}},
    }
    item = a_tool(schema)
    assert item.read('{"at": {"city": "台北"}}') == {"at": {"city": "台北"}}
    with pytest.raises(MessageError, match="at: 'city' is a required property"):
        item.read('{"at": {}}')


def test_a_reference_to_the_web_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server must not make this machine ask for an address of its choice."""
    import urllib.request

    def asked(*args: Any, **options: Any) -> None:
        raise AssertionError("the web was asked")

    monkeypatch.setattr(urllib.request, "urlopen", asked)
    item = a_tool({"type": "object", "properties": {"x": {"$ref": "http://127.0.0.1:1/s.json"}}})
    (result,) = asyncio.run(run_calls([call("t", x=1)], Registry([item])))
    assert not result.ok
    assert "wrong arguments" in result.content


# -- results --------------------------------------------------------------------------------------


def test_results_of_every_kind_become_text() -> None:
    structured, picture = results(call("report"), call("picture"))
    assert json.loads(structured.content) == {"溫度": 26, "list": [1, None]}
    assert picture.content == "a map\n[image: image/png, 6 bytes]"


def test_a_long_result_is_cut_and_its_size_known() -> None:
    (result,) = results(call("long"), limits=Limits(seconds=60, characters=10))
    assert result.content == "長" * 10 + "\n[cut: the first 10 of 100000 characters]"
    assert result.size == 100_000


def test_an_error_of_the_tool_is_a_result() -> None:
    (result,) = results(call("fail"))
    assert not result.ok
    assert result.content.startswith("error: ")
    assert "no such\ncity" in result.content


def test_parallel_calls_are_at_the_server_at_the_same_time() -> None:
    """Each waits for the other: one after the other would never end."""
    left = ToolCall.of("meet", {"who": "left"}, "1")
    right = ToolCall.of("meet", {"who": "right"}, "2")
    assert [(r.id, r.content) for r in results(left, right)] == [
        ("1", "left met"),
        ("2", "right met"),
    ]


def test_a_tool_that_never_ends_is_stopped_and_its_server_goes_on() -> None:
    async def use(registry: Registry) -> list[ToolResult]:
        hanging = await run_calls([call("hang")], registry, Limits(seconds=0.05))
        after = await run_calls([call("get_weather", location="台北")], registry, LONG)
        return [*hanging, *after]

    hanging, after = with_tools(use)
    assert (hanging.content, hanging.ok) == ("error: no result within 0.05 seconds", False)
    assert after.ok


def test_a_server_that_dies_in_a_call_is_a_result_and_so_is_every_call_after_it() -> None:
    async def use(registry: Registry) -> list[ToolResult]:
        first = await run_calls([call("die"), call("hang")], registry, LONG)
        again = await run_calls([call("get_weather", location="台北")], registry, LONG)
        return [*first, *again]

    for result in with_tools(use, STDIO):
        assert not result.ok
        assert result.content == f"error: the MCP server {STDIO.label} has ended"


def test_only_what_reads_runs_without_consent() -> None:
    """A server says so with readOnlyHint; without it, a call may change or destroy things."""
    asked: list[str] = []

    def confirm(call: ToolCall, shown: Any) -> bool:
        asked.append(call.name)
        return True

    async def use(registry: Registry) -> list[ToolResult]:
        calls = [call("get_weather", location="x"), call("delete_all", path="/")]
        alone = await run_calls(calls, registry, LONG)
        return [*alone, *await run_calls(calls, registry, LONG, confirm=confirm)]

    reads, refused, again, deleted = with_tools(use)
    assert reads.ok
    assert again.ok
    assert not refused.ok
    assert "consent" in refused.content
    assert (deleted.content, deleted.confirmed) == ("deleted /", True)
    assert asked == ["delete_all"]


# -- the process ----------------------------------------------------------------------------------


def test_keys_of_the_environment_do_not_reach_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
    server = McpServer(STDIO.command, env={"WEATHER_KEY": "given"})
    (result,) = results(call("environment"), server=server)
    names = result.content.split()
    assert "OPENAI_API_KEY" not in names
    assert {"WEATHER_KEY", "PATH"} <= set(names)
    assert "given" not in repr(server)


def test_a_servers_noise_stays_off_the_screen(capfd: pytest.CaptureFixture[str]) -> None:
    results(call("die"), server=STDIO)
    results(call("get_weather", location="x"), server=started("babble"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        (McpServer(("no-such-program",)), "Cannot start MCP server no-such-program: No such file"),
        (started("broken"), "ended before it listed its tools: .*no key given"),
        (McpServer(url="http://127.0.0.1:9/mcp"), "http://127.0.0.1:9/mcp gives no tools"),
    ],
    ids=["missing", "ends", "nobody there"],
)
def test_a_server_that_cannot_be_opened_is_one_sentence(server: McpServer, problem: str) -> None:
    with pytest.raises(UserError, match=problem) as caught:
        results(server=server)
    assert "\x1b" not in caught.value.message
    assert caught.value.hint


def test_without_the_package_the_command_that_installs_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is an extra: the base install works without it."""
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(UserError, match="need the `mcp` package") as caught:
        results(server=STDIO)
    assert "formosa-lm[mcp]" in caught.value.hint


def test_a_server_that_says_nothing_is_given_up() -> None:
    async def never(registry: Registry) -> None:
        raise AssertionError

    with pytest.raises(UserError, match=r"did not list its tools within 0\.5 seconds"):
        with_tools(never, started("silent"), seconds=0.5)


def test_one_server_that_fails_closes_the_others() -> None:
    async def main() -> int:
        with pytest.raises(UserError, match="Cannot start"):
            await mcp_tools(STDIO, McpServer(("no-such-program",))).__aenter__()
        return len(asyncio.all_tasks())

    assert asyncio.run(main()) == 1


def test_a_connection_serves_one_task_after_another() -> None:
    """A chat asks in a new task for every line; mcp's streams may only be closed where opened."""
    with asyncio.Runner() as runner:
        opened = mcp_tools(STDIO)
        tools = runner.run(opened.__aenter__())
        for city in ("台北", "高雄"):
            (result,) = runner.run(
                run_calls([call("get_weather", location=city)], Registry(tools), LONG)
            )
            assert result.content == f"{city} 26 celsius"
        runner.run(opened.__aexit__(None, None, None))
        (late,) = runner.run(run_calls([call("report")], Registry(tools), LONG))
        assert "has ended" in late.content


# -- over HTTP ------------------------------------------------------------------------------------


def test_a_server_over_http_is_the_same(http_server: McpServer) -> None:
    weather, picture, failed = results(
        call("get_weather", location="台北"), call("picture"), call("fail"), server=http_server
    )
    assert weather.content == "台北 26 celsius"
    assert picture.content == "a map\n[image: image/png, 6 bytes]"
    assert "no such\ncity" in failed.content


def test_a_hanging_call_over_http_is_stopped(http_server: McpServer) -> None:
    async def use(registry: Registry) -> list[ToolResult]:
        hanging = await run_calls([call("hang")], registry, Limits(seconds=0.05))
        return [*hanging, *await run_calls([call("report")], registry, LONG)]

    hanging, after = with_tools(use, http_server)
    assert "no result within" in hanging.content
    assert after.ok


def test_a_proxy_of_the_environment_does_not_get_what_is_said_to_this_machine(
    http_server: McpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    (result,) = results(call("get_weather", location="台北"), server=http_server)
    assert result.ok


def test_an_http_server_that_goes_away_is_a_result() -> None:
    async def use(registry: Registry) -> list[ToolResult]:
        dead = await run_calls([call("web_die")], registry, LONG)
        return [*dead, *await run_calls([call("web_report")], registry, LONG)]

    with serving_http("web") as server:
        for result in with_tools(use, server):
            assert not result.ok
            assert "MCP server web" in result.content


class Answers(BaseHTTPRequestHandler):
    """Answers everything with the status in its path, and keeps the headers."""

    seen: ClassVar[list[str | None]] = []

    def do_POST(self) -> None:
        self.seen.append(self.headers["Authorization"])
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(int(self.path[1:]))
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        return None


@pytest.mark.parametrize(
    ("status", "problem", "hint"),
    [
        (401, r"without the right key \(HTTP 401\)", "headers"),
        (403, r"without the right key \(HTTP 403\)", "headers"),
        (404, "gives no tools: HTTP 404", "ends in /mcp"),
        (500, "gives no tools: HTTP 500", "ends in /mcp"),
        (200, "gives no tools: ", "ends in /mcp"),
    ],
)
def test_what_is_no_mcp_server_is_one_sentence(status: int, problem: str, hint: str) -> None:
    """A wrong path, a missing key, a web page; `mcp` itself raises groups of groups of errors."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{listening.server_port}/{status}"
            with pytest.raises(UserError, match=problem) as caught:
                results(server=McpServer(url=url, headers={"Authorization": "Bearer k3y"}))
        finally:
            listening.shutdown()
            thread.join()
    assert hint in caught.value.hint
    assert "k3y" not in caught.value.message
    assert "Bearer k3y" in Answers.seen


# -- with a model ---------------------------------------------------------------------------------


def test_a_model_calls_a_function_and_a_servers_tool_in_one_reply() -> None:
    @tool
    def search(query: str) -> str:
        """Search."""
        return f"found {query}"

    first = '<tool_call>\n{"name": "get_weather", "arguments": {"location": "台北"}}\n</tool_call>'
    second = '<tool_call>\n{"name": "search", "arguments": {"query": "關稅"}}\n</tool_call>'
    model = TemplatedChat(ScriptedEngine([f"{first}\n{second}", "台北 26 度，關稅 32%。"]))

    async def main() -> tuple[Message, ...]:
        async with mcp_tools(STDIO) as tools:
            transcript = await converse(model, "台北氣溫如何？", [*tools, search], limits=LONG)
        return transcript.messages

    messages = asyncio.run(main())
    assert [message.content for message in messages[2:]] == [
        "台北 26 celsius",
        "found 關稅",
        "台北 26 度，關稅 32%。",
    ]
    assert [message.tool_call_id for message in messages[2:4]] == ["call_0", "call_1"]
