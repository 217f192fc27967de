"""The data directory: what lies where."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from volspike.errors import ConfigError
from volspike.recording.layout import LOCK, ROWS_LOCK, raw_directory


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below one data directory.

    Attributes
    ----------
    root : Path
        The data directory itself.
    """

    root: Path

    @property
    def features(self) -> Path:
        """Feature rows, Parquet."""
        return self.root / "features"

    @property
    def features_lock(self) -> Path:
        """Held by who makes feature rows of the archive."""
        return raw_directory(self.root) / ROWS_LOCK

    @property
    def candles(self) -> Path:
        """Minute candles, Parquet."""
        return self.root / "candles"

    @property
    def predictions(self) -> Path:
        """Offline predictions, Parquet."""
        return self.root / "predictions"

    @property
    def models(self) -> Path:
        """Model bundles, and who of them serves, is tried or served before."""
        return self.root / "models"

    @property
    def journal(self) -> Path:
        """The audit log of the models, one JSON object a line."""
        return self.root / "journal.ndjson"

    @property
    def ledger(self) -> Path:
        """Graded predictions in half hours, Parquet."""
        return self.root / "ledger"

    @property
    def learned(self) -> Path:
        """What models that learn have learned, JSON."""
        return self.root / "learned"

    @property
    def retrain_lock(self) -> Path:
        """Who is retraining."""
        return self.root / "retrain.lock"

    @property
    def tend_lock(self) -> Path:
        """Held by who looks after the models."""
        return self.root / "tend.lock"

    @property
    def reports(self) -> Path:
        """Pictures and reports of evaluations."""
        return self.root / "reports"

    @property
    def looks(self) -> Path:
        """The log of looks at test parts, one JSON object a line."""
        return self.root / "looks.ndjson"

    @property
    def log(self) -> Path:
        """The embedded log."""
        return self.root / "log.db"

    @property
    def alerts(self) -> Path:
        """Every alert, one JSON object a line."""
        return self.root / "alerts.ndjson"

    @property
    def archive_id(self) -> Path:
        """What tells this archive from any other on a bus."""
        return self.root / "archive-id"

    def published(self, ingest: str) -> Path:
        """Return where an ingest notes from which frame on it publishes."""
        return self.root / f"published-{ingest}.json"

    @property
    def nearest(self) -> Path:
        """The directory itself, or what there is of the way to it."""
        return next(path for path in (self.root, *self.root.absolute().parents) if path.exists())

    def create(self) -> bool:
        """Make the directory; return whether it was not there before.

        Raises
        ------
        ConfigError
            If it can't be made or written to.
        """
        is_new = not self.root.exists()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(self.root, error.strerror or str(error)) from None
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise _unusable(self.root, "it is not writable")
        return is_new

    def check(self) -> bool:
        """Check that the directory can be made or written to, and leave no trace; return whether it is there.

        Raises
        ------
        ConfigError
            If it can't.
        """
        try:
            with TemporaryDirectory(prefix=".volspike-", dir=self.nearest):
                return self.root.exists()
        except OSError as error:
            raise _unusable(self.root, error.strerror or str(error)) from None

    def clear(self, with_root: bool) -> None:
        """Remove everything in the directory, and the directory itself if it was made for this."""
        for entry in self.root.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        if with_root:
            self.root.rmdir()

    def discard_bare_archive(self, with_root: bool) -> None:
        """Remove an archive that holds nothing but locks, and the directory if it was made for this."""
        raw = raw_directory(self.root)
        if set(raw.rglob("*")) - {self.features_lock} == {raw / LOCK}:
            shutil.rmtree(raw)
            if with_root:
                self.root.rmdir()

    def require(self) -> None:
        """Check that the directory is there to be read.

        Raises
        ------
        ConfigError
            If there is no such directory.
        """
        if not self.root.is_dir():
            raise ConfigError(
                str(self.root),
                "no such data directory",
                "name one with --data-dir, or fill it with volspike import",
            )


def _unusable(root: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"data directory {root}", reason, "choose another with --data-dir or VOLSPIKE_DATA_DIR"
    )
