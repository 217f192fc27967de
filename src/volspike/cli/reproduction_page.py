"""The report of ``volspike reproduce`` as one HTML page."""

from __future__ import annotations

from html import escape
from typing import Any

from volspike.cli.page import document, html_table
from volspike.cli.reproduction import PARTS, remarks_on, tables_of, title_of


def reproduction_page(report: dict[str, Any]) -> str:
    """Return the report as a page: both tables, the remarks, the words."""
    parts = [html_table(table.title, ("", *PARTS.values()), table.rows) for table in tables_of(report)]
    parts += [f"<p><small>{escape(line)}</small></p>" for line in remarks_on(report)]
    parts += [f"<p>{escape(paragraph)}</p>" for paragraph in report["words"]]
    return document(title_of(report), parts)
