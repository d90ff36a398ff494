"""Our reading of the BFCL rules against the reference itself.

The reference's own code is taken out of its wheel and run here, and only here, with stubs in the
place of its model table and vendor handlers. Published numbers were made with it, so "exact" means:
the same verdict and the same error type, on right answers and on wrong ones.
"""

from __future__ import annotations

import ast
import asyncio
import copy
import json
import random
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.evals.bfcl.checker import NOT_CALLS, check, is_calls
from formosa.evals.bfcl.docs import tools
from formosa.evals.bfcl.items import CATEGORIES, WHEEL, BfclItem, load
from formosa.evals.bfcl.values import TYPES
from formosa.evals.bfcl.verdict import DATA_ERROR
from formosa.evals.registry import load_task
from formosa.evals.run import run_task
from formosa.results.metrics import Outcomes, outcomes
from formosa.wheels import fetch_member

AST_CATEGORIES = tuple(category for category in CATEGORIES if category != "irrelevance")
UPSTREAM = {
    "eval_checker/ast_eval/ast_checker.py": (
        "2aae7a68461a8f76c0be3894c8901b66b56967a1989d3ab066051e3fb97f1538"
    ),
    "model_handler/utils.py": "f78fd3edce603b333dc9a88ee2c041dc547d51f71aa449ffebc044c4b1e353f3",
    "constants/type_mappings.py": (
        "1702fb67afbe2c492608e58e2b7d02e46381f50166b47f3c952f76e34c7cd3bd"
    ),
    "utils.py": "3703b9bb63f83581c60b8e0b82aac74c360c9ca781e99e7d4eb28b0cce2285dd",
}

NO_MATCH = "parallel_function_checker_no_order:cannot_find_match"

Call = dict[str, Any]
Calls = list[Any]


def _source(member: str) -> str:
    path = fetch_member(WHEEL, f"bfcl_eval/{member}", sha256=UPSTREAM[member])
    return path.read_text(encoding="utf-8")


def _functions(member: str, names: set[str], namespace: dict[str, Any]) -> dict[str, Any]:
    """Single functions out of a file whose imports are not wanted."""
    tree = ast.parse(_source(member))
    wanted = [node for node in tree.body if getattr(node, "name", None) in names]
    assert len(wanted) == len(names)
    exec(compile(ast.Module(wanted, []), member, "exec"), namespace)
    return namespace


class Upstream:
    """The reference: its checker, its shape test and its conversion of function docs."""

    def __init__(self) -> None:
        mappings = ModuleType("type_mappings")
        exec(_source("constants/type_mappings.py"), mappings.__dict__)
        stubs: dict[str, dict[str, Any]] = {
            "bfcl_eval.constants.enums": {
                "Language": SimpleNamespace(PYTHON=1, JAVA=2, JAVASCRIPT=3)
            },
            "bfcl_eval.constants.model_config": {
                "MODEL_CONFIG_MAPPING": {
                    "dots": SimpleNamespace(underscore_to_dot=False),
                    "underscores": SimpleNamespace(underscore_to_dot=True),
                }
            },
            "bfcl_eval.constants.type_mappings": vars(mappings),
            "bfcl_eval.eval_checker.ast_eval.type_convertor.java_type_converter": {
                "java_type_converter": None
            },
            "bfcl_eval.eval_checker.ast_eval.type_convertor.js_type_converter": {
                "js_type_converter": None
            },
        }
        modules: dict[str, ModuleType] = {}
        for name, content in stubs.items():
            modules[name] = ModuleType(name)
            vars(modules[name]).update(content)
        checker = ModuleType("ast_checker")
        with patch.dict(sys.modules, modules):
            exec(_source("eval_checker/ast_eval/ast_checker.py"), checker.__dict__)
        self._check = checker.ast_checker
        self.well_formed = _functions("utils.py", {"is_function_calling_format_output"}, {})[
            "is_function_calling_format_output"
        ]
        styles = SimpleNamespace(**{
            name: name
            for name in ("OPENAI_COMPLETIONS", "OPENAI_RESPONSES", "MISTRAL", "GOOGLE", "OSSMODEL",
                         "ANTHROPIC", "COHERE", "AMAZON", "NOVITA_AI", "WRITER", "FIREWORK_AI")
        })  # fmt: skip
        convert = _functions(
            "model_handler/utils.py",
            {"_cast_to_openai_type", "convert_to_tool"},
            {
                "GORILLA_TO_OPENAPI": mappings.GORILLA_TO_OPENAPI,
                "ModelStyle": styles,
                "copy": copy,
                "json": json,
                "re": __import__("re"),
            },
        )
        hint = _functions(
            "utils.py",
            {"_func_doc_language_specific_pre_processing", "_get_language_specific_hint"},
            {"is_java": lambda category: False, "is_js": lambda category: False},
        )

        def to_tools(functions: list[Call]) -> list[Any]:
            hinted = hint["_func_doc_language_specific_pre_processing"](
                copy.deepcopy(functions), "simple_python"
            )
            found: list[Any] = convert["convert_to_tool"](
                hinted, mappings.GORILLA_TO_OPENAPI, styles.OPENAI_COMPLETIONS
            )
            return found

        self.to_tools = to_tools

    def verdict(
        self, functions: Any, calls: Any, answers: Any, category: str, *, dots_replaced: bool
    ) -> tuple[bool, str]:
        """(right, error type); an error type of "crash" where the reference raises."""
        if not self.well_formed(calls):
            return False, NOT_CALLS
        try:
            found = self._check(
                list(functions),
                copy.deepcopy(calls),
                list(answers),
                1,
                category,
                "underscores" if dots_replaced else "dots",
            )
        except Exception:  # whatever it trips over: it aborts the whole evaluation
            return False, "crash"
        return found["valid"], "" if found["valid"] else found["error_type"]


