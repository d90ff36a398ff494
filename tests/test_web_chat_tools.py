"""Tools that run for the chat page: only registered ones, only for its own origin, by id."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from formosa.chat.message import ToolCall
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import UserError
from formosa.serve.app import create_app
from formosa.serve.pages import Pages
from formosa.serve.run import serving
from formosa.tools.function import tool
from formosa.tools.log import ToolLog
from formosa.tools.registry import Registry, RunnableTool
from formosa.tools.runner import Limits
from formosa.web.chat.tools import run_as_they_come, tool_routes

ORIGIN = "http://127.0.0.1"
sent: list[str] = []
gate = threading.Event()


@tool
def get_weather(location: str) -> str:
    """查詢氣溫

    Args:
        location: 城市名
    """
    return f"{location}：26 度"


@tool(confirm=True)
def send_mail(to: str) -> str:
    """寄信"""
    sent.append(to)
    return "寄了"


@tool
async def wait_for_the_other() -> str:
    """Waits until `let_it_go` ran."""
    while not gate.is_set():
        await asyncio.sleep(0)
    return "came"


@tool
def let_it_go() -> str:
    """Lets the other one end."""
    gate.set()
    return "went"


TOOLS: list[RunnableTool] = [get_weather, send_mail, wait_for_the_other, let_it_go]


@pytest.fixture(autouse=True)
def nothing_happened() -> None:
    sent.clear()
    gate.clear()


def app_of(limits: Limits | None = None, record: Any = None, **options: Any) -> Starlette:
    pages = Pages(tool_routes(Registry(TOOLS), limits, record))
    model = TemplatedChat(ScriptedEngine(["hi"]))
    return create_app({"m": model}, pages=pages, hosts=["127.0.0.1"], **options)


def ask(app: Starlette, path: str, body: Any = None, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def asked() -> httpx2.Response:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            if body is None:
                return await client.get(path, headers=named)
            return await client.post(path, json=body, headers=named)

    return asyncio.run(asked())


def run(app: Starlette, *calls: dict[str, str], agreed: list[str] | None = None) -> list[Any]:
    answer = ask(app, "/tools/run", {"calls": calls, "agreed": agreed or []}, origin=ORIGIN)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = answer.text.strip().split("\n\n")
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def call(id: str, name: str, **arguments: Any) -> dict[str, str]:
    return {"id": id, "name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}


def test_the_page_learns_each_tool_and_what_a_round_may_cost() -> None:
    value = ask(app_of(Limits(seconds=3, characters=9, calls=2)), "/tools").json()
    first, mail, *_ = value["tools"]
    assert first["function"]["name"] == "get_weather"
    assert first["function"]["parameters"]["required"] == ["location"]
    assert (first["confirm"], mail["confirm"]) == (False, True)
    assert value["limits"] == {"seconds": 3, "characters": 9, "calls": 2}


def test_a_tool_s_folder_is_not_told() -> None:
    (first, *_) = ask(app_of(), "/tools").json()["tools"]
    assert first["source"] == Path(__file__).name


def test_results_carry_the_id_of_their_call() -> None:
    calls = [call("b", "get_weather", location="高雄"), call("a", "get_weather", location="台北")]
    found = {result["id"]: result for result in run(app_of(), *calls)}
    assert found["a"]["content"] == "台北：26 度"
    assert found["b"]["content"] == "高雄：26 度"
    assert all(result["ok"] and result["seconds"] >= 0 for result in found.values())


def test_calls_of_one_reply_run_at_the_same_time() -> None:
    """The first can only end after the second: in a row this would never come back."""
    results = run(app_of(), call("1", "wait_for_the_other"), call("2", "let_it_go"))
    found = {result["id"]: result["content"] for result in results}
    assert found == {"1": "came", "2": "went"}


def test_a_result_does_not_wait_for_the_others() -> None:
    """The first call ends only once the result of the second was read."""

    async def read() -> list[str]:
        read_one = asyncio.Event()

        @tool
        async def slow() -> str:
            """Waits for the reader."""
            await read_one.wait()
            return "slow"

        @tool
        async def fast() -> str:
            """Does not."""
            return "fast"

        calls = [ToolCall("slow", "{}", "1"), ToolCall("fast", "{}", "2")]
        came = []
        async for result in run_as_they_come(calls, Registry([slow, fast]), Limits(), ()):
            came.append(result.content)
            read_one.set()
        return came

    assert asyncio.run(read()) == ["fast", "slow"]


def test_a_tool_that_needs_consent_runs_only_for_the_call_that_was_agreed_to() -> None:
    calls = [call("1", "send_mail", to="a@example.com"), call("2", "send_mail", to="b@example.com")]
    results = {result["id"]: result for result in run(app_of(), *calls, agreed=["2"])}
    assert sent == ["b@example.com"]
    assert (results["1"]["ok"], results["1"]["confirmed"]) == (False, False)
    assert "refused" in results["1"]["content"]
    assert (results["2"]["ok"], results["2"]["confirmed"]) == (True, True)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("os.system", '{"command": "id"}', "unknown tool 'os.system'"),
        ("__class__", "{}", "unknown tool"),
        ("get_weather", '{"city": "台北"}', "location: Field required"),
        ("get_weather", "[1]", "wrong arguments"),
        ("get_weather", '{"location": ', "wrong arguments"),
    ],
)
def test_only_registered_names_run_and_only_with_fitting_arguments(
    name: str, arguments: str, said: str
) -> None:
    (result,) = run(app_of(), {"id": "1", "name": name, "arguments": arguments}, agreed=["1"])
    assert not result["ok"]
    assert said in result["content"]


def test_the_limits_of_tools_hold_here_too() -> None:
    calls = [call(str(n), "get_weather", location="很長" * 40) for n in range(3)]
    results = run(app_of(Limits(characters=60, calls=2)), *calls)
    assert sum("at most 2 calls" in result["content"] for result in results) == 1
    assert sum("[cut: the first 60" in result["content"] for result in results) == 2


def test_what_ran_stands_in_the_log(tmp_path: Path) -> None:
    with ToolLog(tmp_path / "calls.jsonl") as record:
        run(app_of(record=record), call("1", "send_mail", to="a@example.com"))
    (line,) = (tmp_path / "calls.jsonl").read_text("utf-8").splitlines()
    kept = json.loads(line)
    assert (kept["id"], kept["name"], kept["ok"], kept["confirmed"]) == (
        "1", "send_mail", False, False,
    )  # fmt: skip


# -- who may ask -----------------------------------------------------------------------------

CALL = {"calls": [call("1", "get_weather", location="台北")]}


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:8001"},  # another server on this machine
        {"origin": "http://127.0.0.1.evil.example"},
        {"origin": "http://["},
        {"origin": ""},
        {"origin": "null"},  # a sandboxed frame, a file
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_pages_of_other_origins_are_refused(headers: dict[str, str]) -> None:
    for path, body in (("/tools/run", CALL), ("/tools", None)):
        answer = ask(app_of(), path, body, **headers)
        assert answer.status_code == 403
        assert "26 度" not in answer.text


def test_no_answer_lets_another_origin_read_it() -> None:
    for path, body in (("/tools/run", CALL), ("/tools", None)):
        answer = ask(app_of(), path, body, origin=ORIGIN)
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_form_can_t_run_a_tool() -> None:
    """A page may send a form anywhere without asking; JSON it may not."""
    answer = ask(app_of(), "/tools/run", CALL, content_type="text/plain", origin=ORIGIN)
    assert answer.status_code == 415


def test_a_name_that_was_turned_to_this_machine_is_refused() -> None:
    answer = ask(app_of(), "/tools", host="evil.example", origin="http://evil.example")
    assert answer.status_code == 400


def test_programs_name_no_origin_and_may_ask() -> None:
    assert ask(app_of(), "/tools").status_code == 200
    assert ask(app_of(), "/tools/run", CALL).status_code == 200


def test_with_a_key_tools_ask_for_it() -> None:
    app = app_of(api_key="k")
    for path, body in (("/tools/run", CALL), ("/tools", None)):
        assert ask(app, path, body, origin=ORIGIN).status_code == 401
        assert ask(app, path, body, origin=ORIGIN, authorization="Bearer k").status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "calls"),
        ({"calls": []}, "calls"),
        ({"calls": [{"id": "1", "name": "f"}, {"id": "1", "name": "f"}]}, "calls[1].id"),
        ({"calls": [{"id": "", "name": "f"}]}, "calls[0].id"),
        ({"calls": [{"id": "1", "name": "f", "code": "x"}]}, "calls[0].code"),
        ({"calls": [{"id": "1", "name": "f", "arguments": {}}]}, "calls[0].arguments"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_with_its_field(body: Any, field: str) -> None:
    answer = ask(app_of(), "/tools/run", body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == field


def test_a_page_that_leaves_stops_its_calls() -> None:
    """Over a real socket: a client that closes it is how a person leaves."""
    began, ended = threading.Event(), threading.Event()

    @tool
    async def long() -> str:
        """Runs until it is stopped."""
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    pages = Pages(tool_routes(Registry([long])))
    with serving({"m": TemplatedChat(ScriptedEngine(["hi"]))}, pages=pages) as url:
        root = url.removesuffix("/v1")

        async def leave() -> None:
            async with httpx2.AsyncClient() as client:
                body = {"calls": [call("1", "long")]}
                asked = asyncio.ensure_future(client.post(f"{root}/tools/run", json=body))
                await asyncio.to_thread(began.wait, 10)
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)

        asyncio.run(leave())
        assert ended.wait(10)


def test_a_log_that_can_t_be_written_is_said_and_ends_nothing_else() -> None:
    def full(*_: Any) -> None:
        raise UserError("the disk is full")

    answer = ask(app_of(record=full), "/tools/run", CALL)
    assert answer.status_code == 400
    assert "the disk is full" in answer.text
