"""Where bundles stand on disk: saved whole or not at all, and the pointers to the champions.

models/<name>/<version>/                   one bundle
models/champions/<product>-<feed>.json     the champion of a product, trained on that feed

A model is made for one product, and one whose inputs depend on the feed for one feed. So each product and
feed has a champion of its own. A file each, so that trainings beside each other don't undo one another.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from volspike.errors import ModelError
from volspike.models.bundle import RETRAIN, Bundle, load_bundle
from volspike.models.manifest import MANIFEST_FILE, NAME, VERSION, pretty

CHAMPIONS = "champions"
CARD_FILE = "card.md"
_PRODUCT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FEED = re.compile(r"[a-z_]+")


class Champion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The champion of a product, and the feed it was trained on."""

    product: str
    feed: str
    name: str
    version: str

    def path(self, models: Path) -> Path:
        """Return the directory of its bundle."""
        return models / self.name / self.version


def save_bundle(bundle: Bundle, models: Path, card: str = "") -> Path:
    """Write a bundle to ``models/<name>/<version>``: in a temporary directory, synced, then renamed.

    Parameters
    ----------
    bundle : Bundle
        The model. One that is there already and whole gets only its manifest replaced: the same version has
        the same files, but the provenance may be newer.
    models : Path
        The ``models`` directory.
    card : str
        The model card, laid beside the bundle's files; loading never opens it.

    Returns
    -------
    Path
        The bundle's directory.

    Raises
    ------
    ModelError
        When the directory can't be written.
    """
    manifest = bundle.manifest
    if not NAME.fullmatch(manifest.name):
        raise ModelError(f"model name {manifest.name!r}", "it is not allowed", "use a-z, 0-9 and -")
    target = models / manifest.name / manifest.version
    with _writing(target):
        if _is_whole(target):
            replace_file(target / MANIFEST_FILE, pretty(manifest))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_directory(target, {**bundle.files, MANIFEST_FILE: pretty(manifest)})
        if card:
            replace_file(target / CARD_FILE, card.encode())
    return target


def _is_whole(directory: Path) -> bool:
    if not directory.is_dir():
        return False
    try:
        load_bundle(directory)
    except ModelError:
        return False
    return True


def _write_directory(target: Path, files: dict[str, bytes]) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=target.parent))
    try:
        temporary.chmod(0o755)
        for name, content in files.items():
            _write_synced(temporary / name, content)
        _sync_directory(temporary)
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
        _sync_directory(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file at once: written beside it, synced, renamed over it."""
    handle, name = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        temporary.chmod(0o644)
        _write_synced(temporary, content)
        temporary.replace(path)
        _sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelError(
            str(path), f"can't be written ({error.strerror})", "check space and permissions of the directory"
        ) from error


def write_champion(models: Path, name: str, version: str) -> None:
    """Make a bundle that exists the champion of its product and feed.

    Raises
    ------
    ModelError
        When there is no such whole bundle, or the pointer can't be written.
    """
    manifest = load_bundle(models / name / version).manifest
    champion = Champion(manifest.product, manifest.feed, name, version)
    path = models / CHAMPIONS / f"{champion.product}-{champion.feed}.json"
    if not _is_sound(champion):
        raise ModelError(
            f"model {name} {version}", f"its product {champion.product!r} can't name a file", RETRAIN
        )
    with _writing(path):
        path.parent.mkdir(exist_ok=True)
        replace_file(path, pretty(champion))


def champions(models: Path, product: str | None = None) -> list[Champion]:
    """Return the champions, of one product or of all, sorted by product and feed.

    Raises
    ------
    ModelError
        When a pointer can't be read or is malformed.
    """
    found = [_read_champion(path) for path in sorted((models / CHAMPIONS).glob("*.json"))]
    return [champion for champion in found if product in (None, champion.product)]


def champion_path(models: Path, product: str | None = None, feed: str | None = None) -> Path:
    """Return the directory of the champion.

    Parameters
    ----------
    models : Path
        The ``models`` directory.
    product, feed : str, optional
        Needed where there are several. One of another feed is returned where there is none of this feed:
        whether it serves both, its manifest tells.

    Raises
    ------
    ModelError
        When there is no champion, or several and none was chosen.
    """
    found = champions(models, product)
    found = [champion for champion in found if champion.feed == feed] or found
    if not found:
        reason = "it holds no champion" if product is None else f"it holds no champion of {product}"
        raise ModelError(str(models), reason, "run volspike train first")
    if len(found) > 1:
        names = ", ".join(f"{champion.product} on {champion.feed}" for champion in found)
        raise ModelError(
            str(models), f"it holds several champions: {names}", "choose one with --product and --feed"
        )
    return found[0].path(models)


def _read_champion(path: Path) -> Champion:
    try:
        champion = msgspec.json.decode(path.read_bytes(), type=Champion)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(str(path), f"it can't be read ({error})", RETRAIN) from error
    if not NAME.fullmatch(champion.name) or not VERSION.fullmatch(champion.version):
        raise ModelError(str(path), "it names no bundle", RETRAIN)
    if path.name != f"{champion.product}-{champion.feed}.json":
        raise ModelError(str(path), "it is of another product or feed than its name says", RETRAIN)
    return champion


def _is_sound(champion: Champion) -> bool:
    return bool(_PRODUCT.fullmatch(champion.product) and _FEED.fullmatch(champion.feed))


def bundle_paths(models: Path) -> list[Path]:
    """Return the directories of all bundles, sorted by name and version."""
    return sorted(
        path
        for path in models.glob("*/*")
        if path.is_dir() and NAME.fullmatch(path.parent.name) and VERSION.fullmatch(path.name)
    )
