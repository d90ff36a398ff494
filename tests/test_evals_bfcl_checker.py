"""Each rule of the AST checker on the smallest data that shows it, without any download.

That the reference says the same is held in test_evals_bfcl_upstream.py.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.evals.bfcl.checker import check, is_calls
from formosa.evals.bfcl.literals import language_of
from formosa.evals.bfcl.values import check_value, norm
from formosa.evals.bfcl.verdict import ACCEPTED

SIMPLE = "simple_function_checker"
MULTIPLE = "multiple_function_checker"
PARALLEL = "parallel_function_checker_no_order"


def function(name: str, required: tuple[str, ...] = (), **types: Any) -> dict[str, Any]:
    """A function doc; a type such as `["integer"]` is a list of it."""
    properties = {
        parameter: {"type": "array", "items": {"type": kind[0]}}
        if isinstance(kind, list)
        else {"type": kind}
        for parameter, kind in types.items()
    }
    return {
        "name": name,
        "description": "",
        "parameters": {"type": "dict", "properties": properties, "required": list(required)},
    }


WEATHER = function("weather.get", ("city",), city="string", days="integer", unit="string")
ANSWER = {"weather.get": {"city": ["Taipei"], "days": [3], "unit": ["", "celsius"]}}


def judge(calls: Any, category: str = "simple_python", **options: Any) -> str:
    """The error type of calls about the weather; "" when they are right."""
    options = {"functions": [WEATHER], "answers": [ANSWER], "dots_replaced": True, **options}
    return check(calls=calls, category=category, **options).kind


def value_kind(value: Any, accepted: list[Any], kind: str, items: str | None = None) -> str:
    doc = {"type": kind} | ({"items": {"type": items}} if items else {})
    return check_value("p", value, doc, accepted).kind


# --- shape and count -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "calls",
    [
        None,
        "weather.get(city='Taipei')",
        {"weather_get": {}},
        ["weather_get"],
        [{}],
        [{"weather_get": {}, "other": {}}],
        [{"weather_get": ["Taipei"]}],
        [{"weather_get": None}],
    ],
)
def test_what_is_no_list_of_calls_is_a_wrong_format(calls: Any) -> None:
    assert judge(calls) == "ast_decoder:decoder_wrong_output_format"


def test_an_empty_list_is_a_list_of_calls_with_the_wrong_count() -> None:
    assert is_calls([])
    assert judge([]) == f"{SIMPLE}:wrong_count"


@pytest.mark.parametrize(
    ("category", "kind"),
    [
        ("simple_python", f"{SIMPLE}:wrong_count"),
        ("multiple", f"{MULTIPLE}:wrong_count"),
        ("parallel", f"{PARALLEL}:wrong_count"),
        ("parallel_multiple", f"{PARALLEL}:wrong_count"),
        ("live_parallel_multiple", f"{PARALLEL}:wrong_count"),
        ("live_multiple", f"{MULTIPLE}:wrong_count"),
        ("live_simple", f"{SIMPLE}:wrong_count"),
    ],
)
def test_words_in_the_name_of_the_category_choose_the_rule(category: str, kind: str) -> None:
    call = {"weather_get": {"city": "Taipei", "days": 3}}
    assert judge([call, call], category) == kind
    assert judge([call], category) == ""


@pytest.mark.parametrize(
    ("category", "language"),
    [
        ("simple_python", "python"),
        ("live_parallel", "python"),
        ("simple_java", "java"),
        ("simple_javascript", "javascript"),
    ],
)
def test_words_in_the_name_of_the_category_choose_the_language(
    category: str, language: str
) -> None:
    assert language_of(category) == language


@pytest.mark.parametrize("calls", [None, "no", [], [{}], [{"f": []}]])
def test_no_call_is_right_where_no_function_helps(calls: Any) -> None:
    assert judge(calls, "irrelevance", answers=[]) == ""


@pytest.mark.parametrize("name", ["weather_get", "not_listed"])
def test_any_call_is_wrong_where_no_function_helps(name: str) -> None:
    assert judge([{name: {}}], "irrelevance") == "irrelevance_error:decoder_success"


@pytest.mark.parametrize("calls", [None, "no", [], [{}], [{"f": []}]])
def test_some_call_is_due_where_a_function_helps(calls: Any) -> None:
    """Which one is not looked at."""
    assert judge(calls, "live_relevance", answers=[]) == "relevance_error:decoder_failed"
    assert judge([{"not_listed": {}}], "live_relevance", answers=[]) == ""
    assert judge(calls, "live_irrelevance", answers=[]) == ""


# --- names and parameters ------------------------------------------------------------------------

RIGHT = {"city": "Taipei", "days": 3}


@pytest.mark.parametrize(
    ("name", "dots_replaced", "kind"),
    [
        ("weather_get", True, ""),
        ("weather.get", False, ""),
        ("weather.get", True, f"{SIMPLE}:wrong_func_name"),
        ("weather_get", False, f"{SIMPLE}:wrong_func_name"),
        ("Weather_get", True, f"{SIMPLE}:wrong_func_name"),
        (" weather_get", True, f"{SIMPLE}:wrong_func_name"),
    ],
)
def test_the_name_is_the_docs_with_its_dots_replaced_if_the_model_saw_it_so(
    name: str, dots_replaced: bool, kind: str
) -> None:
    assert judge([{name: RIGHT}], dots_replaced=dots_replaced) == kind


def test_simple_ignores_the_name_in_the_answer() -> None:
    answers = [{"another": ANSWER["weather.get"]}]
    assert judge([{"weather_get": RIGHT}], answers=answers) == ""


def test_multiple_takes_the_doc_that_the_answer_names() -> None:
    other = function("clock", zone="string")
    functions = [other, WEATHER]
    assert judge([{"weather_get": RIGHT}], "multiple", functions=functions) == ""
    assert judge([{"clock": {}}], "multiple", functions=functions) == f"{SIMPLE}:wrong_func_name"


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"city": "Taipei", "days": 3}, ""),
        ({"days": 3, "city": "Taipei", "unit": "Celsius"}, ""),
        ({"days": 3}, f"{SIMPLE}:missing_required"),
        ({"days": "x", "wind": 1}, f"{SIMPLE}:missing_required"),  # before all other rules
        ({"city": "Taipei", "days": 3, "wind": 1}, f"{SIMPLE}:unexpected_param"),
        ({"city": "Taipei"}, f"{SIMPLE}:missing_optional"),
        ({"city": "Tainan", "wind": 1}, "value_error:string"),  # the model's order decides
        ({"wind": 1, "city": "Tainan"}, f"{SIMPLE}:unexpected_param"),
        ({"city": "Taipei", "days": 3, "unit": "kelvin"}, "value_error:string"),
    ],
)
def test_parameters_are_judged_in_a_fixed_order(arguments: dict[str, Any], kind: str) -> None:
    assert judge([{"weather_get": arguments}]) == kind


def test_a_required_parameter_is_missed_even_where_the_answer_lets_it_be_left_out() -> None:
    answers = [{"weather.get": {"city": ["", "Taipei"], "days": ["", 3]}}]
    assert judge([{"weather_get": {"days": 3}}], answers=answers) == f"{SIMPLE}:missing_required"


def test_a_parameter_of_the_schema_that_the_answer_does_not_know_is_unexpected() -> None:
    answers = [{"weather.get": {"city": ["Taipei"]}}]
    assert judge([{"weather_get": RIGHT}], answers=answers) == f"{SIMPLE}:unexpected_param"


def test_a_parameter_of_the_answer_that_the_schema_does_not_know_is_unexpected() -> None:
    """A defect of some live items: nobody can ever be right there."""
    answers = [{"weather.get": {**ANSWER["weather.get"], "wind": [1]}}]
    calls = [{"weather_get": {**RIGHT, "wind": 1}}]
    assert judge(calls, answers=answers) == f"{SIMPLE}:unexpected_param"


# --- parallel ------------------------------------------------------------------------------------

CITIES = [{"weather.get": {"city": [city], "days": [3]}} for city in ("Taipei", "Tainan")]


def weather(city: str) -> dict[str, Any]:
    return {"weather_get": {"city": city, "days": 3}}


def test_parallel_calls_may_come_in_any_order() -> None:
    for calls in ([weather("Taipei"), weather("Tainan")], [weather("Tainan"), weather("Taipei")]):
        assert judge(calls, "parallel", answers=CITIES) == ""


def test_a_call_serves_one_answer_only() -> None:
    calls = [weather("Taipei"), weather("Taipei")]
    assert judge(calls, "parallel", answers=CITIES) == f"{PARALLEL}:cannot_find_match"


def test_matching_is_greedy_as_in_the_reference() -> None:
    """The first answer takes the first call that fits, though the second answer needs it."""
    wide = {"weather.get": {"city": ["Taipei", "Tainan"], "days": [3]}}
    calls = [weather("Tainan"), weather("Taipei")]
    narrow = CITIES[1]
    assert judge(calls, "parallel", answers=[wide, narrow]) == f"{PARALLEL}:cannot_find_match"
    assert judge(calls, "parallel", answers=[narrow, wide]) == ""


def test_the_sentence_names_the_answer_and_what_is_wrong_with_each_call() -> None:
    verdict = check(
        [WEATHER],
        [weather("Taipei"), weather("Hualien")],
        CITIES,
        "parallel",
        dots_replaced=True,
    )
    assert "answer 2, weather.get" in verdict.detail
    assert "call 2: value_error:string — city: 'Hualien' is not among ['Tainan']" in verdict.detail


# --- types ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "value", "accepted", "kind"),
    [
        ("string", "a", ["a"], ""),
        ("any", "a", ["a"], ""),
        ("any", "A.", ["a"], ""),  # so it is compared as a string
        ("any", 5, ["5"], "type_error:simple"),
        ("integer", 5, [5], ""),
        ("integer", 5.0, [5], "type_error:simple"),
        ("integer", True, [1], "type_error:simple"),
        ("integer", "5", [5], "type_error:simple"),
        ("float", 5, [5.0], ""),  # an int where a float is declared is made one
        ("float", 5.5, [5.5], ""),
        ("float", True, [1.0], "type_error:simple"),
        ("float", 10**400, [1.0], "type_error:simple"),  # the reference crashes
        ("boolean", True, [True], ""),
        ("boolean", 1, [True], "type_error:simple"),
        ("boolean", "true", [True], "type_error:simple"),
        ("dict", {}, [{}], ""),
        ("dict", [], [{}], "type_error:simple"),
        ("string", None, ["a"], "type_error:simple"),
    ],
)
def test_types_are_exact_but_for_an_int_as_a_float(
    declared: str, value: Any, accepted: list[Any], kind: str
) -> None:
    assert value_kind(value, accepted, declared) == kind


@pytest.mark.parametrize("declared", ["array", "tuple"])
def test_arrays_and_tuples_are_lists(declared: str) -> None:
    assert value_kind([1, 2], [[1, 2]], declared, "integer") == ""
    assert value_kind("1, 2", [[1, 2]], declared, "integer") == "type_error:simple"


def test_a_tuple_is_read_as_a_list_only_where_one_is_declared() -> None:
    assert value_kind((1, 2), [[1, 2]], "tuple", "integer") == ""
    assert value_kind((1, 2), [[1, 2]], "array", "integer") == "type_error:simple"


@pytest.mark.parametrize(
    ("value", "accepted", "items", "kind"),
    [
        ([5, 3], [[5, 3]], "integer", ""),
        ([5.0, 3.0], [[5.0, 3.0]], "float", ""),
        ([5, 3], [[5.0, 3.0]], "float", "type_error:nested"),  # no conversion inside a list
        ([5, 3], [[5, 3]], "float", ""),  # but the type of the accepted elements is allowed
        (["5"], [[5]], "integer", "type_error:nested"),
        (["a"], [[5], ["a"]], "integer", ""),  # any of the alternatives may fit
        ([], [[5]], "integer", "value_error:list/tuple"),
        (["5"], ["", [5]], "integer", "value_error:list/tuple"),  # "" lets every element pass
        (["5"], [[5], ""], "integer", "value_error:list/tuple"),
        ([], [], "integer", "type_error:simple"),
        ([[1]], [[[1]]], "array", ""),
        ([[1, "x"]], [[[1, "y"]]], "array", "value_error:list/tuple"),  # one level deep only
    ],
)
def test_the_elements_of_a_list_have_the_declared_type_or_that_of_an_alternative(
    value: Any, accepted: list[Any], items: str, kind: str
) -> None:
    assert value_kind(value, accepted, "array", items) == kind


@pytest.mark.parametrize(
    ("declared", "value", "accepted", "kind"),
    [
        ("integer", "n", ["n"], ""),
        ("integer", "N", ["n"], "value_error:others"),  # compared raw
        ("integer", "n.", ["n"], "value_error:others"),
        ("integer", 3, ["n"], "value_error:others"),
        ("integer", 3, ["n", 3], ""),
        ("string", 3, [3], ""),
        ("string", "3", [3], "value_error:others"),
        ("string", "Taipei", [3, "taipei"], "value_error:others"),  # the first value decides
        ("string", "Taipei", ["taipei", 3], ""),
        ("boolean", None, ["", None], ""),
        ("dict", "config", ["config"], ""),
        ("array", "numbers", ["numbers"], ""),
    ],
)
def test_a_value_of_the_accepted_type_is_a_variable_and_compared_raw(
    declared: str, value: Any, accepted: list[Any], kind: str
) -> None:
    items = "integer" if declared == "array" else None
    assert value_kind(value, accepted, declared, items) == kind


# --- strings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "normed"),
    [
        ("New York, NY", "newyorkny"),
        ("1.5", "15"),
        ("-5", "5"),
        ("x**2 / y^2", "x2y2"),
        ("snake_case", "snakecase"),
        ("it's", 'it"s'),
        ("...", ""),
        ("a\tb\n", "a\tb\n"),
        ("a: b; c! d? (e)", "a:b;c!d?(e)"),
        ("Straße", "straße"),  # lower case, not case folding
        ("臺北　市", "臺北　市"),  # the ideographic space stays
        ("é", "é"),
        ("e\u0301", "e\u0301"),
        ("ΑΣ'Α", 'ασ"α'),  # the quotes are exchanged after lower(): no final sigma here
    ],
)
def test_eight_characters_case_and_quotes_do_not_count(text: str, normed: str) -> None:
    assert norm(text) == normed


@given(st.text())
def test_norm_of_norm_is_norm_for_plain_letters(text: str) -> None:
    once = norm(text)
    assert not set(once) & set(" ,./-_*^'")
    if once.isascii():
        assert norm(once) == once


@pytest.mark.parametrize(
    ("value", "accepted", "kind"),
    [
        ("new york ny", ["New York, NY"], ""),
        ("15", ["1.5"], ""),
        ("", ["", "a"], ""),  # the mark for "may be left out" is a value, too
        ("-.-", ["", "a"], ""),
        ("a?", ["a"], "value_error:string"),
        ("台北", ["臺北"], "value_error:string"),
        ("a", ["b", 5, "A"], ""),
        ("5", ["b", 5], "value_error:string"),
    ],
)
def test_strings_are_compared_normalised(value: str, accepted: list[Any], kind: str) -> None:
    assert value_kind(value, accepted, "string") == kind


def test_numbers_and_booleans_are_compared_with_pythons_equality() -> None:
    assert value_kind(1, [True, 1], "integer") == ""  # a variable, since True comes first
    assert value_kind(1, [2], "integer") == "value_error:others"
    assert value_kind(False, ["", True], "boolean") == "value_error:others"


# --- lists and dicts -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "accepted", "kind"),
    [
        (["A b", "c."], [["ab", "c"]], ""),
        (["c", "ab"], [["ab", "c"]], "value_error:list/tuple"),
        (["ab"], [["ab", "c"]], "value_error:list/tuple"),
        (["x"], [["ab"], ["x"]], ""),
        ([], ["", ["ab"]], ""),  # "" counts as the empty list
        ([], [["ab"]], "value_error:list/tuple"),
    ],
)
def test_lists_are_compared_in_order_and_their_strings_normalised(
    value: Any, accepted: list[Any], kind: str
) -> None:
    assert value_kind(value, accepted, "array", "string") == kind


def test_strings_in_inner_lists_are_compared_raw() -> None:
    assert value_kind([["A"]], [[["A"]]], "array", "array") == ""
    assert value_kind([["a"]], [[["A"]]], "array", "array") == "value_error:list/tuple"


PLACE = {"city": ["Taipei", "臺北"], "zip": ["", 100]}


@pytest.mark.parametrize(
    ("value", "accepted", "kind"),
    [
        ({"city": "taipei", "zip": 100}, [PLACE], ""),
        ({"city": "臺北"}, [PLACE], ""),
        ({"zip": 100}, [PLACE], "value_error:dict_key"),
        ({"city": "Taipei", "street": "x"}, [PLACE], "value_error:dict_key"),
        ({"city": "Tainan"}, [PLACE], "value_error:dict_value"),
        ({"zip": 5}, [PLACE], "value_error:dict_key"),  # the missing key overrides the value
        ({"a": 1}, [PLACE, {"a": [1]}], ""),
        ({"a": 2}, [PLACE, {"a": [1]}], "value_error:dict_value"),  # the last alternative's error
        ({}, ["", PLACE], "value_error:dict_key"),
        ({}, [""], "dict_checker:unclear"),
        ({"a": ["X"]}, [{"a": [["X"]]}], ""),
        ({"a": ["x"]}, [{"a": [["X"]]}], "value_error:dict_value"),  # lists inside are raw
        ({"a": {"b": "X"}}, [{"a": [{"b": "X"}]}], ""),
        ({"a": {"b": "x"}}, [{"a": [{"b": "X"}]}], "value_error:dict_value"),
    ],
)
def test_dicts_are_compared_key_by_key(value: Any, accepted: list[Any], kind: str) -> None:
    assert value_kind(value, accepted, "dict") == kind


@pytest.mark.parametrize(
    ("value", "accepted", "kind"),
    [
        ([{"city": "taipei"}], [[PLACE]], ""),
        ([{"city": "taipei"}, {"a": 1}], [[PLACE, {"a": [1]}]], ""),
        ([{"a": 1}, {"city": "taipei"}], [[PLACE, {"a": [1]}]], "value_error:dict_key"),
        ([{"city": "taipei"}], [[PLACE, PLACE]], "value_error:list_dict_count"),
        ([{"city": "Tainan"}], [[PLACE]], "value_error:dict_value"),
        ([{"city": "Tainan"}], [[PLACE], [{"city": ["Tainan"]}]], ""),
        ([], ["", [PLACE]], ""),  # "" has no dicts
        ([{}], [[""]], "dict_checker:unclear"),
        (["Taipei"], [[PLACE]], "type_error:nested"),
        (["Taipei"], ["", [PLACE]], "type_error:nested"),  # the reference crashes
        ([""], ["", [""]], "dict_checker:unclear"),  # and here it does not
    ],
)
def test_lists_of_dicts_are_compared_by_position(
    value: Any, accepted: list[Any], kind: str
) -> None:
    assert value_kind(value, accepted, "array", "dict") == kind


# --- defects of the data -------------------------------------------------------------------------


def broken(path: str, value: Any) -> list[dict[str, Any]]:
    """The function doc with one field replaced, or taken out (None)."""
    doc: dict[str, Any] = json.loads(json.dumps(WEATHER))
    *way, last = path.split(".")
    field = doc
    for key in way:
        field = field[key]
    if value is None:
        del field[last]
    else:
        field[last] = value
    return [doc]


@pytest.mark.parametrize(
    "functions",
    [
        [],
        ["weather"],
        broken("name", None),
        broken("parameters", None),
        broken("parameters.properties", None),
        broken("parameters.required", None),
        broken("parameters.properties.city", "string"),
        broken("parameters.properties.city.type", None),
        broken("parameters.properties.city.type", "number"),
        broken("parameters.properties.city.type", ["string"]),
        broken("parameters.properties.city.type", "array"),  # and no items
    ],
)
def test_a_broken_function_doc_is_a_data_error(functions: list[Any]) -> None:
    calls = [{"weather_get": {"city": ["Taipei"], "days": 3}}]
    verdict = check(functions, calls, [ANSWER], "simple_python", dots_replaced=True)
    assert verdict.kind == "data_error"
    assert verdict.detail


@pytest.mark.parametrize(
    ("category", "answers"),
    [
        ("simple_python", []),
        ("simple_python", [{}]),
        ("simple_python", ["weather.get"]),
        ("simple_python", [{"weather.get": ["Taipei"]}]),
        ("simple_python", [{"weather.get": {"city": "Taipei", "days": [3]}}]),
        ("simple_python", [{"weather.get": {"city": ["Taipei"], "days": [3], "unit": 5}}]),
        ("multiple", [{"not_listed": {}}]),
        ("parallel", [{"not_listed": {}}]),
    ],
)
def test_a_broken_answer_is_a_data_error(category: str, answers: list[Any]) -> None:
    assert judge([{"weather_get": RIGHT}], category, answers=answers) == "data_error"


@pytest.mark.parametrize(
    ("declared", "items", "value", "accepted"),
    [
        ("dict", None, {}, [{}, {"a": 5}, 7]),
        ("dict", None, {"a": 1}, [{"a": 5}]),
        ("dict", None, {}, [{"a": None}]),
        ("array", "string", ["a"], [["a"], 5]),
        ("array", "dict", [{}], [[{"a": [1]}], 5]),
        ("array", "dict", [{}], [[5]]),
    ],
)
def test_accepted_values_of_no_use_are_a_data_error(
    declared: str, items: str | None, value: Any, accepted: list[Any]
) -> None:
    doc = function("f", p=[items] if items else declared)
    calls = [{"f": {"p": value}}]
    verdict = check([doc], calls, [{"f": {"p": accepted}}], "simple_python", dots_replaced=False)
    # {} fits the first alternative of the first case before the defect is met.
    assert verdict.kind == ("" if accepted[0] == {} else "data_error")


def test_a_text_in_place_of_a_list_of_values_is_read_letter_by_letter() -> None:
    """A known defect of the data (simple_java_64): the key can never be right, only left out."""
    accepted = [{"meta": "ms", "a": [1]}]
    assert value_kind({"a": 1, "meta": "ms"}, accepted, "dict") == "value_error:dict_value"
    assert value_kind({"a": 1, "meta": "M"}, accepted, "dict") == ""
    assert value_kind({"a": 1}, accepted, "dict") == ""


def test_a_multiple_item_without_answers_is_a_data_error() -> None:
    assert judge([], "multiple", answers=[]) == "data_error"


def test_no_calls_are_right_where_no_parallel_answers_are() -> None:
    assert judge([], "parallel", answers=[]) == ""


# --- hostile arguments ---------------------------------------------------------------------------

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(
    st.sampled_from(["simple_python", "multiple", "parallel", "irrelevance"]),
    ANYTHING | st.lists(st.dictionaries(st.sampled_from(["weather_get", "f"]), ANYTHING)),
)
def test_no_calls_whatever_they_are_make_the_checker_raise(category: str, calls: Any) -> None:
    verdict = check([WEATHER], calls, [ANSWER], category, dots_replaced=True)
    assert verdict.ok == (verdict == ACCEPTED)
    assert verdict.kind != "data_error", "what a model writes is no defect of the data"


def test_a_deep_value_is_judged_and_named_in_a_short_sentence() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    verdict = check(
        [WEATHER], [{"weather_get": {"city": deep}}], [ANSWER], "simple_python", dots_replaced=True
    )
    assert verdict.kind == "type_error:simple"
    assert len(verdict.detail) < 200