@pytest.fixture(scope="module")
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture(scope="module")
def items() -> list[BfclItem]:
    return [item for category in AST_CATEGORIES for item in load(category).items]


def assert_same(
    upstream: Upstream, item: BfclItem, calls: Any, label: str, *, dots_replaced: bool
) -> tuple[str, str]:
    """Hold ours against theirs; return both error types. Where theirs crashes ours is not right."""
    theirs = upstream.verdict(
        item.functions, calls, item.answers, item.category, dots_replaced=dots_replaced
    )
    ours = check(item.functions, calls, item.answers, item.category, dots_replaced=dots_replaced)
    note = f"{label} {item.id}: {calls!r}\ntheirs {theirs}\nours   {ours}"
    if theirs[1] == "crash":
        assert not ours.ok, note
    else:
        assert (ours.ok, ours.kind) == theirs, note
    return theirs[1], ours.kind


# --- right answers -------------------------------------------------------------------------------


def right_calls(item: BfclItem, choose: Callable[[list[Any]], Any], *, dots: bool) -> Calls:
    """The accepted answers of an item as a model would write them."""
    docs = {doc["name"]: doc for doc in item.functions}
    calls = []
    for answer in item.answers:
        [(name, accepted)] = answer.items()
        properties = docs[name]["parameters"]["properties"]
        arguments = {
            parameter: _argument(choose(given), properties[parameter], choose)
            for parameter, values in accepted.items()
            # Two items accept optional parameters that their schema lacks.
            if parameter in properties and (given := [value for value in values if value != ""])
        }
        calls.append({name if dots else name.replace(".", "_"): arguments})
    return calls


def _argument(value: Any, doc: Call, choose: Callable[[list[Any]], Any]) -> Any:
    """Dicts hold a list of accepted values for each of their keys."""
    if doc["type"] == "dict" and isinstance(value, dict):
        return {
            key: choose(given)
            for key, values in value.items()
            if (given := [one for one in values if one != ""])
        }
    if doc["type"] in ("array", "tuple") and doc["items"]["type"] == "dict":
        return [_argument(one, {"type": "dict"}, choose) for one in value]
    return copy.deepcopy(value)


def first(values: list[Any]) -> Any:
    return values[0]


def last(values: list[Any]) -> Any:
    return values[-1]


@pytest.mark.parametrize("choose", [first, last])
def test_accepted_answers_are_right(items: list[BfclItem], choose: Callable[..., Any]) -> None:
    """All 1,000 Python items can be solved, with the first and with the last accepted value."""
    assert len(items) == 1000
    failed = {
        item.id: verdict
        for item in items
        for dots in (True, False)
        if not (
            verdict := check(
                item.functions,
                right_calls(item, choose, dots=dots),
                item.answers,
                item.category,
                dots_replaced=not dots,
            )
        ).ok
    }
    assert failed == {}


