"""What MLflow is still to be told waits on disk, written whole or not at all, in order.

mlflow-outbox/<number>-<what>/     one item: item.json, and the files that belong to it
mlflow-outbox/refused/             items that MLflow refuses, with the reason: see Outbox.try_again
mlflow-outbox/reason.txt           why the last attempt failed
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from volspike.errors import ModelError, RegistryError
from volspike.models.mlflow_client import AWAY_REMEDY, check_writable
from volspike.models.mlflow_items import Item
from volspike.models.shelf import replace_file, sync_directory, write_synced, writing
from volspike.recording.lock import held

OUTBOX = "mlflow-outbox"
ITEM_FILE = "item.json"
REFUSED = "refused"
REASON = "reason.txt"
_PAUSE_S = 0.2
_NAME = re.compile(r"[0-9]{6,}-[a-z]+")
Reached = Callable[[str], None]


@dataclass(frozen=True)
class Waiting:
    """What MLflow has not been told yet.

    Attributes
    ----------
    items, refused : int
        How many items wait, and how many MLflow has refused.
    reason : str
        Why they wait; empty where nothing was tried.
    """

    items: int
    refused: int
    reason: str

    @property
    def words(self) -> str:
        """The same in words; empty where nothing waits."""
        told = []
        if self.items:
            told.append(f"{_counted(self.items)} for MLflow, as {self.reason or 'nobody has tried yet'}")
        if self.refused:
            told.append(f"{self.refused} refused: see {OUTBOX}/{REFUSED}; volspike models --sync tries again")
        return "; ".join(told)


class Outbox:
    """The outbox of one data directory.

    Parameters
    ----------
    data_dir : Path
        Holds it.
    reached : callable, optional
        Called with the name of each step, for tests that stop there.
    """

    def __init__(self, data_dir: Path, reached: Reached | None = None) -> None:
        self._data_dir = data_dir
        self._root = data_dir / OUTBOX
        self._reached = reached

    def put(self, what: str, item: Item, files: Mapping[str, bytes | Path]) -> str:
        """Add an item: in a temporary directory, synced, then renamed.

        Parameters
        ----------
        what : str
            Ends its name, in small letters.
        files : mapping of str to bytes or Path
            Contents, or files to copy, by path below the item.

        Returns
        -------
        str
            The item's name.

        Raises
        ------
        ModelError
            When the directory can't be written.
        """
        check_writable(self._data_dir)
        contents = {**files, ITEM_FILE: msgspec.json.format(msgspec.json.encode(item), indent=2)}
        with writing(self._root):
            self._root.mkdir(exist_ok=True)
            with held(self._root / ".put.lock"):
                return self._put(what, contents)

    def _put(self, what: str, contents: Mapping[str, bytes | Path]) -> str:
        temporary = self._root / ".tmp"
        shutil.rmtree(temporary, ignore_errors=True)  # of one that was killed: only one puts at a time
        try:
            for name, content in contents.items():
                path = temporary / name
                path.parent.mkdir(parents=True, exist_ok=True)
                write_synced(path, content if isinstance(content, bytes) else content.read_bytes())
            for directory in {path.parent for path in temporary.rglob("*")}:
                sync_directory(directory)
            self._step("outbox.before_rename")
            name = f"{self._next_number():06d}-{what}"
            temporary.rename(self._root / name)
            sync_directory(self._root)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        self._step("outbox.after_rename")
        return name

    def _next_number(self) -> int:
        named = (*_named(self._root), *_named(self._root / REFUSED))
        return max((_number(path) for path in named), default=0) + 1

    def items(self) -> list[Path]:
        """Return the directories of what waits, in order."""
        return _items(self._root)

    def refused(self) -> list[Path]:
        """Return the directories of what MLflow has refused."""
        return _items(self._root / REFUSED)

    def read(self, path: Path) -> Item:
        """Return an item.

        Raises
        ------
        ModelError
            When it is malformed.
        """
        try:
            return msgspec.json.decode((path / ITEM_FILE).read_bytes(), type=Item)  # type: ignore[no-any-return]
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ModelError(str(path), f"it can't be read ({error})", AWAY_REMEDY) from error

    def remove(self, path: Path) -> None:
        """Take out an item that has been told; killed in between, it is gone all the same."""
        done = self._root / ".done"
        shutil.rmtree(done, ignore_errors=True)
        path.rename(done)
        self._step("outbox.renamed_away")
        shutil.rmtree(done, ignore_errors=True)

    def refuse(self, path: Path, reason: str) -> None:
        """Set an item aside that MLflow refuses: it would keep all others from being told."""
        aside = self._root / REFUSED
        aside.mkdir(exist_ok=True)
        replace_file(path / REASON, f"{reason}\n".encode())
        path.rename(aside / path.name)

    def try_again(self) -> None:
        """Have what was refused wait again, in its old place: what was wrong may have been mended.

        Raises
        ------
        ModelError
            When the directory can't be written.
        """
        if not self.refused():
            return
        with writing(self._root), held(self._root / ".put.lock"):
            for path in self.refused():
                path.rename(self._root / path.name)

    def note(self, reason: str) -> None:
        """Keep why telling failed, for whoever asks; empty: it went well. A full disk keeps nothing."""
        with suppress(OSError):
            if reason:
                replace_file(self._root / REASON, f"{reason}\n".encode())
            else:
                (self._root / REASON).unlink(missing_ok=True)

    def waiting(self) -> Waiting:
        """Return what waits, and why."""
        try:
            reason = (self._root / REASON).read_text(encoding="utf-8").strip()
        except OSError:
            reason = ""
        return Waiting(len(self.items()), len(self.refused()), reason)

    @contextmanager
    def sending(self, patience_s: float = 10.0) -> Iterator[None]:
        """Keep other processes from sending meanwhile; one that died holds nothing.

        Parameters
        ----------
        patience_s : float
            How long another one is waited for: it sends all that there is, within seconds as a rule.

        Raises
        ------
        RegistryError
            When another process is sending all the while.
        """
        busy = RegistryError(str(self._root), "another process is sending", AWAY_REMEDY)
        with ExitStack() as stack:
            for _ in range(round(patience_s / _PAUSE_S)):
                try:
                    stack.enter_context(held(self._root / ".send.lock", busy))
                    break
                except RegistryError:
                    time.sleep(_PAUSE_S)
            else:
                stack.enter_context(held(self._root / ".send.lock", busy))
            yield

    def _step(self, name: str) -> None:
        if self._reached is not None:
            self._reached(name)


def _counted(items: int) -> str:
    return "1 item waits" if items == 1 else f"{items} items wait"


def _items(directory: Path) -> list[Path]:
    """Return the items in a directory, in order; a file that is named like one is none of ours."""
    return sorted((path for path in _named(directory) if path.is_dir()), key=_number)


def _named(directory: Path) -> list[Path]:
    return [path for path in directory.glob("*-*") if _NAME.fullmatch(path.name)]


def _number(path: Path) -> int:
    return int(path.name.partition("-")[0])
