"""What a benchmark reports, and how times are taken: medians of interleaved repetitions."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.sheet import Sheet
from volspike.cli.output import cell_text

LIBRARIES = ("numpy", "numba", "polars", "pandas", "pyarrow", "msgspec", "websockets", "xgboost-cpu")


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes
    ----------
    name : str
        What was measured.
    value : float or None
        In ``unit``; ``x`` is a ratio to ours within the same run. None where it could not be measured.
    target : str
        What DESIGN asks; empty where it asks nothing.
    met : bool or None
        Whether the target was met.
    """

    name: str
    value: float | None
    unit: str
    target: str = ""
    met: bool | None = None


def at_most(name: str, value: float, unit: str, limit: float) -> Figure:
    """Return a figure whose target is an upper limit."""
    return Figure(name, float(value), unit, f"<= {limit:g}", bool(value <= limit))


def at_least(name: str, value: float, unit: str, limit: float) -> Figure:
    """Return a figure whose target is a lower limit."""
    return Figure(name, float(value), unit, f">= {limit:g}", bool(value >= limit))


class Seconds(NamedTuple):
    """Medians."""

    wall: float
    processor: float


def seconds(calls: Mapping[str, Callable[[], Any]], repetitions: int) -> dict[str, Seconds]:
    """Return median times of each call, once warm; repetitions are interleaved, so drift hits all."""
    taken: dict[str, list[Seconds]] = {name: [] for name in calls}
    for repetition in range(repetitions + 1):
        for name, call in calls.items():
            wall_ns, processor_ns = time.perf_counter_ns(), time.process_time_ns()
            call()
            wall_ns, processor_ns = time.perf_counter_ns() - wall_ns, time.process_time_ns() - processor_ns
            if repetition:
                taken[name].append(Seconds(wall_ns / 1e9, processor_ns / 1e9))
    return {name: Seconds(*map(statistics.median, zip(*each, strict=True))) for name, each in taken.items()}


def machine() -> dict[str, str]:
    """Return what the figures were measured on."""
    installed = {d.metadata["Name"].lower(): d.version for d in metadata.distributions()}
    return {
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        **{name: installed[name] for name in LIBRARIES if name in installed},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def show(console: Console, title: str, figures: list[Figure]) -> None:
    """Print one benchmark's figures."""
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    table.add_column("measured", justify="right")
    table.add_column("target", justify="right")
    table.add_column("")
    for figure in figures:
        verdict = "" if figure.met is None else "[green]met[/green]" if figure.met else "[red]missed[/red]"
        table.add_row(figure.name, f"{cell_text(figure.value)} {figure.unit}", figure.target, verdict)
    console.print(table)


def as_dicts(figures: Sequence[Figure | Sheet]) -> list[dict[str, Any]]:
    """Return figures as JSON-ready values."""
    return [asdict(figure) for figure in figures]