def test_a_model_that_knows_all_answers_scores_full_marks_through_the_whole_runner(
    tmp_path: Path,
) -> None:
    """Real questions: tools into the prompt, the reply parsed, decoded, judged and logged."""
    task = load_task("bfcl-parallel-multiple")
    known = {one.content.messages[-1].content: one.content for one in task.samples}

    def say(prompt: str) -> str:
        [item] = [item for question, item in known.items() if question in prompt]
        calls = [
            {"name": name, "arguments": arguments}
            for call in right_calls(item, first, dots=False)
            for name, arguments in call.items()
        ]
        return "\n".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in calls)

    model = TemplatedChat(ScriptedEngine(say, chunk=50))
    log = asyncio.run(run_task(task, model, tmp_path / "log.jsonl", limit=25))
    assert outcomes(log, "ast") == Outcomes(25, 0, 0, 0, 0)


# --- mutations -----------------------------------------------------------------------------------


class Place(NamedTuple):
    """An argument inside the calls of an item."""

    arguments: Call
    parameter: str

    @property
    def value(self) -> Any:
        return self.arguments[self.parameter]


def places(calls: Calls, kind: type | tuple[type, ...]) -> list[Place]:
    """The arguments whose value has exactly one of these types, dicts inside included."""
    kinds = kind if isinstance(kind, tuple) else (kind,)

    def within(mapping: Call) -> Iterator[Place]:
        for key, value in mapping.items():
            if type(value) in kinds:
                yield Place(mapping, key)
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, dict):
                    yield from within(inner)

    return [place for call in calls for arguments in call.values() for place in within(arguments)]


Mutation = Callable[[Calls, random.Random, BfclItem], Calls | None]
MUTATIONS: dict[str, Mutation] = {}


def mutation(function: Mutation) -> Mutation:
    MUTATIONS[getattr(function, "__name__", "")] = function
    return function


def change(name: str, kind: type | tuple[type, ...], edit: Callable[[Any], Any]) -> None:
    """A mutation that edits one argument of that type, drawn by chance."""

    def mutate(calls: Calls, chance: random.Random, item: BfclItem) -> Calls | None:
        found = places(calls, kind)
        if not found:
            return None
        place = chance.choice(found)
        place.arguments[place.parameter] = edit(place.value)
        return calls

    MUTATIONS[name] = mutate


def one_call(calls: Calls, chance: random.Random) -> tuple[Call, str]:
    call = chance.choice(calls)
    return call, next(iter(call))


@mutation
def call_left_out(calls: Calls, chance: random.Random, item: BfclItem) -> Calls:
    calls.pop(chance.randrange(len(calls)))
    return calls


@mutation
def call_twice(calls: Calls, chance: random.Random, item: BfclItem) -> Calls:
    return [*calls, copy.deepcopy(chance.choice(calls))]


@mutation
def one_call_in_place_of_another(
    calls: Calls, chance: random.Random, item: BfclItem
) -> Calls | None:
    if len(calls) < 2:
        return None
    calls[-1] = copy.deepcopy(calls[0])
    return calls


@mutation
def calls_in_another_order(calls: Calls, chance: random.Random, item: BfclItem) -> Calls:
    chance.shuffle(calls)
    return calls


@mutation
def no_calls(calls: Calls, chance: random.Random, item: BfclItem) -> Calls:
    return []


@mutation
def name_in_capitals(calls: Calls, chance: random.Random, item: BfclItem) -> Calls:
    call, name = one_call(calls, chance)
    call[name.upper()] = call.pop(name)
    return calls


@mutation
def name_of_another_function(calls: Calls, chance: random.Random, item: BfclItem) -> Calls | None:
    if len(item.functions) < 2:
        return None
    call, name = one_call(calls, chance)
    arguments = call.pop(name)
    call[item.functions[-1]["name"].replace(".", "_")] = arguments
    return calls


@mutation
def dots_and_underscores_exchanged(
    calls: Calls, chance: random.Random, item: BfclItem
) -> Calls | None:
    call, name = one_call(calls, chance)
    other = name.replace(".", "_") if "." in name else name.replace("_", ".", 1)
    if other == name:
        return None
    call[other] = call.pop(name)
    return calls


@mutation
def two_names_in_one_call(calls: Calls, chance: random.Random, item: BfclItem) -> Calls:
    calls[0]["another"] = {}
    return calls


@mutation
def arguments_as_a_list(calls: Calls, chance: random.Random, item: BfclItem) -> Calls:
    call, name = one_call(calls, chance)
    call[name] = list(call[name].values())
    return calls


@mutation
def no_arguments(calls: Calls, chance: random.Random, item: BfclItem) -> Calls:
    call, name = one_call(calls, chance)
    call[name] = {}
    return calls


