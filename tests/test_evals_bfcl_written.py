"""Calls that a model writes as text: Python, Java, JavaScript, and the literals in them.

That the reference reads Python calls and literals in the same way is held, on generated text, in
test_evals_bfcl_upstream.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.chat.message import Message
from formosa.engines.protocol import ChatReply
from formosa.evals.bfcl import python_calls, source_calls
from formosa.evals.bfcl.items import BfclItem
from formosa.evals.bfcl.literals import LONGEST, java_value, javascript_value
from formosa.evals.bfcl.python_calls import decode_python
from formosa.evals.bfcl.source_calls import decode_source
from formosa.evals.bfcl.task import _scorers, ask_prompting
from formosa.evals.bfcl.verdict import DataDefectError
from formosa.evals.task import Sample, ScoreRecord

# --- Python --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("[f(a=1, b='x')]", [{"f": {"a": 1, "b": "x"}}]),
        ("f(a=1)", [{"f": {"a": 1}}]),
        ("f(a=1), g()", [{"f": {"a": 1}}, {"g": {}}]),
        ("```\n[f(a=1)]\n```", [{"f": {"a": 1}}]),
        ("[math.area(r=2.5)]", [{"math.area": {"r": 2.5}}]),
        ("[f(a=[1, -2], b={'k': (3,)})]", [{"f": {"a": [1, -2], "b": {"k": (3,)}}}]),
        ("[f(a=2*3.5 + 1)]", [{"f": {"a": 8.0}}]),
        ("[f(a='x' * 3, b=2**10, c=7//2)]", [{"f": {"a": "xxx", "b": 1024, "c": 3}}]),
        # Oddities of the reference.
        ("[f(1, a=2)]", [{"f": {"a": 2}}]),
        ("[f(a=+1, b=not True)]", [{"f": {"a": -1, "b": -1}}]),
        ("[f(a=true)]", [{"f": {"a": "true"}}]),
        ("[f(a=g(1), b=g(x=1))]", [{"f": {"a": "g(1)", "b": {"g": {"x": 1}}}}]),
        ("[f(a=1, a=2)]", [{"f": {"a": 2}}]),
        ("[f()()]", [{"": {}}]),
        ("[]", []),
    ],
)  # fmt: skip
def test_python_calls_are_decoded(text: str, calls: list[Any]) -> None:
    assert decode_python(text).calls == calls


@pytest.mark.parametrize(
    "text",
    [
        "",
        "It is sunny.",
        "```python\n[f(a=1)]\n```",
        "[f(a=1)] is my answer",
        "[f(a=b.c)]",
        "[f(a={1, 2})]",
        "[f(a=1]",
        "[1, 2]",
        "[f(a='\x00')]",
        "[f(a={[]: 1})]",
        "(" * 5000,
        "[" * 5000 + "]" * 5000,
        "[f(a=" + "-" * 9000 + "1)]",
        "[f(a=" + "1+" * 4000 + "1)]",
        "[f(a='" + "x" * 30_000 + "')]",
    ],
)
def test_what_is_no_python_call_has_a_reason(text: str) -> None:
    decoded = decode_python(text)
    assert decoded.calls is None
    assert 0 < len(decoded.reason) < 400


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('pathlib').Path('{path}').touch() + 1",
        "1 + open('{path}', 'w').write('x')",
        "(lambda: open('{path}', 'w'))() + 1",
        "'%s' % open('{path}', 'w')",
        "[].append(1) + open('{path}', 'w')",
        "lambda: open('{path}', 'w')",
    ],
)
def test_nothing_that_a_model_writes_is_run(tmp_path: Path, expression: str) -> None:
    """The reference evaluates any arithmetic expression, calls in it included."""
    path = tmp_path / "touched"
    for lenient in (False, True):
        decoded = decode_python(
            f"[f(a={expression.replace('{path}', str(path))})]", lenient=lenient
        )
        assert decoded.calls is None
    assert not path.exists()


@pytest.mark.parametrize(
    "expression",
    ["9**9**9**9", "2**100000", "'x' * 10**9", "[0] * 10**9", "10**9 * [0]", "'%1000000000d' % 1",
     "1 << 10**9", "(9**999)**999", "1/0", "0**-1", "'a' + 1", "-'a' + 1", "1e308*10 // 0"],
)  # fmt: skip
def test_arithmetic_has_limits(expression: str) -> None:
    assert decode_python(f"[f(a={expression})]").calls is None


@given(st.text(alphabet="[]{}()f=,.'\"+-*1a \n`~<>:\\", max_size=60), st.booleans())
def test_no_text_makes_a_decoder_raise(text: str, lenient: bool) -> None:
    for decoded in (decode_python(text, lenient=lenient), decode_source(text)):
        assert (decoded.calls is None) == bool(decoded.reason)


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("```python\n[f(a=1)]\n```", [{"f": {"a": 1}}]),
        ("Sure!\n```\n[f(a=1)]\n```\nDone.", [{"f": {"a": 1}}]),
        ("The call is [f(a=1)].", [{"f": {"a": 1}}]),
        ("[f(a=true, b=null)]", [{"f": {"a": True, "b": None}}]),
        ("[f(a=+1, b=not True, c=-1)]", [{"f": {"a": 1, "b": False, "c": -1}}]),
        ("[f(a=Unit.METRIC, b={1, 2})]", [{"f": {"a": "Unit.METRIC", "b": [1, 2]}}]),
        ("[f(a=[1])]", [{"f": {"a": [1]}}]),
    ],
)  # fmt: skip
def test_the_lenient_decoder_takes_more(text: str, calls: list[Any]) -> None:
    assert decode_python(text, lenient=True).calls == calls


# --- Java and JavaScript -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('[Cal.add(day=5, note="x, y")]', [{"Cal.add": {"day": "5", "note": "x, y"}}]),
        ("f(a='b')", [{"f": {"a": "b"}}]),
        ("[f()]", [{"f": {}}]),
        ("[f(a=1);]", [{"f": {"a": "1"}}]),
        ("[f(a=1), g(b=2)]", [{"f": {"a": "1"}}, {"g": {"b": "2"}}]),
        ("f(m=new HashMap<String, Integer>() {{ put(\"a\", 1); }}, n=2L)",
         [{"f": {"m": 'new HashMap<String, Integer>() {{ put("a", 1); }}', "n": "2L"}}]),
        ("[f(cb=(x, y) => x + y, o={a: [1, 2]})]",
         [{"f": {"cb": "(x, y) => x + y", "o": "{a: [1, 2]}"}}]),
        ('f(a="b" + "c")', [{"f": {"a": '"b" + "c"'}}]),
        ('f(a="it\\"s")', [{"f": {"a": 'it\\"s'}}]),
        ("f(名=\"台北\")", [{"f": {"None": '名="台北"'}}]),
        ("f(5)", [{"f": {"None": "5"}}]),
        ("[]", []),
    ],
)  # fmt: skip
def test_source_calls_are_decoded_with_their_source_text(text: str, calls: list[Any]) -> None:
    assert decode_source(text).calls == calls


@pytest.mark.parametrize(
    "text", ["", "Sorry.", "f(a=1", "f(a=(1])", 'f(a="x)', "f(a=1) and more", "x" * 30_000]
)
def test_what_is_no_source_call_has_a_reason(text: str) -> None:
    assert decode_source(text).reason


@pytest.mark.parametrize(
    ("text", "declared", "inner", "value"),
    [
        ("5", "integer", None, 5),
        ("5L", "long", None, 5),
        ("5", "long", None, "5"),
        ("5.5f", "float", None, 5.5),
        ("5.5", "float", None, "5.5"),
        ("1e3", "double", None, 1000.0),
        ("true", "boolean", None, True),
        ("True", "boolean", None, "True"),
        ('"x"', "String", None, '"x"'),
        ("new int[]{1, 2}", "Array", "integer", [1, 2]),
        ('new String[]{"a,b"}', "Array", "String", ['"a', 'b"']),
        ('new ArrayList<>(Arrays.asList("a", "b"))', "ArrayList", "String", ["a", "b"]),
        ("new ArrayList<Integer>() {{ add(1); add(2); }}", "ArrayList", "integer", [1, 2]),
        ("new ArrayList<>()", "ArrayList", "integer", []),
        ("new ArrayList<>() {{ }}", "ArrayList", "integer", []),
        ("listOf(1)", "ArrayList", "integer", "listOf(1)"),
        ('new HashMap<String, Object>() {{ put("k", 1); put("l", true); }}', "HashMap", None,
         {"k": 1, "l": True}),
        ("new HashMap<>()", "HashMap", None, {}),
        ("9" * (LONGEST + 1), "integer", None, "9" * (LONGEST + 1)),
    ],
)  # fmt: skip
def test_java_literals(text: str, declared: str, inner: str | None, value: Any) -> None:
    assert repr(java_value(text, declared, inner)) == repr(value)


@pytest.mark.parametrize(
    ("text", "declared", "inner", "value"),
    [
        ("'x'", "String", None, "x"),
        ("x", "String", None, "x"),
        ("5", "integer", None, 5),
        ("5.0", "integer", None, "5.0"),
        ("5", "float", None, 5.0),
        ("5n", "Bigint", None, 5),
        ("false", "Boolean", None, False),
        ("[1, 2]", "array", "integer", [1, 2]),
        ("['a', 'b']", "array", "String", ["a", "b"]),
        ("new Array(1, 2)", "array", "float", [1.0, 2.0]),
        ("[[1, 2], [3]]", "array", "array", [[1, 2], [3]]),
        ("{a: 1, 'b': 'x', c: [1, true]}", "dict", None, {"a": 1, "b": "x", "c": [1, True]}),
        ("{}", "dict", None, {}),
        ("{a: {b: 1}}", "dict", None, {"a": "{b: 1"}),
        ("x => x", "any", None, "x => x"),
    ],
)
def test_javascript_literals(text: str, declared: str, inner: str | None, value: Any) -> None:
    assert repr(javascript_value(text, declared, inner)) == repr(value)


@pytest.mark.parametrize("declared", ["Set", "Queue", "Stack", "Hashtable", "unheard-of"])
def test_a_type_that_the_reference_crashes_on_is_a_defect_of_the_data(declared: str) -> None:
    for read in (java_value, javascript_value):
        with pytest.raises(DataDefectError, match=declared):
            read("x", declared)


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ("[" + "[1]," * 480 + "x", "array"),
        ("[[" + "]" * 1900, "array"),
        ("new Array([" + "],[" * 600, "array"),
        ("new HashMap<>() {" + " " * 1900, "HashMap"),
        ("new ArrayList<>() {{" + " " * 1900, "ArrayList"),
        ('new HashMap<>() {{ ' + 'put("",' * 270 + "}", "HashMap"),
        ("{" + "a:" * 900 + "}", "dict"),
    ],
)  # fmt: skip
@pytest.mark.timeout(60)
def test_a_literal_that_never_ends_does_not_take_for_ever(text: str, declared: str) -> None:
    """A backtracking engine would try 2**480 ways to cut the first of these."""
    read = java_value if declared[0].isupper() else javascript_value
    assert read(text, declared, "integer") is not None


# --- the task in prompting mode ------------------------------------------------------------------

ADD = {
    "name": "math.add",
    "description": "Adds.",
    "parameters": {
        "type": "dict",
        "properties": {"a": {"type": "integer", "description": "One."}},
        "required": ["a"],
    },
}


def sample(category: str = "simple_python") -> Sample[BfclItem]:
    answers = () if "relevance" in category else ({"math.add": {"a": [2]}},)
    accepted = ({"math.add": {"a": ["2"]}},) if "java" in category else answers
    doc = ADD
    if "java" in category:
        doc = {**ADD, "parameters": {**ADD["parameters"], "properties": {  # type: ignore[dict-item]
            "a": {"type": "any", "description": "One."}}}}  # fmt: skip
    item = BfclItem("x_1", category, (Message("user", "Add."),), (doc,), accepted)
    return Sample("x_1", item, category)


def score(text: str, category: str = "simple_python", scorer: str = "ast") -> ScoreRecord:
    reply = ChatReply(Message("assistant", text), "stop")
    return _scorers(True)[scorer](sample(category), 0, 0, reply)


def test_the_docs_stand_in_the_system_prompt_and_no_tools_are_given() -> None:
    asked = ask_prompting(sample(), 0, 0)
    assert asked.tools == ()
    assert '"name": "math.add"' in asked.messages[0].content
    assert asked.messages[1] == Message("user", "Add.")


@pytest.mark.parametrize(
    ("text", "outcome", "lenient"),
    [
        ("[math.add(a=2)]", "correct", "correct"),
        ("[math_add(a=2)]", "wrong", "wrong"),  # the model was shown the dot
        ("[math.add(a=3)]", "wrong", "wrong"),
        ("```python\n[math.add(a=2)]\n```", "unparsed", "correct"),
        ("I cannot.", "unparsed", "unparsed"),
    ],
)
def test_outcomes_in_prompting_mode(text: str, outcome: str, lenient: str) -> None:
    assert score(text).outcome == outcome
    assert score(text, scorer="ast_lenient").outcome == lenient


@pytest.mark.parametrize(
    ("category", "decoder"),
    [("simple_python", python_calls.DECODER), ("simple_java", source_calls.DECODER)],
)
def test_a_failure_names_the_decoder(category: str, decoder: str) -> None:
    assert decoder in score("Sorry.", category).why


def test_java_calls_are_judged_by_their_source_text() -> None:
    assert score("[math.add(a=2)]", "simple_java").outcome == "correct"
    assert score("[math.add(a=3)]", "simple_java").outcome == "wrong"


def test_relevance_and_irrelevance_in_prompting_mode() -> None:
    for scorer in ("ast", "ast_lenient"):
        assert score("Sorry.", "live_irrelevance", scorer).outcome == "correct"
        assert score("[f(a=1)]", "live_irrelevance", scorer).outcome == "wrong"
        assert score("Sorry.", "live_relevance", scorer).outcome == "unparsed"
        assert score("[f(a=1)]", "live_relevance", scorer).outcome == "correct"
        assert score("[]", "live_relevance", scorer).outcome == "unparsed"


def test_a_value_that_json_has_no_word_for_is_logged_in_pythons_spelling() -> None:
    assert score("[math.add(a={(1, 2): 2j})]").answer == "[{'math.add': {'a': {(1, 2): 2j}}}]"
