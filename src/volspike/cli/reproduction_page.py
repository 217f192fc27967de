"""The report of ``volspike reproduce`` as one HTML page without anything from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

from volspike.cli.output import cell_text
from volspike.cli.reproduction import PARTS, LabelTable, remarks_on, tables_of, title_of
from volspike.errors import ConfigError

STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:48em;margin:2em auto;padding:0 1em;color:#1f2933}"
    "table{border-collapse:collapse}caption{text-align:left;font-weight:bold;padding:1em 0 .3em}"
    "th,td{padding:.15em .8em;text-align:right}th:first-child,td:first-child{text-align:left}"
    "thead th{border-bottom:1px solid #8a94a0}"
)


def write_page(report: dict[str, Any], path: Path) -> None:
    """Write the report to a file: whole or not at all.

    Raises
    ------
    ConfigError
        If it can't be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_text(page(report), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = f"can't be written ({error.strerror})"
        raise ConfigError(str(path), reason, "name another with --html") from None


def page(report: dict[str, Any]) -> str:
    """Return the report as a page: both tables, the remarks, the words."""
    title = escape(title_of(report))
    parts = [f"<h1>{title}</h1>", *map(_table, tables_of(report))]
    parts += [f"<p><small>{escape(line)}</small></p>" for line in remarks_on(report)]
    parts += [f"<p>{escape(paragraph)}</p>" for paragraph in report["words"]]
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    body = "\n".join(parts)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _table(table: LabelTable) -> str:
    head = _line("th", ("", *PARTS.values()))
    body = "".join(_line("td", row) for row in table.rows)
    caption = escape(table.title)
    return f"<table><caption>{caption}</caption><thead>{head}</thead><tbody>{body}</tbody></table>"


def _line(tag: str, cells: Iterable[object]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell_text(cell))}</{tag}>' for cell in cells)}</tr>"
