"""A process that compares answers with math-verify until its input ends. Run as a script.

It reads a line of JSON `{"gold": …, "answer": …}` and writes one: `{"equal": …}`, or
`{"problem": …}` where there is nothing to compare. Each comparison may take `SECONDS` of the
process's own time, whatever else the machine does, and then the kernel ends the process: a power
tower keeps Python in one machine instruction after another, where no exception can reach it.

It imports nothing of ours, so that it starts fast and so that model text meets none of our code.
"""

import contextlib
import importlib
import json
import logging
import math
import resource
import sys
from typing import Any, TextIO

SECONDS = 5  # of processor time for one comparison
MEMORY = 3 << 30  # bytes of address space; a comparison that needs more fails
DIGITS = 6  # to which numbers must agree


def main() -> None:
    out = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints is no answer
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    logging.disable(logging.CRITICAL)
    try:
        importlib.import_module("math_verify")
    except ImportError as error:
        _write(out, {"problem": f"math-verify cannot be imported: {error}"})
        return
    _write(out, {"ready": True})
    for line in sys.stdin:
        _allow(SECONDS)
        request = json.loads(line)
        try:
            answer = compare(request["gold"], request["answer"])
        except Exception as error:  # sympy raises all kinds, RecursionError and MemoryError too
            answer = {"problem": f"math-verify failed: {type(error).__name__}"}
        _write(out, answer)


def _write(out: TextIO, answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer) + "\n")
    out.flush()


def _allow(seconds: int) -> None:
    """End this process when it has used so many more seconds of processor time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    limit = math.ceil(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def compare(gold: str, answer: str) -> dict[str, Any]:
    """Both are read as LaTeX in a box. The order matters: math-verify is not symmetric."""
    library = importlib.import_module("math_verify")  # it ships no types
    # Plain expressions are not read as such: sympy would evaluate them, and of "1-1/e" only the
    # "1" would be read. Its own time limits need signals, and don't stop what hangs in C.
    latex = [library.LatexExtractionConfig(boxed_match_priority=0)]
    read = [
        library.parse(f"\\boxed{{{text}}}", extraction_config=latex, parsing_timeout=None)
        for text in (gold, answer)
    ]
    for name, values in zip(("right answer", "answer"), read, strict=True):
        if not values:
            return {"problem": f"math-verify finds no expression in the {name}"}
    return {"equal": library.verify(*read, float_rounding=DIGITS, timeout_seconds=None)}


if __name__ == "__main__":
    main()
