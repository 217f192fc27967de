"""Who serves, who stands in its shadow and who served before: one small file for each product and feed.

models/champions/<product>-<feed>.json     {"name", "version": the champion's, "previous", "challenger"}

A model is made for one product, and one whose inputs depend on the feed for one feed. So each product and
feed has a champion of its own. A file each, so that trainings beside each other don't undo one another; all
three in one file, so that a promotion is one rename: there is no moment with two champions, or with none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from volspike.errors import ModelError
from volspike.exchange.candles import FEED as CANDLES
from volspike.models.bundle import RETRAIN, load_bundle
from volspike.models.manifest import NAME, VERSION, Manifest, pretty
from volspike.models.shelf import replace_file, writing
from volspike.recording.lock import held

CHAMPIONS = "champions"
_PRODUCT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FEED = re.compile(r"[a-z_]+")
_ANEW = "remove {} and volspike promote NAME/VERSION --force: volspike models lists them"


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bundle on the shelf."""

    name: str
    version: str

    def path(self, models: Path) -> Path:
        """Return its directory."""
        return models / self.name / self.version

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class Champion(msgspec.Struct, frozen=True):
    """The champion of a product, and the feed it was trained on."""

    product: str
    feed: str
    name: str
    version: str

    def path(self, models: Path) -> Path:
        """Return the directory of its bundle."""
        return models / self.name / self.version


class Standing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The models of a product and feed; ``name`` and ``version`` are the champion's, empty without one."""

    product: str
    feed: str
    name: str = ""
    version: str = ""
    previous: Entry | None = None
    challenger: Entry | None = None

    @property
    def champion(self) -> Entry | None:
        """The model that serves."""
        return Entry(self.name, self.version) if self.name else None

    def crowned(self, entry: Entry) -> Standing:
        """Return the standing with another champion; the one before, or of last, is ``previous``."""
        last = self.champion if self.champion not in (None, entry) else self.previous
        return msgspec.structs.replace(
            self,
            name=entry.name,
            version=entry.version,
            previous=None if last == entry else last,
            challenger=None if entry == self.challenger else self.challenger,
        )


Change = Callable[[Standing], Standing]
Tell = Callable[[Standing, Standing], None]
Named = TypeVar("Named", Champion, Standing)


def _nobody(_before: Standing, _after: Standing) -> None:
    """Tell nobody."""


def change_standing(models: Path, product: str, feed: str, change: Change, tell: Tell = _nobody) -> Standing:
    """Change a standing and return it: read, changed and replaced while nobody else does.

    Parameters
    ----------
    change : callable
        Given the standing as it is, an empty one at first, returns the new one; may raise to leave it.
    tell : callable
        Told the standing before and the one after when that is in place, before anybody else can change it.

    Raises
    ------
    ModelError
        When a model named in it is no whole bundle, the file is malformed or can't be written.
    """
    path = _path(models, product, feed)
    if not (_PRODUCT.fullmatch(product) and _FEED.fullmatch(feed)):
        raise ModelError(f"product {product!r}, feed {feed!r}", "they can't name a file", RETRAIN)
    with writing(path), held(path.parent / ".lock"):
        before = _read(path) if path.exists() else Standing(product, feed)
        standing = change(before)
        for entry in {standing.champion, standing.challenger} - {before.champion, before.challenger, None}:
            assert entry is not None
            _check(load_bundle(entry.path(models)).manifest, entry, product, feed)
        if standing != before:
            replace_file(path, pretty(standing))
        tell(before, standing)
    return standing


def _check(manifest: Manifest, entry: Entry, product: str, feed: str) -> None:
    for of, wanted in ((manifest.product, product), (manifest.feed, feed)):
        if of != wanted:
            raise ModelError(f"model {entry}", f"it was trained on {of}, not {wanted}", f"train on {wanted}")


def crown_champion(models: Path, name: str, version: str, tell: Tell = _nobody) -> Standing:
    """Make a bundle that exists the champion of its product and feed; return the standing.

    Raises
    ------
    ModelError
        When there is no such whole bundle, or the file can't be written.
    """
    entry = Entry(name, version)
    manifest = load_bundle(entry.path(models)).manifest
    return change_standing(
        models, manifest.product, manifest.feed, lambda standing: standing.crowned(entry), tell
    )


def place_challenger(models: Path, name: str, version: str, tell: Tell = _nobody) -> Standing:
    """Put a bundle that exists in the shadow of its product's champion; return the standing.

    Raises
    ------
    ModelError
        When there is no such whole bundle, it is the champion already, or the file can't be written.
    """
    entry = Entry(name, version)
    manifest = load_bundle(entry.path(models)).manifest

    def place(standing: Standing) -> Standing:
        if entry == standing.champion:
            raise ModelError(f"model {entry}", "it is the champion", "train on other rows, or otherwise")
        return msgspec.structs.replace(standing, challenger=entry)

    return change_standing(models, manifest.product, manifest.feed, place, tell)


