"""Options that several verbs share, and the bounds of numbers that settings do not check."""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal

import typer

MAX_SEED = 2**31 - 1  # as in config.py, which help does not import
MAX_TIME_NS = 4_102_444_800 * 10**9  # the year 2100
LONGEST_S = 366 * 86_400.0
MAX_HISTORY_HOURS = 1_000.0


def above_zero(value: float | None) -> float | None:
    """Refuse a number that is not finite and above 0."""
    if value is not None and not 0 < value < math.inf:
        raise typer.BadParameter(f"{value} is no finite number above 0")
    return value


def numbers(text: str) -> list[float]:
    """Return the numbers of a list with commas; none for an empty one."""
    return [float(part) for part in text.split(",")] if text else []


def above_zero_list(text: str) -> str:
    """Refuse a list with commas in which something is no finite number above 0, or is said twice."""
    try:
        values = numbers(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no list of numbers with commas") from None
    for value in values:
        above_zero(value)
    if len(set(values)) < len(values):
        raise typer.BadParameter(f"{text!r} names a number twice")
    return text


def finite(value: float) -> float:
    """Refuse NaN, which lies in no range and outside none."""
    if not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number")
    return value


def check_source(source: str | None, feed: str | None) -> None:
    """Refuse a source of candles where no candles are asked for."""
    if source is not None and feed != "candles":
        raise typer.BadParameter("it goes with --feed candles", param_hint="--source")


def _seconds(value: float | None) -> float | None:
    if value is not None and value > LONGEST_S:
        raise typer.BadParameter(f"{value} s is more than a year")
    return above_zero(value)


def _name(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", value):
        raise typer.BadParameter(f"{value!r} is not of letters, digits, - and _ alone")
    return value


def _capitals(value: str | None) -> str | None:
    return None if value is None else value.upper()


Model = Annotated[
    str, typer.Option("--model", help="Bundle directory or models:/NAME@ALIAS. (default: the champion)")
]
Product = Annotated[
    str | None, typer.Option(help="Product; needed where several are stored.", callback=_capitals)
]
OnlyProduct = Annotated[
    str | None, typer.Option("--product", help="Only those of this product.", callback=_capitals)
]
Feed = Annotated[
    Literal["exchange", "advanced"] | None,
    typer.Option(help="Feed; needed where a product is stored from both."),
]
Source = Annotated[
    Literal["exchange", "advanced", "candles"] | None,
    typer.Option("--feed", help="Feed, or candles. (default: ticks; needed for two feeds)"),
]
CandleSource = Annotated[
    Literal["coinbase", "recorder", "csv"] | None,
    typer.Option("--source", help="Whose candles, of several. (default: the exchange's)", show_default=False),
]
Seed = Annotated[
    int | None, typer.Option(help="Seed of everything random. (default: 7)", min=0, max=MAX_SEED)
]
ExitAfter = Annotated[
    float | None, typer.Option(help="Stop after so many seconds in all.", callback=_seconds)
]
Every = Annotated[float, typer.Option(help="Seconds between two rounds.", min=0.1, callback=_seconds)]
WithParent = Annotated[
    int | None,
    typer.Option("--with-parent", hidden=True, help="Number of the process that began it, to end with."),
]
Replay = Annotated[
    bool,
    typer.Option("--replay", help="First store rows that are only archived: beside ingest, not beside run."),
]
Bus = Annotated[
    Literal["embedded", "kafka"] | None, typer.Option(help="Where the topics are. (default: embedded)")
]
Bootstrap = Annotated[
    str | None,
    typer.Option("--kafka-bootstrap", help="Kafka brokers, host:port with commas.", show_default=False),
]
WorkerName = Annotated[
    str | None,
    typer.Option(
        "--name", help="Name among the workers of this stage: restarted, it goes on at once.", callback=_name
    ),
]
MetricsPort = Annotated[
    int | None,
    typer.Option("--metrics-port", min=0, max=65_535, help="Serve /metrics and /healthz here; 0: any port."),
]
All = Annotated[bool, typer.Option("--all", help="Every column there is.")]
