"""Where the files of an archive lie and what their names say.

::

    raw/archive.lock                                  held by the one writer
    raw/features.lock                                 held by who makes feature rows of it
    raw/<feed>/<date>/<hour>-<session>.ndjson         open, or left by a crash
    raw/<feed>/<date>/<hour>-<session>.ndjson.zst     closed
    raw/<feed>/<date>/<hour>-<session>.ndjson.bad     damaged lines moved aside by a repair
    raw/<feed>/rejected-<sha256[:12]>.ndjson          lines of an import that did not parse
    raw/.staging, raw/.commit                         an import under way, and one being put in place
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

HOUR_NS = 3_600_000_000_000
PLAIN = ".ndjson"
CLOSED = ".ndjson.zst"
LOCK = "archive.lock"
ROWS_LOCK = "features.lock"
STAGING = ".staging"
COMMIT = ".commit"


def raw_directory(root: Path) -> Path:
    """Return the archive's folder inside the data directory ``root``."""
    return root / "raw"


def segment_name(feed: str, receive_ns: int, session: str) -> Path:
    """Return where a segment lies below ``raw/``, by the UTC date and hour of ``receive_ns``."""
    moment = datetime.fromtimestamp(receive_ns // 1_000_000_000, tz=UTC)
    return Path(feed) / f"{moment:%Y-%m-%d}" / f"{moment:%H}-{session}{PLAIN}"


def closed_path(plain: Path) -> Path:
    """Return the compressed sibling of a plain segment."""
    return plain.with_name(plain.name + ".zst")


def plain_path(closed: Path) -> Path:
    """Return the plain sibling of a compressed segment."""
    return closed.with_name(closed.name.removesuffix(".zst"))


def bad_path(plain: Path) -> Path:
    """Return the side file of a segment's damaged lines."""
    return plain.with_name(plain.name + ".bad")


def session_of(segment: Path) -> str:
    """Return the session named by a segment's file name."""
    return segment.name.removesuffix(".zst").removesuffix(PLAIN).partition("-")[2]


def segments(raw: Path) -> Iterator[Path]:
    """Yield every segment below ``raw/`` in order of its name; of a plain and a closed twin, both."""
    for suffix in (PLAIN, CLOSED):
        yield from sorted(raw.glob(f"[!.]*/[0-9]*-[0-9]*-[0-9]*/[0-2][0-9]-*{suffix}"))
