"""The AST rules: are these the calls that the question asks for?

Source: `ast_checker.py` of bfcl-eval 2026.3.23. The same verdict and the same error type in every
case in which the reference gives one. Where it crashes on its own data, the verdict is
`data_error`, and the run goes on.

Knows decoded calls and the data's function docs, unchanged. Knows nothing of replies or models.
Nothing that a model wrote is evaluated.

    check([doc], [{"get_weather": {"city": "Taipei"}}], [{"get_weather": {"city": ["Taipei"]}}],
          "simple_python", dots_replaced=True)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from formosa.evals.bfcl.literals import Language, language_of
from formosa.evals.bfcl.values import check_value, may_be_left_out
from formosa.evals.bfcl.verdict import (
    ACCEPTED,
    DATA_ERROR,
    DataDefectError,
    Verdict,
    show,
    wrong,
)

NOT_DECODED = "ast_decoder:decoder_failed"
NOT_CALLS = "ast_decoder:decoder_wrong_output_format"
CALLED_ANYWAY = "irrelevance_error:decoder_success"
NOT_CALLED = "relevance_error:decoder_failed"

_SIMPLE = "simple_function_checker"
_MULTIPLE = "multiple_function_checker"
_PARALLEL = "parallel_function_checker_no_order"


class _How(NamedTuple):
    dots_replaced: bool
    language: Language


def check(
    functions: Sequence[Mapping[str, Any]],
    calls: Any,
    answers: Sequence[Mapping[str, Any]],
    category: str,
    *,
    dots_replaced: bool,
) -> Verdict:
    """Judge the calls of one reply.

    Args:
        functions: the function docs of the item, as they stand in the data.
        calls: what the decoder made of the reply: `[{name: {argument: value}}, …]`. Any other
            shape is judged too.
        answers: `[{name: {parameter: [accepted values]}}, …]`, as they stand in the data.
        category: decides the rule and the language by the words in its name, as in
            `live_parallel_multiple` or `simple_java`.
        dots_replaced: whether the model was shown `a_b` for the function `a.b`.
    """
    well_formed = is_calls(calls)
    if "irrelevance" in category:
        if well_formed and calls:
            names = ", ".join(show(next(iter(call))) for call in calls)
            return wrong(CALLED_ANYWAY, f"no function helps here, but {names} was called")
        return ACCEPTED
    if "relevance" in category:
        if well_formed and calls:
            return ACCEPTED
        return wrong(NOT_CALLED, f"a function helps here, but {show(calls)} holds no call")
    if not well_formed:
        return wrong(NOT_CALLS, f"{show(calls)} is no list of calls")
    how = _How(dots_replaced, language_of(category))
    try:
        if "parallel" in category:
            return _check_parallel(functions, calls, answers, how)
        if "multiple" in category:
            return _check_multiple(functions, calls, answers, how)
        return _check_simple(functions, calls, answers, how)
    except DataDefectError as defect:
        return wrong(DATA_ERROR, str(defect))


def is_calls(calls: Any) -> bool:
    """Whether this is a list of `{name: {argument: value}}`, one name each. `[]` is one."""
    return isinstance(calls, list) and all(
        isinstance(call, dict) and len(call) == 1 and isinstance(next(iter(call.values())), dict)
        for call in calls
    )


def _check_simple(
    functions: Sequence[Any], calls: list[Any], answers: Sequence[Any], how: _How
) -> Verdict:
    """The first function and the first answer, whatever name the answer has."""
    if len(calls) != 1:
        return _wrong_count(_SIMPLE, len(calls), 1)
    if not functions or not answers:
        raise DataDefectError("the item has no function, or no answer")
    return _check_call(functions[0], calls[0], _only(answers[0])[1], how)


def _check_multiple(
    functions: Sequence[Any], calls: list[Any], answers: Sequence[Any], how: _How
) -> Verdict:
    if len(calls) != len(answers):
        return _wrong_count(_MULTIPLE, len(calls), len(answers))
    if not answers:
        raise DataDefectError("the item has no answer")
    name, accepted = _only(answers[0])
    return _check_call(_find(functions, name), calls[0], accepted, how)


def _check_parallel(
    functions: Sequence[Any], calls: list[Any], answers: Sequence[Any], how: _How
) -> Verdict:
    """Each answer in order takes the first call left that fits it.

    Greedy, without a way back, so a call that fits two answers can be taken by the wrong one.
    """
    if len(calls) != len(answers):
        return _wrong_count(_PARALLEL, len(calls), len(answers))
    left = list(range(len(calls)))
    for number, answer in enumerate(answers, start=1):
        name, accepted = _only(answer)
        doc = _find(functions, name)
        problems = []
        for i in left:
            verdict = _check_call(doc, calls[i], accepted, how)
            if verdict.ok:
                left.remove(i)
                break
            problems.append(f"call {i + 1}: {verdict.kind} — {verdict.detail}")
        else:
            return wrong(
                f"{_PARALLEL}:cannot_find_match",
                f"no call fits answer {number}, {name}; {'; '.join(problems[:4])}",
            )
    return ACCEPTED


def _check_call(doc: Any, call: Mapping[str, Any], accepted: Any, how: _How) -> Verdict:
    """One call against one function doc and one answer; the first rule that fails decides."""
    name = _field(doc, "name", str)
    schema = _field(doc, "parameters", dict)
    properties = _field(schema, "properties", dict)
    required = _field(schema, "required", list)
    if not isinstance(accepted, dict):
        raise DataDefectError(f"the answer for {name} is no object")

    expected = name.replace(".", "_") if how.dots_replaced else name
    if expected not in call:
        called = show(next(iter(call)))
        return wrong(f"{_SIMPLE}:wrong_func_name", f"{called} was called, expected {expected}")
    arguments = call[expected]
    for parameter in required:  # even those which the answer lets one leave out
        if parameter not in arguments:
            return wrong(f"{_SIMPLE}:missing_required", f"{parameter} is required, and missing")
    for parameter, value in arguments.items():
        if parameter not in properties or parameter not in accepted:
            return wrong(f"{_SIMPLE}:unexpected_param", f"{show(parameter)} is not expected")
        verdict = check_value(
            parameter, value, properties[parameter], accepted[parameter], how.language
        )
        if not verdict.ok:
            return verdict
    for parameter, values in accepted.items():
        if parameter not in arguments and not may_be_left_out(values, parameter):
            return wrong(f"{_SIMPLE}:missing_optional", f"{parameter} may not be left out here")
    return ACCEPTED


def _wrong_count(rule: str, found: int, expected: int) -> Verdict:
    return wrong(f"{rule}:wrong_count", f"the number of calls is {found}, expected {expected}")


def _find(functions: Sequence[Any], name: str) -> Any:
    for doc in functions:
        # Not _field for each: some questions of users come with dozens of functions.
        if type(doc) is dict and doc.get("name") == name:
            return doc
    raise DataDefectError(f"the answer names {name}, which is not among the functions")


def _only(answer: Any) -> tuple[str, Any]:
    """The name and the accepted parameters of one answer."""
    if not isinstance(answer, dict) or not answer:
        raise DataDefectError(f"{show(answer)} stands where an answer is needed")
    return next(iter(answer.items()))


def _field(value: Any, key: str, kind: type) -> Any:
    if not isinstance(value, dict) or not isinstance(value.get(key), kind):
        raise DataDefectError(f"a function doc lacks {key!r}, or it is no {kind.__name__}")
    return value[key]
