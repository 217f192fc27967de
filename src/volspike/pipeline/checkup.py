"""What ``doctor`` looks at; each finding says what to do about it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import platform
import random
import shutil
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from volspike.clock import SimulatedClock
from volspike.config import Settings
from volspike.errors import VolspikeError
from volspike.exchange.client import FeedClient
from volspike.exchange.connecting import shown_url
from volspike.exchange.dialects import get_dialect
from volspike.exchange.items import Control, Decoded, Heartbeat, Quote, Rejected
from volspike.exchange.products import PriceScales
from volspike.pipeline.home import Home
from volspike.pipeline.served_models import choose_models, tell_untried

LIBRARIES = ("numpy", "numba", "pyarrow", "polars", "websockets", "msgspec", "scikit-learn", "mlflow")
LISTEN_S = 10.0
FREE_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Finding:
    """One check: what, whether it is well, what was found, and what to do if it is not."""

    what: str
    ok: bool
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as JSON-able values."""
        return asdict(self)


def check_machine(settings: Settings) -> list[Finding]:
    """Check everything that needs no network."""
    return [
        _python(),
        *(_library(name) for name in LIBRARIES),
        _kernel(),
        _directory(settings),
        _space(settings),
        _models(settings),
    ]


def _python() -> Finding:
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding("python", good, platform.python_version(), "" if good else "install Python 3.11 to 3.13")


def _library(name: str) -> Finding:
    try:
        return Finding(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, "not installed", "run make setup")


def _kernel() -> Finding:
    from volspike.features.engine import make_engine
    from volspike.features.sets import get_feature_set

    if make_engine(get_feature_set("core"), 8).compiled:
        return Finding("window kernel", True, "compiled")
    return Finding("window kernel", True, "pure Python, slower, same results", "install numba for speed")


def _directory(settings: Settings) -> Finding:
    try:
        is_there = Home(settings.data_dir).check()
    except VolspikeError as error:
        return Finding("data directory", False, error.reason, error.remedy)
    return Finding("data directory", True, f"{settings.data_dir}{'' if is_there else ', not made yet'}")


def _space(settings: Settings) -> Finding:
    free = shutil.disk_usage(Home(settings.data_dir).nearest).free
    remedy = "" if free > FREE_BYTES else "make room: a product's raw day takes about 1 GB before compression"
    return Finding("disk space", free > FREE_BYTES, f"{free / 1e9:.1f} GB free", remedy)


def _models(settings: Settings) -> Finding:
    try:
        chosen = choose_models(Home(settings.data_dir), settings)
    except VolspikeError as error:
        return Finding("model", False, error.reason, error.remedy)
    tell_untried(chosen.untried, {})
    served = chosen.bundles
    if not served:
        remedy = "volspike run records, and trains a first one in time; or volspike train"
        return Finding("model", True, "none yet", remedy)
    manifests = [bundle.manifest for bundle in served.values()]
    return Finding("model", True, ", ".join(f"{m.name} {m.version} for {m.product}" for m in manifests))


class _Listener:
    """Decodes every frame and counts what it holds."""

    def __init__(self, dialect: str) -> None:
        self._decoder = get_dialect(dialect).make_decoder(PriceScales())
        self.seen: Counter[str] = Counter()

    def begin(self, session: str) -> None:
        """Count a connection."""
        self.seen["sessions"] += 1

    def frame(self, session: str, receive_ns: int, raw: bytes, monotonic_ns: int) -> Decoded:
        """Decode a frame and count its items."""
        decoded = self._decoder.decode(raw)
        self.seen["frames"] += 1
        for item in decoded.items:
            self.seen[_KINDS.get(type(item), "other")] += 1
        return decoded

    def end(self, session: str, reason: str) -> None:
        """Count how the connection ended."""
        if reason != "stop":
            self.seen[reason] += 1


_KINDS: dict[type, str] = {Quote: "quotes", Heartbeat: "heartbeats", Control: "control", Rejected: "rejected"}


def check_exchange(settings: Settings) -> Finding:
    """Connect for ten seconds and decode every frame."""
    dialect = "exchange" if settings.dialect == "auto" else settings.dialect
    listener = _Listener(dialect)
    url = settings.exchange_url or get_dialect(dialect).url
    clock = SimulatedClock()
    client = FeedClient(
        get_dialect(dialect), url, settings.products, clock, random.Random(settings.seed), listener
    )
    try:
        asyncio.run(_listen(client))
    except VolspikeError as error:
        return Finding("exchange", False, error.reason, error.remedy)
    shown = shown_url(url)
    seen = ", ".join(f"{name} {count}" for name, count in sorted(listener.seen.items()))
    if listener.seen["quotes"] and not listener.seen["rejected"]:
        return Finding("exchange", True, f"{shown}: {seen}")
    trouble = client.status.last_error or seen or "nothing was received"
    return Finding(
        "exchange", False, f"{shown}: {trouble}", "check the network, the products and --exchange-url"
    )


async def _listen(client: FeedClient) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(LISTEN_S, stop.set)
    await client.run(stop)
