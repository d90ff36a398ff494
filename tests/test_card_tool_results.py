"""Pairing by position in the many ways that people write it, and what is no such thing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.card.checks.finding import Finding
from formosa.card.checks.tool_results import shown_calls, tool_results
from formosa.card.verify import read_subject


def found(folder: Path, *blocks: str, language: str = "python") -> list[Finding]:
    text = "".join(f"```{language}\n{block}\n```\n\n" for block in blocks)
    (folder / "README.md").write_text(text)
    return list(tool_results(read_subject(folder / "README.md")[0]))


@pytest.mark.parametrize(
    ("code", "function", "number"),
    [
        ("search(**json.loads(m.tool_calls[0].function.arguments))", "search", 0),
        ("f(**json.loads(r.choices[0].message.tool_calls[3].function.arguments))", "f", 3),
        ("x = {'content': f(**loads(tool_calls[1].function.arguments))}", "f", 1),
        ("print(f(**json.loads(calls[2].function.arguments)))", "f", 2),
        ("f(**eval(m.tool_calls[0].function.arguments))", "f", 0),
        ("f(json.loads(m.tool_calls[0].function.arguments)['q'])", "f", 0),
        ("async def g():\n    await f(**json.loads(m.tool_calls[0].function.arguments))", "f", 0),
    ],
)  # fmt: skip
def test_a_function_that_always_gets_the_same_call(
    tmp_path: Path, code: str, function: str, number: int
) -> None:
    (finding,) = found(tmp_path, code)
    assert (finding.code, finding.severity) == ("result-by-position", "error")
    assert finding.message.startswith(f"{function} is given the arguments of call {number},")
    assert "tool_call_id" in finding.message or "call.id" in finding.message


@pytest.mark.parametrize(
    "code",
    [
        "for call in m.tool_calls:\n    f(**json.loads(call.function.arguments))",
        "functions[m.tool_calls[0].function.name](**json.loads(m.tool_calls[0].function.arguments))",
        "getattr(tools, name)(**json.loads(m.tool_calls[0].function.arguments))",
        "run(m.tool_calls[0].function.name, m.tool_calls[0].function.arguments)",
        "print(m.tool_calls[0])",
        "arguments = json.loads(m.tool_calls[0].function.arguments)",
        "json.loads(m.tool_calls[0].function.arguments)",
        "first = m.tool_calls[0]",
        "f(**options[0])",
        "f(**json.loads(results[0].text))",
        "zip(names, m.tool_names)",
        "zip(m.tool_calls)",
        "zip(m.tool_calls, n.tool_calls)",
        "enumerate(m.tool_calls)",
    ],
)
def test_code_that_does_no_such_thing(tmp_path: Path, code: str) -> None:
    assert found(tmp_path, code) == []


@pytest.mark.parametrize(
    "code",
    [
        "for a, b in zip(m.tool_calls, results): pass",
        "x = dict(zip([c.id for c in m.tool_calls], results))",
        "pairs = [p for p in zip(results, r.choices[0].message.tool_calls, strict=True)]",
    ],
)
def test_calls_and_results_side_by_side(tmp_path: Path, code: str) -> None:
    (finding,) = found(tmp_path, code)
    assert "side by side" in finding.message


def test_the_line_is_that_of_the_call(tmp_path: Path) -> None:
    code = "x = 1\n\nmessages = [\n f(**json.loads(m.tool_calls[0].function.arguments)),\n]"
    (finding,) = found(tmp_path, "y = 2", code)
    lines = (tmp_path / "README.md").read_text().split("\n")
    assert lines[finding.line - 1].startswith(" f(**")


@pytest.mark.parametrize(
    ("printed", "contradicts"),
    [
        (("weather", "search"), True),  # call 0 is another function
        (("search", "weather"), False),  # it fits, by luck
        (("weather", "news"), False),  # the card prints no call of this function
        ((), False),
    ],
)
def test_the_order_that_the_card_prints_is_held_against_it(
    tmp_path: Path, printed: tuple[str, ...], contradicts: bool
) -> None:
    calls = ", ".join(f"Call(function=Function(arguments='{{}}', name='{n}'))" for n in printed)
    text = (
        "```python\nsearch(**json.loads(m.tool_calls[0].function.arguments))\n```\n"
        f"```json\n[{calls}]\n```\n"
    )
    (tmp_path / "README.md").write_text(text)
    (finding,) = tool_results(read_subject(tmp_path / "README.md")[0])
    assert ("the card itself prints" in finding.message) == contradicts
    assert finding.severity == "error"


def test_code_that_does_not_parse_is_somebody_elses_finding(tmp_path: Path) -> None:
    assert found(tmp_path, "search(**json.loads(m.tool_calls[0].function.arguments)") == []


@given(st.text(alphabet="Function(arguments='{}\", name=)\\[]: \n"))
def test_any_text_may_stand_in_a_block(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "README.md").write_text(f"~~~~~\n{text}\n~~~~~\n")
    for call in shown_calls(read_subject(folder / "README.md")[0]):
        assert call.name
