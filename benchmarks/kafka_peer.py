"""Quix Streams over the same ticks, in an environment of its own with its own pinned packages."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.kafka_streams import market, outgoing, show_at_once, topics
from benchmarks.kafka_trials import ROOT, Pace, answer, pace, started
from benchmarks.kafka_workers import GROUP
from volspike.bus.kafka_cluster import KafkaCluster
from volspike.bus.topics import FEATURES, TICKS

REQUIREMENTS = ROOT / "requirements" / "quixstreams.txt"
# Ticks a second of each product, and ticks in all. Its sliding window takes a time for each tick that grows
# with the ticks in it, so there it gets few: 12 a second, 720 in the full window of a product.
STREAMS = {"tumbling": (250, 60_000), "sliding": (12, 7_000)}
_MINUTES = 10


def peers(bootstrap: str, cache: Path) -> list[Figure]:
    """Measure its two windows; where it can't be installed, say so."""
    name = "Quix Streams, 60 s {} mean"
    try:
        python = environment(cache)
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(getattr(error, "stderr", "") or error).strip().splitlines()[-1]
        return [Figure(f"{name.format(kind)}: not measured, {reason}", None, "") for kind in STREAMS]
    figures = []
    for kind, (per_second, count) in STREAMS.items():
        found = measured(bootstrap, python, kind, per_second, count)
        figures += [
            Figure(name.format(kind), found.per_s, "ticks/s"),
            Figure(f"{name.format(kind)}, processor", found.cpu_us, "us a tick"),
        ]
    return figures


def environment(cache: Path) -> Path:
    """Return the Python of the environment, which is made at need.

    Raises
    ------
    OSError, SubprocessError
        It can't be made.
    """
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    home = cache / f"quixstreams-{digest}-{sys.version_info.major}.{sys.version_info.minor}"
    python = home / "bin" / "python"
    if (home / "complete").exists():
        return python
    shutil.rmtree(home, ignore_errors=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", str(home)],
        [*install, "--require-hashes", "--requirement", str(REQUIREMENTS)],
    ):
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_MINUTES * 60)
    (home / "complete").touch()
    return python


def measured(bootstrap: str, python: Path, kind: str, per_second: int, count: int) -> Pace:
    """Return the pace of one kind of window."""
    suffix = f"-{secrets.token_hex(4)}"
    group = GROUP + suffix
    places = [TICKS.name + suffix, FEATURES.name + suffix]
    with topics(KafkaCluster(bootstrap), suffix), tempfile.TemporaryDirectory() as directory:
        command = ["benchmarks.quix_windows", kind, bootstrap, group, *places, directory, str(count)]
        with started([command], str(python)) as (process,):
            show_at_once(bootstrap, outgoing(market(per_second, count), suffix), group, 1)
            return pace([json.loads(answer(process))], count)
