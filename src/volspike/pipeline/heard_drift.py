"""What came of a report of drift that was made beside a job, as the journal is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from volspike.monitoring.journal import DRIFT_ALARM, DRIFT_REPORT
from volspike.pipeline.promotion import Figures


class Heard(NamedTuple):
    """Event, words and figures of a line in the journal."""

    event: str
    words: str
    detail: Figures


def heard_of(report: Mapping[str, Any], *, is_served: bool) -> Heard:
    """Return the line for what ``volspike drift --json`` has printed.

    Parameters
    ----------
    report : mapping
        The report, or the failure; empty where nothing was printed.
    is_served : bool
        Whether there is a model that an alarm can be of.
    """
    words, detail = _words(report), _kept_page(report)
    if not (is_served and (report.get("verdict") or {}).get("alarm")):
        return Heard(DRIFT_REPORT, words, detail)
    return Heard(DRIFT_ALARM, f"{words}; see {detail['page']}" if detail else words, detail)


def _words(report: Mapping[str, Any]) -> str:
    """Return what a report of drift found, or why there is none."""
    if "error" in report:
        return f"no report: {report.get('subject')}: {report['error']}; {report.get('remedy')}"
    verdict = report.get("verdict") or {}
    return str(verdict.get("words") or report.get("decision") or "no report: its process ended without one")


def _kept_page(report: Mapping[str, Any]) -> Figures:
    """Return where the page of a report lies, below the data directory."""
    page = (report.get("files") or {}).get("page")
    return {} if page is None else {"page": f"reports/{Path(page).name}"}
