"""Imported by the process that workers are forked from, so that none has to import and compile by itself."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from broker_runs import undisturbed
from stage_runs import market

with TemporaryDirectory() as directory:
    undisturbed(market(90), Path(directory) / "log.db")
