"""The four-step flow with the official client, against servers good and bad."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from formosa.errors import EngineError, UserError
from formosa.tools.demonstration import QUESTION, get_weather, search
from formosa.tools.flow import STEPS, run_flow

Script = list[dict[str, Any] | Response]

WEATHER = ("w1", "get_weather", '{"location": "台北", "unit": "celsius"}')
TARIFF = ("s1", "search", '{"query": "最新 關稅 政策"}')
ANSWER = {"content": "台北目前 26°C，晴朗。美國對臺灣課徵 32% 的關稅。"}


def calling(*calls: tuple[str, str, str], content: str | None = None) -> dict[str, Any]:
    return {
        "content": content,
        "tool_calls": [
            {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for id, name, arguments in calls
        ],
    }


class Scripted:
    """An OpenAI server that says the next message of a script, and keeps what it was sent."""

    def __init__(self, script: Script, models: Response | None = None) -> None:
        self._script, self._models = iter(script), models
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.app = Starlette(
            routes=[
                Route("/v1/models", self.models),
                Route("/v1/chat/completions", self.completions, methods=["POST"]),
            ]
        )

    async def models(self, request: Request) -> Response:
        value = {"object": "list", "data": [{"id": "tiny", "object": "model"}]}
        return self._models or JSONResponse(value)

    async def completions(self, request: Request) -> Response:
        self.keys.append(request.headers["authorization"])
        self.requests.append(await request.json())
        said = next(self._script)
        if isinstance(said, Response):
            return said
        message = {"role": "assistant", "refusal": None, **said}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return JSONResponse(
            {"id": "x", "object": "chat.completion", "created": 0, "model": "tiny"}
            | {"choices": [choice]}
        )


@contextmanager
def serving(server: Scripted) -> Iterator[str]:
    """The address of the server while it runs. It listens before this yields."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(server.app, log_level="critical", lifespan="off", ws="none")
        runner = uvicorn.Server(config)
        thread = threading.Thread(target=runner.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            runner.should_exit = True
            thread.join()


def flow(*script: dict[str, Any] | Response, **options: Any) -> tuple[dict[str, Any], Scripted]:
    server = Scripted(list(script))
    with serving(server) as url:
        return run_flow(url, **options), server


def passed(value: dict[str, Any]) -> list[bool]:
    assert [step["name"] for step in value["steps"]] == list(STEPS)
    assert value["passed"] == all(step["passed"] for step in value["steps"])
    return [step["passed"] for step in value["steps"]]


def details(value: dict[str, Any]) -> list[str]:
    return [step["detail"] for step in value["steps"]]


def test_a_good_model_passes_all_four_steps() -> None:
    value, server = flow(calling(WEATHER, TARIFF), ANSWER)
    assert passed(value) == [True] * 4
    assert value["schema"] == 1
    assert value["served"] == "tiny"
    assert value["client"].startswith("openai ")
    assert value["seconds"] >= 0
    assert json.loads(json.dumps(value)) == value
    first = server.requests[0]
    assert first["messages"] == [{"role": "user", "content": QUESTION}]
    assert [item["function"]["name"] for item in first["tools"]] == ["get_weather", "search"]
    assert (first["temperature"], first["model"]) == (0.0, "tiny")
    assert server.requests[1]["messages"] == value["messages"][:-1]
    assert value["messages"][-1] == {"role": "assistant", "content": ANSWER["content"]}


@pytest.mark.parametrize("calls", [(WEATHER, TARIFF), (TARIFF, WEATHER)], ids=["", "other order"])
def test_results_go_to_the_calls_they_belong_to(calls: tuple[tuple[str, str, str], ...]) -> None:
    """The code on the F1 card pairs by position: the weather call gets the search result."""
    _, server = flow(calling(*calls), ANSWER)
    results = {m["tool_call_id"]: m["content"] for m in server.requests[1]["messages"][2:]}
    assert "26 度" in results["w1"]
    assert "32%" in results["s1"]


def test_the_calls_are_sent_back_as_the_model_wrote_them() -> None:
    """Other bytes would miss the server's prompt cache, and are not what the model said."""
    odd = ("w1", "get_weather", '{ "unit":"celsius",  "location":"\\u53f0\\u5317"}')
    value, server = flow(calling(odd, TARIFF, content="我查一下"), ANSWER)
    assert passed(value) == [True] * 4
    sent = server.requests[1]["messages"][1]
    assert sent["content"] == "我查一下"
    assert sent["tool_calls"][0]["function"]["arguments"] == odd[2]


def test_a_model_that_makes_no_call_is_reported_not_raised() -> None:
    value, server = flow({"content": "我不知道。"})
    assert passed(value) == [False] * 4
    assert details(value)[0] == "no call; it said: 我不知道。"
    assert len(server.requests) == 1, "its first words are its answer"


def test_a_model_that_makes_one_call_goes_on_with_its_result() -> None:
    value, server = flow(calling(WEATHER), {"content": "台北 26 度。"})
    assert passed(value) == [False, True, True, False]
    assert details(value)[0].startswith("wanted one call of each tool, got: get_weather(")
    assert details(value)[3] == "nothing from search in: 台北 26 度。"
    assert len(server.requests) == 2


def test_two_calls_of_one_tool_are_not_the_two_calls() -> None:
    other = ("w2", "get_weather", '{"location": "高雄", "unit": "celsius"}')
    value, _ = flow(calling(WEATHER, other), ANSWER)
    assert passed(value)[:3] == [False, True, True]
    assert "沒有 高雄 的資料" in value["messages"][3]["content"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ('{"location": "台北"}', "unit: Field required"),
        ('{"location": "台北", "unit": "kelvin"}', "unit: Input should be 'celsius'"),
        ('{"location": "台北", "unit": "celsius", "day": 1}', "day: Extra inputs"),
        ('{"location": "台', "Invalid JSON"),
        ("", "location: Field required; unit: Field required"),
    ],
)
def test_arguments_that_do_not_fit_are_named_and_the_flow_goes_on(
    arguments: str, problem: str
) -> None:
    value, server = flow(calling(("w1", "get_weather", arguments), TARIFF), ANSWER)
    assert passed(value)[:3] == [True, False, True]
    assert problem in details(value)[1]
    assert "error: wrong arguments" in server.requests[1]["messages"][2]["content"]


