"""The Python calls that a model writes as text, as in `[f(a=1), g(b="x")]` → decoded calls.

For models that are asked in the prompt to write calls, not given tools. Source: the default
decoder of bfcl-eval 2026.3.23 (`default_decode_ast_prompting` and `ast_parse`), whose oddities are
kept: back-ticks, line ends and blanks around the text are dropped, but a fence with `python` in it
fails; positional arguments are dropped; every sign before a number is a minus; `true` is the text
"true"; a call inside a call is its source text unless it has named arguments.

Differences, all of them here:
* arithmetic (`2 * 3.14`, `"a" + "b"`) is worked out on literals only, with limits. The reference
  hands it to `eval`, so that a model's reply can run code;
* a text of more than `LONGEST` characters, or nested deeper than Python's own parser goes, fails.

`lenient` takes more: a fenced block, text around the list, `true`, `false` and `null`, all signs,
`a.b` as text, sets as lists.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from formosa.evals.bfcl.decode import Decoded
from formosa.evals.bfcl.verdict import show

DECODER = "python-calls/1"
LONGEST = 20_000  # characters
_LONGEST_VALUE = 10_000  # bits of an integer, characters of a text, elements of a list

_FENCE = re.compile(r"```[a-zA-Z]*\n?(.*?)```", re.DOTALL)
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None}


class _UnreadableError(ValueError):
    """The text is no list of calls; a sentence for the log."""


def decode_python(text: str, *, lenient: bool = False) -> Decoded:
    """Read the calls in a reply's text, in their order.

    Nothing is run. Calls that are not written as `name(argument=literal)` are read as the
    reference reads them, see above.
    """
    if not text.strip():
        return Decoded(None, "an empty reply")
    if len(text) > LONGEST:
        return Decoded(None, f"a text of more than {LONGEST} characters")
    try:
        elements = _elements(_bracketed(_unwrapped(text) if lenient else text))
        return Decoded([_call(element, lenient) for element in elements])
    except _UnreadableError as error:
        return Decoded(None, f"{error}: {show(text.strip())}")
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        # What Python's parser says of text that is no expression, or of a dict with a list as key.
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        return Decoded(None, f"no Python calls ({said or type(error).__name__}): {show(text)}")


def _bracketed(text: str) -> str:
    text = text.strip("`\n ")
    text = text if text.startswith("[") else "[" + text
    text = text if text.endswith("]") else text + "]"
    return text.strip().strip("'")


def _unwrapped(text: str) -> str:
    """The fenced block, if there is one; else from the first `[` to the last `]` around a call."""
    if found := _FENCE.search(text):
        return found.group(1)
    begin, end = text.find("["), text.rfind("]")
    return text[begin : end + 1] if 0 <= begin < end and "(" in text[begin:end] else text


def _elements(text: str) -> list[ast.expr]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as an escape that Python does not know
        body = ast.parse(text, mode="eval").body
    if isinstance(body, ast.Call):
        return [body]
    if isinstance(body, ast.List | ast.Tuple | ast.Set):
        return body.elts
    raise _UnreadableError("no list of calls")


def _call(node: ast.expr, lenient: bool) -> dict[str, Any]:
    if not isinstance(node, ast.Call):
        raise _UnreadableError("something in the list is no call")
    parts = []
    function: ast.expr = node.func
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if isinstance(function, ast.Name):
        parts.append(function.id)
    name = ".".join(reversed(parts))  # "" for `f()()`, as in the reference
    # A dict given with ** has no name, and is nobody's parameter.
    return {name: {str(word.arg): _value(word.value, lenient) for word in node.keywords}}


def _value(node: ast.expr, lenient: bool) -> Any:
    match node:
        case ast.Constant(value=value):
            return "..." if value is Ellipsis else value
        case ast.UnaryOp():
            return _signed(node, lenient)
        case ast.List(elts=elements):
            return [_value(element, lenient) for element in elements]
        case ast.Tuple(elts=elements):
            return tuple(_value(element, lenient) for element in elements)
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return {_key(key, lenient): _value(value, lenient) for key, value in pairs}
        case ast.BinOp():
            return _arithmetic(node)
        case ast.Name(id=name):
            return _WORDS[name] if lenient and name in _WORDS else name
        case ast.Call(keywords=[]):
            return ast.unparse(node)
        case ast.Call():
            return _call(node, lenient)
        case ast.Subscript(value=value, slice=index):
            return f"{ast.unparse(value)}[{ast.unparse(index)}]"
        case ast.Set(elts=elements) if lenient:
            return [_value(element, lenient) for element in elements]
        case ast.Attribute() if lenient:
            return ast.unparse(node)
    raise _UnreadableError(f"an argument that is no literal ({type(node).__name__})")


def _key(node: ast.expr | None, lenient: bool) -> Any:
    if node is None:
        raise _UnreadableError("a dict inside a dict, given with **")
    return _value(node, lenient)


def _signed(node: ast.UnaryOp, lenient: bool) -> Any:
    """A number with something before it. The reference takes everything for a minus."""
    if lenient:
        return _arithmetic(node)
    if isinstance(node.operand, ast.Constant) and isinstance(
        node.operand.value, int | float | complex
    ):
        return -node.operand.value
    raise _UnreadableError("a sign before something that is no number")


_OPERATIONS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
_SIGNS: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
}


def _arithmetic(node: ast.expr) -> Any:
    """The value of an expression of literals."""
    match node:
        case ast.Constant(value=value) if isinstance(value, int | float | str | bytes):
            return value
        case ast.List(elts=elements):
            return [_arithmetic(element) for element in elements]
        case ast.Tuple(elts=elements):
            return tuple(_arithmetic(element) for element in elements)
        case ast.UnaryOp(op=sign, operand=operand):
            value = _arithmetic(operand)
            # ~True is a DeprecationWarning, and ~ of a bool is nobody's intention.
            return _SIGNS[type(sign)](int(value) if isinstance(value, bool) else value)
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _OPERATIONS:
            return _worked_out(operation, _arithmetic(left), _arithmetic(right))
    raise _UnreadableError(f"arithmetic with something that is no literal ({type(node).__name__})")


def _worked_out(operation: ast.operator, left: Any, right: Any) -> Any:
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    if isinstance(operation, ast.Mod | ast.Pow) and not numbers:
        raise _UnreadableError("a text filled in")  # its width may ask for any number of blanks
    size = _size(left), _size(right)
    if isinstance(operation, ast.Pow):
        large = isinstance(left, int) and size[0] * abs(right) > _LONGEST_VALUE
    elif isinstance(operation, ast.Mult):
        times = right if isinstance(right, int) else left
        large = (sum(size) if numbers else max(size) * abs(times)) > _LONGEST_VALUE
    else:
        large = sum(size) > 2 * _LONGEST_VALUE
    if large:
        raise _UnreadableError("arithmetic with a result that is too large")
    try:
        value = _OPERATIONS[type(operation)](left, right)
    except ArithmeticError as error:
        raise _UnreadableError(f"arithmetic without a result ({error})") from error
    return value


def _size(value: Any) -> int:
    """Bits of an integer, length of what has one."""
    if isinstance(value, int):
        return value.bit_length()
    return len(value) if isinstance(value, str | bytes | list | tuple) else 1
