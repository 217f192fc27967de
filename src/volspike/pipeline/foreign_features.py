"""Somebody's feature file, Parquet or CSV, as rows for the leak audit."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from volspike.errors import FeatureError, NotEnoughDataError
from volspike.evaluation.leaks.rows import AuditRows, number_stretches
from volspike.pipeline.foreign_roles import Roles, Told, assign_roles
from volspike.pipeline.foreign_split import read_split
from volspike.recording.field_names import RECEIVE_TIME, normal

if TYPE_CHECKING:
    import polars as pl

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

FEWEST_ROWS = 100
RECORDINGS = {".ndjson", ".jsonl"}
NO_TIME = np.iinfo(np.int64).min
LATEST_NS = 2**62
# Below these, a number of a time is in units of so many ns.
UNITS = ((1e11, 1e9), (1e14, 1e6), (1e17, 1e3), (np.inf, 1.0))
ODD_NS = 50 * 366 * 86_400 * 10**9  # further from the median than any recording is long
LEAST_PRICED_FRAC = 0.5
# What differs where two recorders wrote the same tick down; as ``normal`` spells them.
ROW_NUMBER = ("row", "rowid", "rownumber", "rownum", "rowindex", "index", "idx", "unnamed:0", "level0", "")
RECORDER = ("file", "filename", "path", "source", "sourcefile", "recorder", "host", "hostname", "session")


def read_foreign(path: Path, told: Told) -> AuditRows:
    """Read a file of feature rows and find out what its columns are.

    Raises
    ------
    FeatureError
        If it can't be read, lacks a column that was named, or has no usable time or label.
    NotEnoughDataError
        If it holds fewer than 100 rows with a time.
    """
    frame = _read(path)
    numeric = [name for name, kind in frame.schema.items() if kind.is_numeric() or str(kind) == "Boolean"]
    roles = assign_roles(str(path), frame.columns, numeric, told)
    if not roles.features:
        raise FeatureError(
            str(path), "no column of it is a feature", "name the model's columns with --features"
        )
    time_ns = _times(path, frame, roles.time)
    known, notes = _plausible(time_ns, roles.time)
    frame, time_ns = frame.filter(known), time_ns[known]
    if len(frame) < FEWEST_ROWS:
        raise NotEnoughDataError(str(path), f"{len(frame)} rows with a time", f"give {FEWEST_ROWS} or more")
    products, product = _products(frame, roles.product)
    order = np.lexsort((time_ns, product))
    return _rows(path, frame[order], roles, told, products, product[order], time_ns[order], notes)


def _read(path: Path) -> pl.DataFrame:
    import polars as pl

    if RECORDINGS & {suffix.lower() for suffix in path.suffixes} and path.is_file():
        remedy = "volspike import it, then volspike replay, then volspike audit without a file"
        raise FeatureError(str(path), "it is a recording of frames or rows, no file of features", remedy)
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pl.read_parquet(path)
        return pl.read_csv(path, try_parse_dates=True, infer_schema_length=10_000)
    except FileNotFoundError:
        raise FeatureError(str(path), "there is no such file", "name a Parquet or CSV file") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = f"it can't be read as Parquet or CSV ({str(error).splitlines()[0]})"
        raise FeatureError(str(path), reason, "give a Parquet or CSV file with a header") from None


def _times(path: Path, frame: pl.DataFrame, name: str) -> I8:
    """Return a column of times in ns; ``NO_TIME`` where there is none.

    Numbers are seconds, ms, us or ns, by their median size, since 1970 or since the file's own start; one
    that overflows counts as the latest there is.
    """
    import polars as pl

    column = frame[name]
    if column.dtype == pl.String:
        column = column.str.to_datetime(time_unit="ns", time_zone="UTC", strict=False)
    if column.dtype.is_temporal():
        return column.cast(pl.Datetime("ns")).to_physical().fill_null(NO_TIME).to_numpy().astype(np.int64)
    if not column.dtype.is_numeric():
        raise FeatureError(str(path), f"{name!r} holds no times", "name the column of times with --time")
    values = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    known = np.isfinite(values)
    usual = float(np.median(np.abs(values[known]))) if np.any(known) else 0.0
    factor = next(factor for limit, factor in UNITS if usual < limit)
    fits = known & (np.abs(values) * factor < LATEST_NS)
    if column.dtype.is_integer():
        whole = np.where(fits, column.fill_null(0).to_numpy(), 0).astype(np.int64) * int(factor)
    else:
        whole = np.rint(np.where(fits, values, 0.0) * factor).astype(np.int64)
    return np.where(fits, whole, np.where(known, LATEST_NS, NO_TIME))


def _plausible(time_ns: I8, name: str) -> tuple[npt.NDArray[np.bool_], tuple[str, ...]]:
    """Return which rows have a time within half a century of the median, and how many have an odd one."""
    known = time_ns != NO_TIME
    if not np.any(known):
        return known, _counted(~known, "rows are left out, for they have no time")
    middle = int(np.median(time_ns[known]))
    odd = known & ((time_ns > middle + ODD_NS) | (time_ns < middle - ODD_NS))
    notes = (
        *_counted(~known, f"rows are left out, for they have no {name}"),
        *_counted(odd, f"rows are left out for their odd {name}"),
    )
    return known & ~odd, notes


def _counted(chosen: npt.NDArray[np.bool_], what: str) -> tuple[str, ...]:
    count = int(np.count_nonzero(chosen))
    return (f"{count:,} {what}",) if count else ()


def _products(frame: pl.DataFrame, name: str) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    if not name:
        return ("",), np.zeros(len(frame), np.int32)
    names, number = np.unique(frame[name].cast(str).fill_null("").to_numpy(), return_inverse=True)
    return tuple(map(str, names)), number.astype(np.int32)


def _rows(
    path: Path,
    frame: pl.DataFrame,
    roles: Roles,
    told: Told,
    products: tuple[str, ...],
    product: npt.NDArray[np.int32],
    time_ns: I8,
    notes: tuple[str, ...],
) -> AuditRows:
    values, infinite = _features(frame, roles.features)
    mid, unpriced = _mid(frame, roles.mid)
    in_test, unsplit = read_split(frame, roles.split) if roles.split else (None, ())
    label, target = _labels(path, frame, roles, told, product, time_ns)
    return AuditRows(
        subject=str(path),
        products=products,
        product=product,
        time_ns=time_ns,
        stretch=number_stretches(product, time_ns),
        names=roles.features,
        values=values,
        label=label,
        levels=roles.levels,
        target=target,
        target_name=roles.target,
        label_name=roles.label or told.next_row,
        mid=mid,
        receive_ns=_times(path, frame, roles.receive) if roles.receive else None,
        clock=roles.clock,
        trade_id=_whole_numbers(frame, roles.trade_id) if roles.trade_id else None,
        whole_rows=_hashed(frame, roles),
        in_test=in_test,
        train_frac=told.train_frac,
        window_s=told.window_s,
        horizon_s=told.horizon_s,
        notes=(*notes, *infinite, *unpriced, *unsplit),
    )


def _numbers(frame: pl.DataFrame, names: tuple[str, ...]) -> F8:
    import polars as pl

    if not names:
        return np.empty((len(frame), 0))
    columns = [frame[name].cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy() for name in names]
    return np.column_stack(columns)


def _features(frame: pl.DataFrame, names: tuple[str, ...]) -> tuple[F8, tuple[str, ...]]:
    """Return the features, an infinite value as a missing one, and how many of those each column has."""
    values = _numbers(frame, names)
    infinite = np.isinf(values)
    notes = (
        _counted(infinite[:, index], f"infinite values of {name} are taken for missing")
        for index, name in enumerate(names)
    )
    return np.where(infinite, np.nan, values), tuple(chain.from_iterable(notes))


def _mid(frame: pl.DataFrame, names: tuple[str, ...]) -> tuple[F8 | None, tuple[str, ...]]:
    """Return the prices, NaN where there is none above 0; none at all where that is most rows."""
    if not names:
        return None, ()
    mid = _numbers(frame, names).mean(axis=1)
    priced = np.isfinite(mid) & (mid > 0.0)
    notes = _counted(~priced, f"rows have no price above 0 ({', '.join(names)})")
    if np.mean(priced) < LEAST_PRICED_FRAC:
        return None, (*notes, "so few prices are not used: what takes them can't be told")
    return np.where(priced, mid, np.nan), notes


def _hashed(frame: pl.DataFrame, roles: Roles) -> I8:
    """Return a hash of each row without what two recorders of one market write differently."""
    left_out = [name for name in frame.columns if name == roles.receive or _is_recorders(name)]
    return (frame.drop(left_out).hash_rows(seed=0).to_numpy() >> 1).astype(np.int64)


def _is_recorders(name: str) -> bool:
    return normal(name) in (*RECEIVE_TIME, *ROW_NUMBER, *RECORDER)


def _whole_numbers(frame: pl.DataFrame, name: str) -> I8:
    import polars as pl

    return frame[name].cast(pl.Int64, strict=False).fill_null(-1).to_numpy().astype(np.int64)


def _labels(
    path: Path,
    frame: pl.DataFrame,
    roles: Roles,
    told: Told,
    product: npt.NDArray[np.int32],
    time_ns: I8,
) -> tuple[npt.NDArray[np.int8], F8 | None]:
    """Return the label and the volatility behind it.

    A label of more than two values is itself that volatility; then a spike is its highest part on the rows
    that training sees.
    """
    name = told.next_row or roles.label
    if not name:
        remedy = "name it with --label, or, if training takes a column of the next row, that with --next-row"
        raise FeatureError(str(path), "no column is named as a label", remedy)
    values = _numbers(frame, (name,))[:, 0]
    if not np.any(np.isfinite(values)):
        raise FeatureError(
            str(path), f"{name!r} holds no numbers", "name a column of 0 and 1, or of volatilities"
        )
    if told.next_row:
        values = np.append(values[1:], np.nan)
        values[np.append(np.diff(product) != 0, True)] = np.nan
    present = np.unique(values[np.isfinite(values)])
    if told.next_row or len(present) > 2:
        return _spikes(values, time_ns, told), values
    if len(present) < 2:
        raise FeatureError(str(path), f"{name!r} holds one class", "give rows of both classes")
    label = np.where(np.isfinite(values), values == present[-1], -1).astype(np.int8)
    return label, _numbers(frame, (roles.target,))[:, 0] if roles.target else None


def _spikes(sigma: F8, time_ns: I8, told: Told) -> npt.NDArray[np.int8]:
    known = np.isfinite(sigma)
    early = np.sort(time_ns[known])
    seen = known & (time_ns <= early[max(0, round(told.train_frac * len(early)) - 1)])
    tau = np.quantile(sigma[seen], told.tau_quantile)
    return np.where(known, sigma >= tau, -1).astype(np.int8)
