"""The examples, run as their user runs them, against our server with a model that says a script."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.serve.run import serving

EXAMPLES = Path(__file__).parent.parent / "examples"
Run = Callable[[str, str], str]

WEATHER = (
    '<tool_call>\n{"name": "get_weather", "arguments": '
    '{"location": "Taipei", "unit": "celsius"}}\n</tool_call>'
)
SEARCH = (
    '<tool_call>\n{"name": "search", "arguments": {"query": "Trump latest tariffs"}}\n</tool_call>'
)
ANSWER = "臺北 26°C；對台灣課徵 32% 的關稅。"


@contextmanager
def scripted(*calls: str) -> Iterator[tuple[str, ScriptedEngine]]:
    """The base URL of a server whose model makes these calls at once, then answers."""
    engine = ScriptedEngine(["\n".join(calls), ANSWER])
    with serving({"f1": TemplatedChat(engine)}) as url:
        yield url, engine


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs an example as `python EXAMPLE` does, and gives what it printed."""

    def run(example: str, url: str) -> str:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        runpy.run_path(str(EXAMPLES / example), run_name="__main__")
        return capsys.readouterr().out

    return run


def answered(engine: ScriptedEngine) -> list[str]:
    """The results in the order in which the model read them."""
    return [part.partition("\n</tool_response>")[0] for part in
            engine.prompts[1].split("<tool_response>\n")[1:]]  # fmt: skip


def test_the_cards_code_runs_as_it_stands_when_the_calls_come_in_its_order(run: Run) -> None:
    with scripted(SEARCH, WEATHER) as (url, engine):
        printed = run("f1_card.py", url)
    assert "name='get_weather'" in printed
    assert printed.endswith(f"{ANSWER}\n")
    tariffs, weather = answered(engine)
    assert "32%" in tariffs
    assert weather == "Taipei的氣溫是celsius26度,晴朗無風"


def test_the_cards_code_fails_in_the_order_that_the_card_itself_prints(run: Run) -> None:
    """`search` gets the arguments of the weather call. No server can put that right."""
    with (
        scripted(WEATHER, SEARCH) as (url, _),
        pytest.raises(TypeError, match=r"search\(\) got an unexpected keyword argument 'location'"),
    ):
        run("f1_card.py", url)


@pytest.mark.parametrize("example", ["f1_card_fixed.py", "tools_sync.py", "tools_async.py"])
@pytest.mark.parametrize("order", [(WEATHER, SEARCH), (SEARCH, WEATHER)], ids=["ws", "sw"])
def test_by_name_and_id_any_order_is_right(run: Run, example: str, order: tuple[str, str]) -> None:
    with scripted(*order) as (url, engine):
        printed = run(example, url)
    assert printed.endswith(f"{ANSWER}\n")
    results = answered(engine)
    weather = order.index(WEATHER)
    assert results[weather].startswith("Taipei的氣溫是celsius 26 度")
    assert "32%" in results[1 - weather]


def test_the_async_example_shows_the_calls(run: Run) -> None:
    with scripted(WEATHER, SEARCH) as (url, _):
        printed = run("tools_async.py", url)
    assert '→ get_weather({"location": "Taipei", "unit": "celsius"})\n→ search(' in printed


@pytest.mark.parametrize("calls", [[WEATHER], [WEATHER, WEATHER.replace("Taipei", "Kaohsiung")]])
def test_any_number_of_calls_is_answered(run: Run, calls: list[str]) -> None:
    with scripted(*calls) as (url, engine):
        run("f1_card_fixed.py", url)
    assert len(answered(engine)) == len(calls)
