"""What Evidently's drift preset says of the same windows with its settings as they come."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]


def drifted_frac(references: Sequence[F8], currents: Sequence[F8]) -> float:
    """Return the share of series, float64[n] beside float64[m], one pair a column, it finds drifted."""
    os.environ["DO_NOT_TRACK"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports, which pytest takes for errors
        import pandas as pd

        evidently = importlib.import_module("evidently")
        presets = importlib.import_module("evidently.presets")
        reference, current = (
            pd.DataFrame({f"c{i}": column for i, column in enumerate(side)})
            for side in (references, currents)
        )
        report = evidently.Report([presets.DataDriftPreset()], include_tests=True).run(current, reference)
        statuses = [test["status"].value for test in report.dict()["tests"] if test["id"] == "drift"]
    return statuses.count("FAIL") / len(statuses)
