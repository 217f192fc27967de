"""A model as a directory of data: ``models/<name>/<version>/``. Loading one runs no code.

    manifest.json                     what it is, sha256 and size of every other file
    weights.json                      zscore, logistic, online
    classifier.ubj  sigma.ubj         xgboost
    blend.json                        blend, beside the files of logistic and of xgboost
    reference.json                    the reference it is compared with

Files that the manifest doesn't name are never opened.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from volspike.errors import FeatureError, ModelError, UnreadableError
from volspike.features.columns import FeatureSet
from volspike.features.sets import TICK_SETS, get_feature_set
from volspike.models.blend import BLEND_FILE, BlendHeads, BlendShares
from volspike.models.boosted import CLASSIFIER_FILE, SIGMA_FILE, BoostedHeads
from volspike.models.inputs import InputSpec, input_spec
from volspike.models.linear import LinearHeads, LinearWeights
from volspike.models.manifest import (
    FORMAT,
    MANIFEST_FILE,
    NAME,
    REFERENCE_FILE,
    VERSION,
    WEIGHTS_FILE,
    FileEntry,
    Manifest,
    ReferenceEntry,
    content_version,
    file_entry,
)
from volspike.models.online import OnlineHeads, OnlinePredictor, OnlineWeights
from volspike.models.predictor import CalibratedPredictor, Heads
from volspike.models.state import StateHeads, StateWeights
from volspike.models.trees import FlatTrees, booster_json, parse_booster

RETRAIN = "train the model again with volspike train, or restore the directory from a copy"
MAX_MANIFEST_BYTES = 1 << 20
MAX_FILE_BYTES = 1 << 28
FILES = {
    "zscore": (REFERENCE_FILE, WEIGHTS_FILE),
    "logistic": (REFERENCE_FILE, WEIGHTS_FILE),
    "xgboost": (CLASSIFIER_FILE, REFERENCE_FILE, SIGMA_FILE),
    "online": (REFERENCE_FILE, WEIGHTS_FILE),
    "blend": (BLEND_FILE, CLASSIFIER_FILE, REFERENCE_FILE, SIGMA_FILE, WEIGHTS_FILE),
}
T = TypeVar("T")


@dataclass(frozen=True)
class Bundle:
    """A model ready to predict.

    Attributes
    ----------
    manifest : Manifest
        What it is.
    files : dict
        Bytes of every file but the manifest, by name.
    predictor, reference : CalibratedPredictor
        The model, and the reference it is compared with.
    """

    manifest: Manifest
    files: dict[str, bytes]
    predictor: CalibratedPredictor
    reference: CalibratedPredictor


def new_bundle(manifest: Manifest, files: dict[str, bytes]) -> Bundle:
    """Build a bundle in memory: list the files in the manifest and give it its version."""
    entries = tuple(file_entry(name, files[name]) for name in sorted(files))
    listed = msgspec.structs.replace(manifest, files=entries)
    named = msgspec.structs.replace(listed, version=content_version(listed))
    return assemble(named, files, f"model {named.name}")


def load_bundle(directory: Path) -> Bundle:
    """Load a model and verify all of it.

    Parameters
    ----------
    directory : Path
        ``models/<name>/<version>``.

    Raises
    ------
    ModelError
        When it is missing, altered, incomplete, not of this format, holds a number that is not finite, or
        was made for another version of its feature set.
    UnreadableError
        When the operating system refuses a file of it.
    """
    subject = f"model {directory}"
    manifest = _read_manifest(directory, subject)
    files = {entry.path: _read_listed(directory, entry, subject) for entry in manifest.files}
    return assemble(manifest, files, subject)


def assemble(manifest: Manifest, files: dict[str, bytes], subject: str) -> Bundle:
    """Build the predictors of a verified manifest and its files."""
    _check_feature_set(manifest, subject)
    if len(manifest.bounds.low) != len(manifest.input_names):
        raise ModelError(subject, "its bounds are not those of its inputs", RETRAIN)
    try:
        predictor = _predictor(manifest, _heads(manifest, files, subject))
    except ValueError as error:
        raise ModelError(subject, f"its weights don't fit ({error})", RETRAIN) from error
    return Bundle(manifest, files, predictor, _reference(manifest, files[REFERENCE_FILE], subject))


def check_fits(manifest: Manifest, feed: str, product: str, feature_set: str) -> None:
    """Refuse a model for rows it was not made for.

    Parameters
    ----------
    manifest : Manifest
        Of the model.
    feed, product, feature_set : str
        Of the rows it would be given.

    Raises
    ------
    ModelError
        When the feature set or the product differs, or the feed does and an input depends on the feed.
    """
    subject = f"model {manifest.name} {manifest.version}"
    if not takes_rows(manifest, feature_set):
        raise ModelError(
            subject,
            f"it takes feature set {manifest.feature_set}, these rows are {feature_set}",
            f"featurize with {manifest.feature_set}, or train on {feature_set}",
        )
    if manifest.product != product:
        raise ModelError(
            subject, f"it was trained on {manifest.product}, not {product}", f"train on {product}"
        )
    if manifest.feed_dependent and manifest.feed != feed:
        raise ModelError(
            subject,
            f"its inputs depend on the feed: trained on {manifest.feed!r}, these rows are {feed!r}",
            f"use feed {manifest.feed}, train on {feed}, or use the zscore model",
        )


def takes_rows(manifest: Manifest, feature_set: str) -> bool:
    """Tell whether a model can be given rows of a feature set."""
    if get_feature_set(manifest.feature_set).source == "seconds":
        return feature_set in TICK_SETS
    return manifest.feature_set == feature_set


def rows_of(manifest: Manifest) -> str:
    """Return the name of a set whose rows a model can be given: its own, or of any ticks."""
    return manifest.feature_set if takes_rows(manifest, manifest.feature_set) else TICK_SETS[0]


def _read_manifest(directory: Path, subject: str) -> Manifest:
    content = _read_file(directory, MANIFEST_FILE, MAX_MANIFEST_BYTES, subject)
    manifest = _decode(content, Manifest, MANIFEST_FILE, subject)
    if manifest.format != FORMAT:
        raise ModelError(subject, f"bundle format {manifest.format} is not {FORMAT}", RETRAIN)
    if not NAME.fullmatch(manifest.name) or not VERSION.fullmatch(manifest.version):
        raise ModelError(subject, "its name or version has characters that are not allowed", RETRAIN)
    if content_version(manifest) != manifest.version:
        raise ModelError(
            subject, f"{MANIFEST_FILE} was altered: it is not version {manifest.version}", RETRAIN
        )
    listed = tuple(entry.path for entry in manifest.files)
    if listed != FILES.get(manifest.kind):
        raise ModelError(subject, f"a {manifest.kind!r} model does not consist of {listed}", RETRAIN)
    return manifest


def _read_listed(directory: Path, entry: FileEntry, subject: str) -> bytes:
    content = _read_file(directory, entry.path, MAX_FILE_BYTES, subject)
    if len(content) != entry.bytes or hashlib.sha256(content).hexdigest() != entry.sha256:
        raise ModelError(subject, f"{entry.path} was altered: its sha256 is not the manifest's", RETRAIN)
    return content


def _read_file(directory: Path, name: str, limit: int, subject: str) -> bytes:
    path = directory / name
    try:
        if path.is_symlink() or not path.is_file():
            raise ModelError(subject, f"{name} is missing or no regular file", RETRAIN)
        if path.stat().st_size > limit:
            raise ModelError(subject, f"{name} is larger than {limit} bytes", RETRAIN)
        return path.read_bytes()
    except OSError as error:
        reason = f"{name} can't be read ({error.strerror})"
        raise UnreadableError(subject, reason, "check its permissions and the disk") from error


def _decode(content: bytes, kind: type[T], name: str, subject: str) -> T:
    try:
        return msgspec.json.decode(content, type=kind, strict=True)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(subject, f"{name} is malformed ({error})", RETRAIN) from error


def _check_feature_set(manifest: Manifest, subject: str) -> None:
    try:
        feature_set = get_feature_set(manifest.feature_set)
    except FeatureError as error:
        raise ModelError(subject, error.reason, error.remedy) from error
    if feature_set.hash != manifest.feature_set_hash:
        raise ModelError(
            subject,
            f"it was made for version {manifest.feature_set_version} of feature set {manifest.feature_set}, "
            "whose definition has changed",
            "train the model again",
        )
    inputs = manifest.inputs
    if inputs is not None and inputs != _same_spec(feature_set, inputs):
        raise ModelError(subject, f"its inputs are not those of feature set {feature_set.name}", RETRAIN)


def _same_spec(feature_set: FeatureSet, inputs: InputSpec) -> InputSpec:
    return input_spec(feature_set, inputs.increment, inputs.has_har, inputs.has_clock)


def _heads(manifest: Manifest, files: dict[str, bytes], subject: str) -> Heads:
    if manifest.kind == "zscore":
        return StateHeads(_decode(files[WEIGHTS_FILE], StateWeights, WEIGHTS_FILE, subject))
    if manifest.kind == "online":
        return OnlineHeads(_decode(files[WEIGHTS_FILE], OnlineWeights, WEIGHTS_FILE, subject))
    if manifest.inputs is None:
        raise ModelError(subject, "its manifest lists no inputs", RETRAIN)
    if manifest.kind == "logistic":
        return LinearHeads(_linear(files, subject), manifest.inputs)
    classifier = read_booster(files[CLASSIFIER_FILE], f"{subject}: {CLASSIFIER_FILE}")
    sigma = read_booster(files[SIGMA_FILE], f"{subject}: {SIGMA_FILE}")
    if manifest.kind == "xgboost":
        return BoostedHeads(classifier, sigma, manifest.inputs)
    shares = _decode(files[BLEND_FILE], BlendShares, BLEND_FILE, subject)
    return BlendHeads(_linear(files, subject), classifier, sigma, shares, manifest.inputs)


def _predictor(manifest: Manifest, heads: Heads) -> CalibratedPredictor:
    named = (manifest.name, manifest.version, manifest.feature_set, manifest.target)
    finish = (manifest.calibration, manifest.sigma_band, manifest.bounds)
    if isinstance(heads, OnlineHeads):
        return OnlinePredictor(*named, heads, *finish)
    return CalibratedPredictor(*named, heads, *finish)


def _linear(files: dict[str, bytes], subject: str) -> LinearWeights:
    return _decode(files[WEIGHTS_FILE], LinearWeights, WEIGHTS_FILE, subject)


def _reference(manifest: Manifest, content: bytes, subject: str) -> CalibratedPredictor:
    entry = _decode(content, ReferenceEntry, REFERENCE_FILE, subject)
    return CalibratedPredictor(
        entry.weights.rule,
        manifest.version,
        manifest.feature_set,
        manifest.target,
        StateHeads(entry.weights),
        entry.calibration,
        entry.sigma_band,
    )


def read_booster(content: bytes, subject: str) -> FlatTrees:
    """Return the flat trees of a booster saved as UBJSON.

    Raises
    ------
    ModelError
        When XGBoost can't read it, or it is none we can walk.
    """
    import xgboost  # takes over a second: only a boosted model pays for it

    booster: Any = xgboost.Booster()
    try:
        booster.load_model(bytearray(content))
        document = booster_json(booster)
    except (xgboost.core.XGBoostError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else "unreadable"
        raise ModelError(subject, f"no XGBoost model ({reason})", RETRAIN) from error
    return parse_booster(document, subject)
