"""Read minute candles from CSV files: a recorder's own rows, or what an exchange hands out.

A recorder's rows count minutes (``minute_epoch``) and say how many trades there were; where they don't, it
was asleep. All other files have a time that is the start of the minute.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import nan
from pathlib import Path

import msgspec
import numpy as np

from volspike.errors import ImportFormatError, ProtocolError
from volspike.exchange.candles import (
    EARLIEST_MINUTE,
    FIGURES,
    MINUTE_NS,
    Candle,
    CandleTable,
    assemble,
    fault_of,
)
from volspike.exchange.decimals import INT64_MAX
from volspike.recording.field_names import PRODUCT, normal
from volspike.recording.foreign_file import ForeignFile
from volspike.recording.foreign_values import TimeReader, guess_unit, is_number

RECORDER, PLAIN = "recorder", "csv"

# Most telling first; compared as ``normal`` writes them.
_NAMES: Mapping[str, Sequence[str]] = {
    "minute": ("minuteepoch",),
    "time": (
        "time",
        "opentime",
        "timestamp",
        "unix",
        "unixtimestamp",
        "start",
        "starttime",
        "datetime",
        "date",
        "ts",
        "t",
    ),
    "open": ("open", "openprice", "o"),
    "high": ("high", "highprice", "h"),
    "low": ("low", "lowprice", "l"),
    "close": ("close", "closeprice", "c"),
    "volume": ("volume", "basevolume", "vol", "v"),
    "trades": ("trades", "tradecount", "numtrades", "numberoftrades", "count", "n"),
    "buy_share": ("buyshare",),
    "book_imbalance": ("bookimb", "bookimbalance"),
    "order_flow_imbalance": ("ofi", "orderflowimbalance"),
    "product": PRODUCT,
}
_REQUIRED = ("high", "low", "close")
_ABSENT = frozenset({"", "nan", "null", "none", "na", "n/a"})
_IN_NAME = re.compile(r"([A-Z0-9]{2,20}-[A-Z]{3,20})(?![A-Za-z0-9-])")
_WITHOUT_SECONDS = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}")
_PRODUCT = re.compile(r"[A-Z0-9][A-Z0-9._-]{0,80}")
_ENOUGH_TO_TELL_STEP = 10
_MOST_SHORT_FRAC = 0.1
_PROGRESS_ROWS = 2_000
_LAST_MINUTE = INT64_MAX // MINUTE_NS
_COLUMNS = "give a CSV whose header row names time, low, high, open, close, volume"

_decode_row = msgspec.json.Decoder(dict[str, str]).decode


def read_candle_csv(
    path: Path,
    product: str = "",
    progress: Callable[[int], None] | None = None,
    now: int | None = None,
) -> tuple[CandleTable, dict[str, int]]:
    """Read the minute candles of a CSV file, plain, gzip or zstd.

    Parameters
    ----------
    path : Path
        A file with a header row. Names are recognised without case, underscores and hyphens: ``time`` (or
        ``timestamp``, ``date``, ``open_time``, ...; seconds, ms, us, ns or ISO, UTC where it has no zone),
        ``high``, ``low``, ``close``, and where they are there ``open``, ``volume``, ``trades``,
        ``buy_share``, ``book_imb``, ``ofi`` and ``product``.
    product : str
        Of rows that name none, where the file's name does not begin with it either. Rows of other products
        are rejected.
    progress : callable, optional
        Told now and then how many more candles were read.
    now : int, optional
        Minute since 1970 that is not over: it and all that follow are rejected.

    Returns
    -------
    table : CandleTable
        What can be used, in order of time.
    rejected : dict of str to int
        What can't, by reason: ``columns`` (another number of them than the header), ``asleep``, ``missing``,
        ``number``, ``time``, ``off_minute``, ``before_2010``, ``future``, ``product``, ``other_product``,
        and those of ``fault_of`` and ``assemble``. With ``len(table)`` they add up to the rows that are not
        blank.

    Raises
    ------
    ImportFormatError
        If the file can't be read, has no such columns, names no product or several, or its candles are not
        of a minute: of less or more, or most of them do not begin with one.
    """
    rows = _Rows(path, product, now)
    candles = []
    for number, candle in enumerate(rows.candles(), start=1):
        candles.append(candle)
        if progress is not None and number % _PROGRESS_ROWS == 0:
            progress(_PROGRESS_ROWS)
    rows.check_minutes(len(candles))
    table = assemble(rows.product, rows.source, candles, rows.rejected)
    _check_step(path, table)
    return table, dict(sorted(rows.rejected.items()))


class _Rows:
    """The rows of one file.

    Attributes
    ----------
    product, source : str
        Known once a row has been read.
    rejected : Counter
        Rows by the reason they can't be used for.
    """

    def __init__(self, path: Path, product: str, now: int | None) -> None:
        self.product = product
        self._now = now
        self._before_ns: int | None = None
        self._steps: Counter[bool] = Counter()  # by whether they are shorter than a minute
        self.source = PLAIN
        self.rejected: Counter[str] = Counter()
        self._path = path
        self._file = ForeignFile(path)
        self._names: dict[str, str] | None = None
        self._times = TimeReader("UTC")
        self._is_chosen = bool(product)
        if not self._file.is_csv:
            raise ImportFormatError(
                str(path), "is no CSV by its name", "name files of candles .csv or .csv.gz"
            )

    def candles(self) -> Iterator[Candle]:
        """Yield the sound candles, and count the rows that are none."""
        for line in self._file.lines():
            if not line.strip():
                continue
            try:
                yield self._candle(line)
            except ProtocolError as error:
                self.rejected[error.reason] += 1
        if self._names is None:
            raise ImportFormatError(
                str(self._path),
                "has no row under a header",
                "give a CSV of time, low, high, open, close, volume",
            )

    def _candle(self, line: bytes) -> Candle:
        try:
            row = _decode_row(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ProtocolError("columns") from None
        if self._names is None:
            self._names = self._recognise(row)
        cells = {field: row[name].strip() for field, name in self._names.items()}
        self._check_product(cells)
        if self.source == RECORDER and _is_absent(cells["trades"]):
            raise ProtocolError("asleep")
        figures = {name: _figure(name, cells[name]) if name in cells else nan for name in FIGURES}
        candle = Candle(self._minute(cells), **figures)
        if candle.minute < EARLIEST_MINUTE:
            raise ProtocolError("before_2010")
        if self._now is not None and candle.minute >= self._now:
            raise ProtocolError("future")
        if fault := fault_of(candle, close_is_traded=self.source != RECORDER):
            raise ProtocolError(fault)
        return candle

    def _recognise(self, row: Mapping[str, str]) -> dict[str, str]:
        """Find the columns by their names, and with them whose rows these are."""
        spelt = {normal(name): name for name in reversed([*row])}
        found = {
            field: spelt[next(name for name in names if name in spelt)]
            for field, names in _NAMES.items()
            if not spelt.keys().isdisjoint(names)
        }
        lacking = [name for name in _REQUIRED if name not in found]
        if "minute" not in found and "time" not in found:
            lacking.insert(0, "time")
        if lacking:
            raise ImportFormatError(
                str(self._path),
                f"has no column for {', '.join(lacking)}",
                _COLUMNS,
            )
        if found.keys() >= {"minute", "trades"}:
            self.source = RECORDER
        if "product" not in found:
            self.product = self._product_of_name()
        return found

    def _product_of_name(self) -> str:
        match = _IN_NAME.match(self._path.name)
        named = match[1] if match else ""
        if not (named or self.product):
            raise ImportFormatError(str(self._path), "names no product", "say which with --product")
        if named and self.product and named != self.product:
            raise ImportFormatError(
                str(self._path),
                f"is of {named} by its name, not of {self.product}",
                "leave it or --product out",
            )
        return named or self.product

    def _check_product(self, cells: Mapping[str, str]) -> None:
        named = cells.get("product", self.product).upper().replace("/", "-")
        if not _PRODUCT.fullmatch(named):
            raise ProtocolError("product" if named else "missing", named)
        self.product = self.product or named
        if named == self.product:
            return
        if self._is_chosen:
            raise ProtocolError("other_product")
        raise ImportFormatError(
            str(self._path), f"holds {self.product} and {named}", "choose one with --product"
        )

    def _minute(self, cells: Mapping[str, str]) -> int:
        if "minute" in cells:
            text = cells["minute"]
            is_minute = text.isdigit() and text.isascii() and len(text) < 10 and int(text) <= _LAST_MINUTE
            if not is_minute:
                raise ProtocolError("missing" if _is_absent(text) else "time", text)
            return int(text)
        time_ns = _time_ns(cells["time"], self._times)
        if self._before_ns not in (None, time_ns):
            self._steps[abs(time_ns - (self._before_ns or 0)) < MINUTE_NS] += 1
        self._before_ns = time_ns
        return _whole_minute(cells["time"], time_ns)

    def check_minutes(self, sound: int) -> None:
        """Refuse what is no file of minutes, of which the odd row would pass for one.

        Parameters
        ----------
        sound : int
            How many candles could be used.
        """
        short, off = self._steps[True], self.rejected["off_minute"]
        if self._steps.total() >= _ENOUGH_TO_TELL_STEP and short > _MOST_SHORT_FRAC * self._steps.total():
            reason = f"has candles of less than a minute: {short:,} of {self._steps.total():,} steps"
        elif off > max(sound, _ENOUGH_TO_TELL_STEP):
            reason = f"has {off:,} rows that do not begin with a minute, and {sound:,} that do"
        else:
            return
        raise ImportFormatError(
            str(self._path), reason, "give candles of 60 s: times in s, ms, us, ns or ISO"
        )


def minute_of(text: str, times: TimeReader) -> int:
    """Read a time that is the start of a minute.

    Parameters
    ----------
    text : str
        Seconds, ms, us or ns since 1970, or an ISO time, whose seconds may be left out.
    times : TimeReader
        Knows the zone of times without one.

    Returns
    -------
    int
        Minutes since 1970, UTC.

    Raises
    ------
    ProtocolError
        Reason ``missing``, ``time`` (it is none) or ``off_minute``.
    """
    return _whole_minute(text, _time_ns(text, times))


def _time_ns(text: str, times: TimeReader) -> int:
    if _is_absent(text):
        raise ProtocolError("missing")
    if _WITHOUT_SECONDS.fullmatch(text):
        text += ":00"
    return times.read(text, guess_unit(text))


def _whole_minute(text: str, time_ns: int) -> int:
    minute, rest_ns = divmod(time_ns, MINUTE_NS)
    if rest_ns:
        raise ProtocolError("off_minute", text)
    return minute


def _is_absent(text: str) -> bool:
    return text.lower() in _ABSENT


def _figure(name: str, text: str) -> float:
    if _is_absent(text):
        if name in _REQUIRED:
            raise ProtocolError("missing")
        return nan
    value = float(text) if len(text) <= 64 and is_number(text) else math.inf
    if not math.isfinite(value):
        raise ProtocolError("number")
    return value


def _check_step(path: Path, table: CandleTable) -> None:
    """Refuse candles of five minutes or an hour, which would pass for minutes with holes between them."""
    if len(table) < _ENOUGH_TO_TELL_STEP:
        return
    step = int(np.gcd.reduce(np.diff(table.minute)))
    if step > 1:
        raise ImportFormatError(
            str(path), f"has candles of {step} minutes, not of one", "fetch candles of a granularity of 60 s"
        )
