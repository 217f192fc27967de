"""Where bundles stand on disk, ``models/<name>/<version>/``: saved whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from volspike.errors import ModelError
from volspike.models.bundle import Bundle, load_bundle
from volspike.models.manifest import MANIFEST_FILE, NAME, VERSION, pretty

CARD_FILE = "card.md"


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
    with writing(target):
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
            write_synced(temporary / name, content)
        sync_directory(temporary)
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
        sync_directory(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_synced(path: Path, content: bytes) -> None:
    """Write a file and force it to the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Force a directory's entries to the disk."""
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
        write_synced(temporary, content)
        temporary.replace(path)
        sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the operating system refuses into a ModelError that names the path."""
    try:
        yield
    except OSError as error:
        raise ModelError(
            str(path), f"can't be written ({error.strerror})", "check space and permissions of the directory"
        ) from error


def bundle_paths(models: Path) -> list[Path]:
    """Return the directories of all bundles, sorted by name and version."""
    return sorted(
        path
        for path in models.glob("*/*")
        if path.is_dir() and NAME.fullmatch(path.parent.name) and VERSION.fullmatch(path.name)
    )
