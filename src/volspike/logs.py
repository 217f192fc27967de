"""Log lines for operators: on stderr, however volspike is used; stdout belongs to a verb's answer."""

from __future__ import annotations

import sys
from typing import Any

import structlog


class _Stderr:
    """Writes rendered lines to what is stderr at that moment."""

    def msg(self, line: str) -> None:
        """Write one line."""
        sys.stderr.write(line + "\n")

    debug = info = warning = error = critical = msg


def get_logger() -> Any:
    """Return a logger; levels and rendering are those of structlog's configuration."""
    return structlog.wrap_logger(_Stderr())