def test_an_unknown_tool_is_answered_and_reported() -> None:
    value, server = flow(calling(("x", "weather", "{}"), TARIFF), ANSWER)
    assert passed(value)[:2] == [False, False]
    assert details(value)[1] == "there is no tool 'weather'"
    assert "unknown tool 'weather'" in server.requests[1]["messages"][2]["content"]


@pytest.mark.parametrize("ids", [("", ""), ("same", "same")])
def test_ids_that_do_not_tell_calls_apart_fail_the_third_step(ids: tuple[str, str]) -> None:
    calls = ((ids[0], *WEATHER[1:]), (ids[1], *TARIFF[1:]))
    value, _ = flow(calling(*calls), ANSWER)
    assert passed(value) == [True, True, False, True]
    assert "do not tell the calls apart" in details(value)[2]


def test_a_model_that_calls_again_has_not_answered() -> None:
    value, _ = flow(calling(WEATHER, TARIFF), calling(TARIFF, content="26 32"))
    assert passed(value) == [True, True, True, False]
    assert details(value)[3] == "called search again, no answer"


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        ("台北 26 度；關稅 32%", True),
        ("台北２６度，關稅３２％", True),
        ("氣溫二十六度，關稅百分之三十二", True),
        ("79°F and a 32 percent tariff", True),
        ("台北 126 度；關稅 32%", False),
        ("台北 26 度；關稅 3.32%", False),
        ("台北 26 度；關稅 320%", False),
        ("我會為您查詢。", False),
        ("", False),
    ],
)
def test_an_answer_uses_the_results_when_it_has_their_figures(answer: str, good: bool) -> None:
    value, _ = flow(calling(WEATHER, TARIFF), {"content": answer})
    assert passed(value) == [True, True, True, good]


