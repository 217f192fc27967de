"""How often do the decisions on drift and promotion cry wolf, and how often do they miss a change?

Everything made is known to have changed or not; what the recordings do nobody knows, and they are shown as
they came. Beside the score of features stands Evidently's own verdict on the same windows.
"""

from __future__ import annotations

from benchmarks.drift_features import made_sheet, recorded_sheet
from benchmarks.drift_outcomes import outcome_sheet, recorded_outcome_sheet
from benchmarks.drift_promotions import promotion_sheet
from benchmarks.market_sources import DATA, recorded_minutes
from benchmarks.sheet import Sheet
from volspike.labels.candles import candle_dataset

TITLE = "False alarms and power of the decisions on drift and promotion"
RUNS, POWER_RUNS = 200, 50
QUICK_RUNS = 2


def run(quick: bool) -> list[Sheet]:
    """Measure everything; ``quick``: a few runs, and no recording."""
    runs, power_runs = (QUICK_RUNS, QUICK_RUNS) if quick else (RUNS, POWER_RUNS)
    sheets = [
        made_sheet(runs, power_runs),
        outcome_sheet(runs, power_runs),
        promotion_sheet(runs, power_runs),
    ]
    candles = None if quick else recorded_minutes(DATA)
    if candles is None:
        return sheets
    dataset = candle_dataset(candles)
    return [*sheets, recorded_sheet(dataset), recorded_outcome_sheet(dataset)]
