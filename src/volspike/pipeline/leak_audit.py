"""The leak audit of a file or a directory of feature rows, whoever made them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from volspike.config import Settings
from volspike.errors import FeatureError
from volspike.evaluation.audit import examine_dataset
from volspike.evaluation.leaks.examine import examine
from volspike.evaluation.leaks.finding import Finding, worst_first
from volspike.exchange.candles import FEED as CANDLES
from volspike.features.store import finished_files, is_feature_file, read_features
from volspike.labels.dataset import build_dataset
from volspike.labels.splits import chronological_split
from volspike.pipeline.foreign_features import read_foreign
from volspike.pipeline.foreign_roles import Told
from volspike.pipeline.home import Home
from volspike.pipeline.stored_data import Stored, stored_table, tau_spec, training_data


@dataclass(frozen=True, slots=True)
class LeakReport:
    """What the audit of some rows found.

    Attributes
    ----------
    subject, label : str
        Where the rows come from, and what their label is.
    rows, labelled : int
        How many there are, and how many have a label.
    base_rate : float or None
        Share of positives among those.
    features : tuple of str
        The columns taken for features.
    findings : tuple of Finding
        One a leak, worst first.
    notes : tuple of str
        What of the rows could not be used, in words.
    """

    subject: str
    label: str
    rows: int
    labelled: int
    base_rate: float | None
    features: tuple[str, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def leaks(self) -> tuple[str, ...]:
        """Return the names of the leaks that were found."""
        return tuple(finding.leak for finding in self.findings if finding.status == "leak")

    def as_dict(self) -> dict[str, object]:
        """Return the report as a JSON-able dict."""
        return {
            "subject": self.subject,
            "label": self.label,
            "rows": self.rows,
            "labelled": self.labelled,
            "base_rate": self.base_rate,
            "features": list(self.features),
            "notes": list(self.notes),
            "passed": not self.leaks,
            "checks": {finding.leak: finding.as_dict() for finding in self.findings},
        }


def audit_leaks(
    source: Path, settings: Settings, told: Told, product: str | None, feed: str | None
) -> LeakReport:
    """Audit a Parquet or CSV file of anybody's rows, or a directory of volspike's own.

    Parameters
    ----------
    source : Path
        A file, a data directory, or a directory of feature files.
    settings : Settings
        Target and tau of the labels of own rows.
    told : Told
        What is known of a foreign file.
    product, feed : str, optional
        Which own rows, where there are several; the feed ``candles`` means stored candles.

    Raises
    ------
    FeatureError
        If there is nothing to audit there.
    NotEnoughDataError
        If there are too few rows.
    """
    if source == settings.data_dir:
        Home(source).require()
    if feed == CANDLES:
        return _audit_own(source, training_data(Home(source), settings, product, feed))
    if not source.is_dir():
        if is_feature_file(source):
            remedy = "give its directory: labels need the files before and after too"
            raise FeatureError(str(source), "it is one file of volspike's own features", remedy)
        return _audit_foreign(source, told)
    if finished_files(source):
        table = read_features(source, product, feed)
    elif Home(source).features.is_dir():
        table = stored_table(Home(source), settings.feature_set, product, feed)
    else:
        raise FeatureError(str(source), "it holds no features", "give a file, or run volspike replay first")
    dataset = build_dataset([table], settings.target, tau_spec(settings))
    return _audit_own(source, Stored(dataset, "", table))


def _audit_foreign(source: Path, told: Told) -> LeakReport:
    rows = read_foreign(source, told)
    labelled = rows.label >= 0
    return LeakReport(
        subject=str(source),
        label=f"{rows.label_name} of the next row" if told.next_row else rows.label_name,
        rows=len(rows),
        labelled=int(np.count_nonzero(labelled)),
        base_rate=float(np.mean(rows.label[labelled] == 1)) if np.any(labelled) else None,
        features=rows.names,
        findings=tuple(worst_first(examine(rows))),
        notes=rows.notes,
    )


def _audit_own(source: Path, stored: Stored) -> LeakReport:
    dataset = stored.dataset
    split = chronological_split(dataset)
    labelled = dataset.spike >= 0
    return LeakReport(
        subject=f"{source}, {dataset.product}",
        label=f"{dataset.target}, {dataset.tau.mode} tau",
        rows=len(dataset),
        labelled=int(np.count_nonzero(labelled)),
        base_rate=float(np.mean(dataset.spike[labelled])) if np.any(labelled) else None,
        features=dataset.columns,
        findings=tuple(worst_first(examine_dataset(stored.table, dataset, split))),
    )