def test_null_content_is_an_empty_answer() -> None:
    value, _ = flow(calling(WEATHER, TARIFF), {"content": None})
    assert details(value)[3] == "nothing from get_weather and search in: nothing"


def failing(status: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "x"}}, status_code=status)


def test_a_server_that_fails_on_the_models_words_is_a_finding() -> None:
    """llama.cpp's server answers 500 when a reply does not fit the format it guessed."""
    value, _ = flow(failing(500, "does not match the expected peg-native format"))
    assert passed(value) == [False] * 4
    assert "peg-native" in details(value)[0]


def test_a_server_that_refuses_the_results_fails_the_third_step() -> None:
    value, server = flow(calling(WEATHER, TARIFF), failing(400, "bad history"))
    assert passed(value) == [True, True, False, False]
    assert "bad history" in details(value)[2]
    assert len(server.requests) == 2, "no silent second try"


def test_a_reply_without_a_choice_is_a_finding() -> None:
    value, _ = flow(JSONResponse({"id": "x", "object": "chat.completion", "choices": []}))
    assert details(value)[0] == "the server sent no choice"


@pytest.mark.parametrize(
    ("response", "error", "message"),
    [
        (failing(401, "who?"), UserError, "refuses the API key"),
        (failing(403, "no"), UserError, "refuses the API key"),
        (failing(404, "no model gpt"), UserError, "no such model or path: .*no model gpt"),
        (failing(429, "slow down"), EngineError, "slow down"),
        (HTMLResponse("<html>hello</html>"), EngineError, "does not speak the OpenAI API"),
    ],
    ids=["401", "403", "404", "429", "web page"],
)
def test_a_server_that_cannot_be_used_is_a_sentence(
    response: Response, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        flow(response)


@pytest.mark.parametrize(
    "models",
    [
        HTMLResponse("<html>hello</html>"),
        JSONResponse({"hello": 1}),
        JSONResponse([]),
        Response("not json", media_type="application/json"),
    ],
    ids=["web page", "other json", "list", "broken"],
)
def test_a_web_page_instead_of_models_is_a_sentence(models: Response) -> None:
    """What an address without /v1 often gives."""
    with serving(Scripted([], models)) as url, pytest.raises((UserError, EngineError)):
        run_flow(url)


def test_a_server_without_models_is_said() -> None:
    empty = JSONResponse({"object": "list", "data": []})
    with serving(Scripted([], empty)) as url, pytest.raises(UserError, match="lists no model"):
        run_flow(url)


def test_the_named_model_and_the_key_are_used() -> None:
    value, server = flow(calling(WEATHER, TARIFF), ANSWER, model="mine", api_key="s3cret")
    assert value["served"] == "mine"
    assert server.requests[0]["model"] == "mine"
    assert server.keys == ["Bearer s3cret"] * 2
    assert "s3cret" not in json.dumps(value)


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    value, _ = flow(calling(WEATHER, TARIFF), ANSWER)
    assert value["passed"]


def test_nobody_listening_is_said_with_the_next_command() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UserError, match="Nobody answers") as caught:
        run_flow(f"http://127.0.0.1:{port}/v1")
    assert "formosa serve" in caught.value.hint


def test_without_the_client_the_hint_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(UserError, match="official `openai` client") as caught:
        run_flow("http://127.0.0.1:1/v1")
    assert caught.value.hint == "pip install openai"


@pytest.mark.parametrize("place", ["Taipei", "台北", "臺北市", "Taipei City, Taiwan", "TAIPEI"])
def test_the_demonstration_knows_taipei_by_all_its_names(place: str) -> None:
    assert "攝氏 26 度" in get_weather(place, "celsius")
    assert "華氏 79 度" in get_weather(place, "fahrenheit")


def test_the_demonstration_knows_nothing_else() -> None:
    """A model that asks for the wrong thing must not get the right answer."""
    assert "26" not in get_weather("Tokyo", "celsius")
    assert "32" not in search("天氣")
    assert "32%" in search("Taiwan TARIFF policy")
