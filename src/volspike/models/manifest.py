"""What a model bundle says about itself; the hash of it is the version."""

from __future__ import annotations

import hashlib
import math
import re
from typing import Annotated

import msgspec
from msgspec import Meta

from volspike.errors import ConfigError
from volspike.labels.tau import TauSpec
from volspike.models.bounds import InputBounds
from volspike.models.calibration import Calibration, SigmaBand
from volspike.models.inputs import InputSpec
from volspike.models.state import STATE, StateWeights

FORMAT = 2
MANIFEST_FILE = "manifest.json"
REFERENCE_FILE = "reference.json"
WEIGHTS_FILE = "weights.json"
VERSION_DIGITS = 12
LIVE_TARGET = "rv"  # what a model must predict to serve live
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
VERSION = re.compile(rf"[0-9a-f]{{{VERSION_DIGITS}}}")

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Volatility = Annotated[float, Meta(ge=0.0, le=1e5)]  # basis points
Increment = Annotated[float, Meta(gt=0.0, le=1e9)]
Product = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
Words = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
Feed = Annotated[str, Meta(pattern=r"^[a-z_]+$", max_length=100)]


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file of the bundle."""

    path: str
    sha256: str
    bytes: int


class TauEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How tau was set in training, and the fixed tau (bps) for when there is too little history."""

    mode: str
    quantile: Share
    floor_bps: Volatility
    fixed_bps: Volatility

    def __post_init__(self) -> None:
        try:
            self.spec()
        except ConfigError as error:
            raise ValueError(str(error)) from None
        if not 0.0 < self.fixed_bps < math.inf:
            raise ValueError(f"a fixed tau of {self.fixed_bps} bps")

    def spec(self) -> TauSpec:
        """Return how tau is set; a value that is out of range is refused there."""
        return TauSpec(self.mode, self.quantile, self.floor_bps)  # type: ignore[arg-type]


class AlertEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Probabilities at which an alert opens and closes, and where they come from."""

    open_at: Share
    close_at: Share
    reason: Words

    def __post_init__(self) -> None:
        if not 0.0 <= self.close_at <= self.open_at <= 1.0:
            raise ValueError(f"alerts would open at {self.open_at} and close at {self.close_at}")


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the model was fitted on: first and last event time (ns), labelled rows of each slice, settings.

    ``rows_sha256`` is the hash of those rows. ``tune`` and ``calibrate`` may be empty.
    """

    first_ns: int
    last_ns: int
    fit_rows: int
    tune_rows: int
    calibrate_rows: int
    rows_sha256: str
    seed: int
    class_weight: str
    settings: dict[str, str]

    def __post_init__(self) -> None:
        if self.first_ns > self.last_ns:
            raise ValueError("the training span ends before it begins")
        if min(self.fit_rows, self.tune_rows, self.calibrate_rows) < 0:
            raise ValueError("a slice with fewer than no rows")

    @property
    def span_ns(self) -> tuple[int, int]:
        """Return the first and last event time (ns): predictions in between are in sample."""
        return self.first_ns, self.last_ns


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the bundle comes from; no part of its version.

    So a model stays the same when only its test slice changes, and a rebuilt library does not rename it.
    ``scores`` has those of each slice by name; under ``test`` also ``first_ns`` and ``last_ns``, its ends
    (event time, ns). No field may be added: the version is a hash over their names too.
    """

    dataset_sha256: str = ""
    test_rows: int = 0
    code_version: str = ""
    libraries: dict[str, str] = {}
    scores: dict[str, dict[str, float | int | bool | None]] = {}


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The manifest of a bundle.

    Attributes
    ----------
    name, version, kind : str
        ``version``: the first 12 hexadecimal digits of the sha256 of the manifest without ``version`` and
        ``provenance``. ``kind``: ``zscore``, ``logistic``, ``xgboost``, ``blend`` or ``online``.
    feature_set, feature_set_version, feature_set_hash : str, int, str
        The feature set whose rows it takes.
    inputs : InputSpec or None
        How its inputs are made; None for a rule on the volatility state.
    product, feed, event_time_source : str
        Of the training rows.
    feed_dependent : bool
        Whether an input's scale changes with the feed, so that it serves its own feed only.
    target : str
        What it predicts.
    increment : float
        Quote increment in quote currency: in logs no volatility is below one of it over the mid.
    enough_data, notes : bool, tuple of str
        Whether the training data was enough, and what to know about it, in words. Of the test slice, on which
        a claim rests, ``scored_on_enough`` tells.
    reference : str
        Rule in ``reference.json``.
    bounds : InputBounds
        What the fit slice has shown of each input; a row beyond is out of the model's depth.
    """

    format: int
    name: str
    version: str
    kind: str
    feature_set: str
    feature_set_version: int
    feature_set_hash: str
    inputs: InputSpec | None
    product: Product
    feed: Feed
    event_time_source: str
    feed_dependent: bool
    target: str
    increment: Increment
    tau: TauEntry
    calibration: Calibration
    sigma_band: SigmaBand
    alert: AlertEntry
    training: Training
    enough_data: bool
    notes: tuple[Words, ...]
    reference: Words
    files: tuple[FileEntry, ...]
    provenance: Provenance
    bounds: InputBounds = InputBounds()  # of format 2; a bundle of format 1 is told by its number

    def __post_init__(self) -> None:
        if not 0.0 < self.increment < math.inf:
            raise ValueError(f"a quote increment of {self.increment}")

    @property
    def input_names(self) -> tuple[str, ...]:
        """Return the names of the model's inputs."""
        return self.inputs.names if self.inputs is not None else STATE

    @property
    def scored_on_enough(self) -> bool:
        """Tell whether the scores of the test slice stand on enough data for a claim."""
        return bool(self.provenance.scores.get("test", {}).get("enough_data"))


class ReferenceEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The reference as stored beside a model: weights and calibration of its own."""

    weights: StateWeights
    calibration: Calibration
    sigma_band: SigmaBand


def content_version(manifest: Manifest) -> str:
    """Return the version that a manifest's content stands for."""
    plain = msgspec.structs.replace(manifest, version="", provenance=Provenance())
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()[:VERSION_DIGITS]


def file_entry(path: str, content: bytes) -> FileEntry:
    """Return the entry of one file."""
    return FileEntry(path=path, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def calibration_is_proven(manifest: Manifest) -> bool:
    """Tell whether a model was calibrated, and on a slice with enough data to rely on that."""
    thin = any(note.startswith("calibrate: not enough data") for note in manifest.notes)
    return manifest.calibration.calibrated and not thin


def pretty(record: msgspec.Struct) -> bytes:
    """Return a record as indented JSON with a line end."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"
