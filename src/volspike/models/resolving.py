"""From what a user writes for a model to the directory of a bundle, which our own loader then reads.

What MLflow is asked is which bundle a name stands for; the bundle itself is taken from the shelf of the data
directory. One that is only on a server is downloaded, checked as any bundle, and put on the shelf.
"""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from volspike.errors import ModelError, RegistryError
from volspike.logs import get_logger
from volspike.models.bundle import load_bundle
from volspike.models.defaults import default_path
from volspike.models.manifest import MANIFEST_FILE, VERSION
from volspike.models.mlflow_aliases import CHAMPION, alias_of, champion_aliases, held_aliases
from volspike.models.mlflow_client import ARTIFACTS, DATABASE, REGISTRY_REMEDY, Server, open_mlflow
from volspike.models.mlflow_outbox import Outbox
from volspike.models.mlflow_run import BUNDLE_VERSION
from volspike.models.mlflow_send import MODELS
from volspike.models.shelf import CARD_FILE, save_bundle
from volspike.models.standing import champion_path, champions

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_URI = re.compile(r"models:/([a-z0-9-]+)(?:@([a-z0-9_-]+)|/([1-9][0-9]*))")
log = get_logger()


def resolve_model(
    model: str | Path,
    data_dir: Path,
    product: str | None = None,
    feed: str | None = None,
    server: Server | None = None,
) -> Path:
    """Return the bundle directory that a path or URI stands for.

    Parameters
    ----------
    model : str or Path
        A bundle directory, ``champion``, ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``; ``default`` or
        ``default-tick`` and ``default-candles`` are the models that come with the package.
    data_dir : Path
        Holds ``models``; and, without a server, ``mlflow.db`` and ``mlartifacts``.
    product, feed : str, optional
        Whose champion ``champion`` stands for, where there are several.
    server : Server, optional
        Where MLflow is; None: sqlite in the data directory.

    Raises
    ------
    RegistryError
        When MLflow has to be asked and is away. Who is champion, the data directory says too.
    ModelError
        When there is no such model.
    """
    text = str(model)
    if isinstance(model, str) and text.startswith("models:"):
        return _resolve_uri(text, data_dir, server)
    bundled = default_path(text)
    if bundled is not None and not Path(text).exists():
        return bundled
    if text == CHAMPION and not Path(text).exists():
        return champion_path(data_dir / MODELS, product, feed)
    if not Path(model).is_dir():
        raise ModelError(f"model {text}", "there is no such directory", REGISTRY_REMEDY)
    return Path(model)


def _resolve_uri(uri: str, data_dir: Path, server: Server | None) -> Path:
    parts = MODEL_URI.fullmatch(uri)
    if parts is None:
        raise ModelError(uri, "it is no model URI", "write models:/NAME@champion or models:/NAME/VERSION")
    if server is None and not (data_dir / DATABASE).is_file():
        raise ModelError(uri, f"{data_dir} holds no {DATABASE}", REGISTRY_REMEDY)
    name, alias, version = parts.groups()
    if alias and Outbox(data_dir).items():  # it may not have been told yet who serves
        standing = _standing_champion(data_dir / MODELS, name, alias)
        if standing is not None:
            return standing
    try:
        with open_mlflow(data_dir, server, uri) as client:
            if alias:
                _refuse_ambiguous(client, uri, alias, shared=server is not None)
                version = client.get_model_version_by_alias(name, alias).version
            return _bundle(client, uri, (name, str(version)), data_dir, server)
    except RegistryError as error:
        standing = _standing_champion(data_dir / MODELS, name, alias)
        if standing is None:
            raise
        log.warning("model.registry_away", model=uri, reason=error.reason, taken=str(standing))
        return standing


def _standing_champion(models: Path, name: str, alias: str | None) -> Path | None:
    """Return the champion that an alias stands for, by the data directory alone."""
    found = champions(models)
    fitting = [
        each
        for each in found
        if alias == alias_of(CHAMPION, each.product, each.feed) or (alias == CHAMPION and len(found) == 1)
    ]
    return next((each.path(models) for each in fitting if each.name == name), None)


def _refuse_ambiguous(client: MlflowClient, uri: str, alias: str, shared: bool) -> None:
    if alias != CHAMPION:
        return
    several = champion_aliases(held_aliases(client, shared))
    if len(several) > 1:
        remedy = f"write @{' or @'.join(several)}"
        raise ModelError(uri, "several products or feeds have a champion", remedy)


def _bundle(
    client: MlflowClient, uri: str, version: tuple[str, str], data_dir: Path, server: Server | None
) -> Path:
    """Return the bundle of a registered version: from the shelf, or from the artifacts of MLflow."""
    tag = client.get_model_version(*version).tags.get(BUNDLE_VERSION, "")
    on_shelf = data_dir / MODELS / version[0] / tag
    if VERSION.fullmatch(tag) and (on_shelf / MANIFEST_FILE).is_file():
        return on_shelf
    if server is not None:
        return _fetch(uri, version, tag, data_dir, server)
    address = client.get_model_version_download_uri(*version)
    return _only_bundle(uri, _here(address, data_dir))


def _fetch(uri: str, version: tuple[str, str], tag: str, data_dir: Path, server: Server) -> Path:
    """Download a bundle from a server, check it, and put it on the shelf."""
    from mlflow.artifacts import download_artifacts

    with TemporaryDirectory(prefix="volspike-") as temporary:
        source = "models:/{}/{}".format(*version)
        root = download_artifacts(
            artifact_uri=source, dst_path=temporary, tracking_uri=server.uri, registry_uri=server.uri
        )
        found = _only_bundle(uri, Path(root))
        bundle = load_bundle(found)
        named = (bundle.manifest.name, bundle.manifest.version)
        if named != (version[0], tag):
            raise ModelError(
                uri, f"its artifact is {' '.join(named)}, not {version[0]} {tag}", REGISTRY_REMEDY
            )
        card = found / CARD_FILE
        return save_bundle(bundle, data_dir / MODELS, card.read_text("utf-8") if card.is_file() else "")


def _only_bundle(uri: str, root: Path) -> Path:
    found = sorted(root.glob(f"artifacts/*/{MANIFEST_FILE}"))
    if len(found) != 1:
        raise ModelError(uri, f"its artifacts in {root} hold {len(found)} bundles", REGISTRY_REMEDY)
    return found[0].parent


def _here(address: str, data_dir: Path) -> Path:
    """Return where an artifact lies in this data directory, whichever place it was written at."""
    _, found, below = unquote(urlsplit(address).path).rpartition(f"/{ARTIFACTS}/")
    if not found:
        raise ModelError(address, f"it lies outside {ARTIFACTS}", REGISTRY_REMEDY)
    return (data_dir / ARTIFACTS / below).resolve()