def standing_of(models: Path, product: str, feed: str) -> Standing:
    """Return the standing of a product and feed, an empty one where there is none.

    Raises
    ------
    ModelError
        When its file can't be read or is malformed.
    """
    path = _path(models, product, feed)
    return _read(path) if path.exists() else Standing(product, feed)


def standings(
    models: Path, product: str | None = None, feeds: Collection[str] | None = None
) -> list[Standing]:
    """Return the standings, of one product or of all, and of some feeds or of all, sorted by both.

    Raises
    ------
    ModelError
        When a file of these can't be read or is malformed; the others are not opened.
    """
    found = []
    for path in sorted((models / CHAMPIONS).glob("*.json")):
        of_product, _, of_feed = path.stem.rpartition("-")
        if product in (None, of_product) and (feeds is None or of_feed in feeds):
            found.append(_read(path))
    return found


def champions(
    models: Path, product: str | None = None, feeds: Collection[str] | None = None
) -> list[Champion]:
    """Return the champions, of one product or of all, and of some feeds or of all, sorted by both.

    Raises
    ------
    ModelError
        When a file of these can't be read or is malformed; the others are not opened.
    """
    return [
        Champion(each.product, each.feed, each.name, each.version)
        for each in standings(models, product, feeds)
        if each.name
    ]


def champions_for(
    models: Path, product: str | None, feed: str | None, feeds: Collection[str] | None = None
) -> list[Champion]:
    """Return the champion of a product on a feed, or, where there is none, those of some other feeds.

    Raises
    ------
    ModelError
        When a file of these can't be read or is malformed; the others are not opened.
    """
    own = champions(models, product, (feed,)) if feed is not None else []
    return own or champions(models, product, feeds)


def champion_path(models: Path, product: str | None = None, feed: str | None = None) -> Path:
    """Return the directory of the champion.

    Parameters
    ----------
    models : Path
        The ``models`` directory.
    product, feed : str, optional
        Needed where there are several; ticks go before candles. One of another feed is returned where there
        is none of this feed: whether it serves both, its manifest tells.

    Raises
    ------
    ModelError
        When there is no champion, or several and none was chosen.
    """
    found = champions_for(models, product, feed)
    if any(champion.feed != feed for champion in found):
        found = ticks_first(found)
    if not found:
        reason = "it holds no champion" if product is None else f"it holds no champion of {product}"
        raise ModelError(str(models), reason, "run volspike train first")
    if len(found) > 1:
        names = ", ".join(f"{champion.product} on {champion.feed}" for champion in found)
        raise ModelError(
            str(models), f"it holds several champions: {names}", "choose one with --product and --feed"
        )
    return found[0].path(models)


def ticks_first(found: Sequence[Named]) -> list[Named]:
    """Return champions or standings without those of candles of a product that has one of ticks."""
    of_ticks = {each.product for each in found if each.feed != CANDLES}
    return [each for each in found if each.feed != CANDLES or each.product not in of_ticks]


def _path(models: Path, product: str, feed: str) -> Path:
    return models / CHAMPIONS / f"{product}-{feed}.json"


def _read(path: Path) -> Standing:
    try:
        content = path.read_bytes()
        standing = msgspec.json.decode(content, type=Standing)
    except OSError as error:
        raise ModelError(
            str(path), f"it can't be read ({error.strerror})", "check its permissions"
        ) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if unknown := _unknown_fields(content):
            reason = f"it is of a later version, which wrote {', '.join(unknown)} into it"
            raise ModelError(str(path), reason, "run that version, or " + _ANEW.format(path)) from error
        raise ModelError(str(path), f"it is damaged ({error})", _ANEW.format(path)) from error
    named = (standing.champion, standing.previous, standing.challenger)
    for entry in named:
        if entry is not None and not (NAME.fullmatch(entry.name) and VERSION.fullmatch(entry.version)):
            raise ModelError(str(path), "it names no bundle", _ANEW.format(path))
    if path.name != f"{standing.product}-{standing.feed}.json":
        reason = "it is of another product or feed than its name says"
        raise ModelError(str(path), reason, _ANEW.format(path))
    return standing


def _unknown_fields(content: bytes) -> list[str]:
    """Return the fields of a JSON object that a standing of this version does not have."""
    try:
        found = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []
    return sorted(set(found) - set(Standing.__struct_fields__)) if isinstance(found, dict) else []
