"""Which rows should not be learnt, and why."""

from __future__ import annotations

from formosa.data.cleaning_config import QualityConfig
from formosa.data.rejects import Rejection
from formosa.data.rows import Row

VERSION = "0"


def judge(row: Row, config: QualityConfig) -> Rejection | None:
    """Why the row should not be learnt; None for a good one."""
    return None
