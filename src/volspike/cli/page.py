"""A report as one HTML page without anything from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path

from volspike.cli.output import cell_text
from volspike.errors import ConfigError

STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:48em;margin:2em auto;padding:0 1em;color:#1f2933}"
    "table{border-collapse:collapse}caption{text-align:left;font-weight:bold;padding:1em 0 .3em}"
    "th,td{padding:.15em .8em;text-align:right}th:first-child,td:first-child{text-align:left}"
    "thead th{border-bottom:1px solid #8a94a0}"
)


def write_page(text: str, path: Path) -> None:
    """Write a page to a file: whole or not at all.

    Raises
    ------
    ConfigError
        If it can't be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = f"can't be written ({error.strerror})"
        raise ConfigError(str(path), reason, "name another with --html") from None


def document(title: str, parts: Sequence[str], style: str = "") -> str:
    """Return a page of a title and parts, which are HTML; ``style`` is added to that of all pages."""
    heading = f"<h1>{escape(title)}</h1>"
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}{style}</style>'
    body = "\n".join((heading, *parts))
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def html_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with its title above it."""
    head, body = _line("th", columns), "".join(_line("td", row) for row in rows)
    return f"<table><caption>{escape(title)}</caption><thead>{head}</thead><tbody>{body}</tbody></table>"


def _line(tag: str, cells: Iterable[object]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell_text(cell))}</{tag}>' for cell in cells)}</tr>"
