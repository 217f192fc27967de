"""The column that says of each row of somebody's file whether it is of training or of test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from volspike.recording.field_names import normal

if TYPE_CHECKING:
    import polars as pl

I1 = npt.NDArray[np.int8]

TRAIN = frozenset({"train", "fit", "training", "0", "0.0", "false"})
TEST = frozenset({"test", "testing", "holdout", "1", "1.0", "true"})
NEITHER = frozenset(
    {"", "none", "null", "purge", "purged", "gap", "val", "valid", "validation", "dev"}
    | {"tune", "calibrate", "calibration"}
)
OF_TRAINING = "istrain"  # the only name under which yes means training


def read_split(frame: pl.DataFrame, name: str) -> tuple[I1, tuple[str, ...]]:
    """Return of each row whether it is of test (1), training (0) or neither (-1), and what is not understood.

    Words are compared without case and the spaces around them.

    Parameters
    ----------
    frame : pl.DataFrame
        The file.
    name : str
        Its column of the split.

    Returns
    -------
    in_test : int8[n]
        The part of each row.
    notes : tuple of str
        How many rows have a word that is not known, and which.
    """
    words = frame[name].cast(str).str.strip_chars().str.to_lowercase().fill_null("").to_numpy()
    train, test = (np.isin(words, sorted(known)) for known in (TRAIN, TEST))
    unknown = words[~train & ~test & ~np.isin(words, sorted(NEITHER))]
    if normal(name) == OF_TRAINING:
        train, test = test, train
    if not len(unknown):
        return _parts(train, test), ()
    others = sorted(set(unknown.tolist()))
    shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
    return _parts(train, test), (f"{len(unknown):,} rows have a word for their {name} that is none: {shown}",)


def _parts(train: npt.NDArray[np.bool_], test: npt.NDArray[np.bool_]) -> I1:
    return np.where(test, 1, np.where(train, 0, -1)).astype(np.int8)