@mutation
def argument_left_out(calls: Calls, chance: random.Random, item: BfclItem) -> Calls | None:
    call, name = one_call(calls, chance)
    if not call[name]:
        return None
    call[name].pop(chance.choice(list(call[name])))
    return calls


@mutation
def optional_arguments_left_out(calls: Calls, chance: random.Random, item: BfclItem) -> Calls:
    docs = {doc["name"].replace(".", "_"): doc["parameters"]["required"] for doc in item.functions}
    for call in calls:
        [(name, arguments)] = call.items()
        call[name] = {
            key: value for key, value in arguments.items() if key in docs[name.replace(".", "_")]
        }
    return calls


@mutation
def argument_too_many(calls: Calls, chance: random.Random, item: BfclItem) -> Calls:
    call, name = one_call(calls, chance)
    call[name]["verbose"] = True
    return calls


@mutation
def argument_with_another_name(calls: Calls, chance: random.Random, item: BfclItem) -> Calls | None:
    call, name = one_call(calls, chance)
    if not call[name]:
        return None
    parameter = chance.choice(list(call[name]))
    call[name][f"{parameter}_"] = call[name].pop(parameter)
    return calls


@mutation
def arguments_in_another_order(calls: Calls, chance: random.Random, item: BfclItem) -> Calls:
    """With a wrong value, so that the order decides which error comes first."""
    call, name = one_call(calls, chance)
    pairs = [*call[name].items(), ("verbose", True)]
    chance.shuffle(pairs)
    call[name] = dict(pairs)
    return calls


@mutation
def every_parameter_of_the_schema(calls: Calls, chance: random.Random, item: BfclItem) -> Calls:
    """Optional parameters filled with values of the right type that nobody accepts."""
    filler = {str: "x", int: 7, float: 7.5, bool: True, list: [], dict: {}}
    docs = {
        doc["name"].replace(".", "_"): doc["parameters"]["properties"] for doc in item.functions
    }
    call, name = one_call(calls, chance)
    for parameter, doc in docs[name.replace(".", "_")].items():
        call[name].setdefault(parameter, filler[TYPES[doc["type"]]])
    return calls


NUMBERS = (int, float)
change("number_as_text", NUMBERS, str)
change("number_plus_one", NUMBERS, lambda value: value + 1)
change("number_negative", NUMBERS, lambda value: -value)
change("number_in_a_list", NUMBERS, lambda value: [value])
change("integer_as_float", int, float)
change("float_as_integer", float, int)
change("huge_integer", NUMBERS, lambda value: 10**400)
change("boolean_as_number", bool, int)
change("boolean_as_text", bool, str)
change("boolean_inverted", bool, lambda value: not value)
change("number_as_boolean", NUMBERS, bool)
change("null", (str, *NUMBERS, bool, list, dict), lambda value: None)
change("text_in_capitals", str, str.upper)
change("text_with_ignored_characters", str, lambda value: f" {value}. ,/-_*^")
change("text_without_spaces", str, lambda value: value.replace(" ", ""))
change("text_with_other_quotes", str, lambda value: value.translate(str.maketrans("'\"", "\"'")))
change("text_with_a_tab", str, lambda value: f"{value}\t")
change("text_with_a_question_mark", str, lambda value: f"{value}?")
change("text_with_a_full_width_space", str, lambda value: f"{value}\u3000")
change("text_empty", str, lambda value: "")
change("text_of_ignored_characters", str, lambda value: "...")
change("text_as_number", str, lambda value: 5)
change("text_in_a_list", str, lambda value: [value])
change("text_as_letters", str, list)
change("list_empty", list, lambda value: [])
change("list_reversed", list, lambda value: value[::-1])
change("list_without_its_last", list, lambda value: value[:-1])
change("list_as_tuple", list, tuple)
change("list_as_text", list, str)
change("list_nested", list, lambda value: [value])
change("list_of_texts", list, lambda value: [str(one) for one in value])
change("list_of_floats", list, lambda value: [float(one) if type(one) is int else one
                                              for one in value])  # fmt: skip
change("list_of_integers", list, lambda value: [int(one) if type(one) is float else one
                                                for one in value])  # fmt: skip
change("list_in_capitals", list, lambda value: [one.upper() if type(one) is str else one
                                                for one in value])  # fmt: skip
