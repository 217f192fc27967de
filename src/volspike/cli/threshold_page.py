"""The comparison of thresholds as one HTML page with its pictures."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from volspike.cli.page import document, html_table
from volspike.cli.threshold_tables import LEGEND, period_table, tables_of, title_of

if TYPE_CHECKING:
    from volspike.evaluation.threshold.analysis import ThresholdAnalysis

WIDER = (
    "body{max-width:64em}table{font-size:14px}td{white-space:nowrap}"
    "svg{display:block;max-width:100%;height:auto;margin-top:2em}"
)


def threshold_page(analysis: ThresholdAnalysis) -> str:
    """Return the words, then each table with its picture, then every period."""
    from volspike.evaluation.threshold.words import in_words

    parts = [f"<p>{escape(paragraph)}</p>" for paragraph in in_words(analysis)]
    for table, pictures in zip(tables_of(analysis), _pictures(analysis), strict=True):
        parts += [*pictures, html_table(table.title, table.columns, table.rows)]
    parts.append(f"<p><small>{escape(LEGEND)}</small></p>")
    for kind in ("session", "day", "hour"):
        if kind != analysis.over_time.telling_kind:
            table = period_table(analysis.over_time, kind)
            shown = html_table(table.title, table.columns, table.rows)
            parts.append(f"<details><summary>Every {kind}</summary>{shown}</details>")
    return document(title_of(analysis), parts, WIDER)


def _pictures(analysis: ThresholdAnalysis) -> list[list[str]]:
    """Return the pictures that belong to each table, as SVG."""
    from volspike.evaluation.threshold import pictures
    from volspike.evaluation.threshold.tau_picture import draw_tau

    over_time = analysis.over_time
    drawn = [
        [pictures.draw_percentiles(analysis.percentiles)],
        [pictures.draw_balance(analysis.balances)],
        [pictures.draw_sensitivity(analysis.scores)],
        [
            draw_tau(analysis.adaptive, analysis.fixed, analysis.split),
            pictures.draw_periods(over_time, over_time.telling_kind),
        ],
    ]
    return [[pictures.as_svg(figure) for figure in figures] for figures in drawn]
