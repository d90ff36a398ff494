"""The command as the console script runs it: arguments in, exit code and two streams out."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, NamedTuple
from unittest.mock import patch

from formosa.cli.main import main


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON value and nothing else."""
        return json.loads(self.out)


def formosa(*arguments: object) -> Done:
    """`formosa ARGUMENTS`, in this process."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    argv = ["formosa", *map(str, arguments)]
    with patch.object(sys, "argv", argv), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    return Done(code or 0, out.getvalue(), err.getvalue())