change("list_with_a_dict", list, lambda value: [*value, {}])
change("list_with_null", list, lambda value: [None, *value])
change("dict_empty", dict, lambda value: {})
change("dict_without_its_last", dict, lambda value: dict(list(value.items())[:-1]))
change("dict_with_a_key_more", dict, lambda value: {**value, "more": 1})
change("dict_with_other_values", dict, lambda value: dict.fromkeys(value, "x"))
change("dict_as_list", dict, list)
change("dict_as_text", dict, str)


def test_the_reference_agrees_on_mutations(upstream: Upstream, items: list[BfclItem]) -> None:
    """Every kind of mutation on every item it fits, with dots kept and with dots replaced."""
    assert len(MUTATIONS) >= 50
    applied: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for number, item in enumerate(items):
        for label, mutate in MUTATIONS.items():
            chance = random.Random(zlib.crc32(f"{item.id}/{label}".encode()))
            dots = chance.random() < 0.5
            calls = mutate(right_calls(item, chance.choice, dots=dots), chance, item)
            if calls is None:
                continue
            applied[label] += 1
            # Every tenth item with names that don't fit the flag.
            flag = not dots if number % 10 else dots
            theirs, ours = assert_same(upstream, item, calls, label, dots_replaced=flag)
            kinds[theirs] += 1
            # What it crashes on here was written by the "model": an integer too large for a
            # float, and a list of dicts with something else in it.
            assert ours != DATA_ERROR, f"{label} {item.id}"
    assert set(applied) == set(MUTATIONS), "a kind that fits no item tests nothing"
    print(f"{applied.total()} mutations; {dict(kinds)}")
    assert len(kinds) >= 15, "the mutations should reach nearly every rule"


# --- generated data ------------------------------------------------------------------------------

SCALARS = st.sampled_from(
    ["", "a", "A. b", "ab", "'x'", '"x"', 0, 1, 1.0, 2, 2.5, True, False, None]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("pq"), inner, max_size=2)
    ),
    max_leaves=4,
)
PARAMETER_TYPES = st.sampled_from([*TYPES, "array", "dict", "number"])


@st.composite
def one_parameter_items(draw: st.DrawFn) -> tuple[BfclItem, Any]:
    """Docs, accepted values and an argument that need not fit each other at all."""
    doc: Call = {"type": draw(PARAMETER_TYPES)}
    if draw(st.integers(0, 9)):
        doc["items"] = {"type": draw(PARAMETER_TYPES)}
    accepted = draw(st.lists(VALUES, max_size=3))
    near = st.sampled_from(accepted) if accepted else VALUES
    arguments = draw(st.dictionaries(st.sampled_from(["p", "p", "q"]), near | VALUES, max_size=2))
    function = {
        "name": "f",
        "parameters": {
            "type": "dict",
            "properties": {"p": doc},
            "required": draw(st.sampled_from([[], [], ["p"]])),
        },
    }
    item = BfclItem(
        "x", draw(st.sampled_from(AST_CATEGORIES)), (), (function,), ({"f": {"p": accepted}},)
    )
    return item, [{"f": arguments}]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(one_parameter_items())
def test_the_reference_agrees_on_generated_items(case: tuple[BfclItem, Any]) -> None:
    item, calls = case
    theirs, ours = assert_same(_reference(), item, calls, "generated", dots_replaced=True)
    in_a_list = "type_error:nested" if "parallel" not in item.category else NO_MATCH
    assert theirs != "crash" or ours in (DATA_ERROR, in_a_list)


def _reference(found: list[Upstream] = []) -> Upstream:  # noqa: B006 - hypothesis and fixtures don't mix
    if not found:
        found.append(Upstream())
    return found[0]


@given(VALUES | st.lists(st.dictionaries(st.sampled_from("fg"), VALUES, max_size=2), max_size=2))
def test_the_reference_agrees_on_what_a_list_of_calls_is(calls: Any) -> None:
    assert is_calls(calls) == _reference().well_formed(calls)


# --- function docs -------------------------------------------------------------------------------


@pytest.mark.parametrize("category", CATEGORIES)
def test_tools_are_those_of_the_reference_to_the_byte(upstream: Upstream, category: str) -> None:
    """A model is shown the same names, descriptions and schemas, in the same order of keys."""
    for item in load(category).items:
        theirs = [tool["function"] for tool in upstream.to_tools(list(item.functions))]
        ours = [
            {"name": tool.name, "description": tool.description, "parameters": tool.schema()}
            for tool in tools(item.functions)
        ]
        assert json.dumps(ours) == json.dumps(theirs), item.id
