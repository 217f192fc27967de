"""A retraining that dies at a step, stops there or runs out of memory: ``killed_retraining.py ROOT WHAT``.

What is trained is a bundle that is there at once: the steps around a training are what matters here.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np

from made_bundles import FEED, PRODUCT, make_bundle
from volspike.clock import SystemClock
from volspike.pipeline import retraining
from volspike.pipeline.home import Home
from volspike.pipeline.limits import bounded
from volspike.testing.crash_point import CrashPoint
from whole_runs import settings_for

REQUEST = retraining.Request(PRODUCT, FEED, "schedule", 10**18)
SEED = 77


def train_at_once(
    home: Home, _settings: Any, _product: str, _feed: str, _say: Any, _since: int, crown: Any, **_given: Any
) -> Any:
    """Stand for a training."""
    bundle = make_bundle(home.models, SEED)
    name = bundle.manifest.name
    crown(home.models, name, bundle.manifest.version)
    return SimpleNamespace(result=SimpleNamespace(bundles={name: bundle}, champion=name), as_dict=dict)


def train_too_much(*_given: Any, **_named: Any) -> None:
    """Ask for more memory than there is."""
    np.ones(2**33)


def wait(step: str) -> None:
    """Say that it has begun, and wait to be let go on."""
    if step == "started":
        print("started", flush=True)
        sys.stdin.read()


def stall(step: str) -> None:
    """Go on by itself after a minute only."""
    if step == "started":
        time.sleep(60.0)


def main(root: Path, what: str) -> None:
    """Retrain, to the end or to the point of death."""
    retraining.train_models = train_too_much if what == "memory" else train_at_once
    reached = {"wait": wait, "stall": stall}.get(what, CrashPoint(what, kill=True))
    with bounded(60.0, 2_048):
        retraining.retrain(Home(root), settings_for(root), REQUEST, SystemClock(), print, reached)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
