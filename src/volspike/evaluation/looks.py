"""The log of looks: how often has a test part been looked at?

A test part tells the truth once. Whoever scores it, changes a model and scores it again has begun to fit on
it, so each look is one line of a file that is only ever appended to, and that a repository can commit. A
training prints the scores of its test part too: that is a look like any other.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from volspike.errors import ConfigError
from volspike.evaluation.report import Evaluation
from volspike.evaluation.scores import Scores
from volspike.exchange.decimals import format_time_ns
from volspike.labels.dataset import Dataset

VERSION = 1
FINAL, TRAIN = "evaluate --final", "train"
HEADLINES = ("log_loss", "qlike", "pr_auc", "base_rate", "within_session_pr_auc", "onset_pr_auc", "brier")


class LookedAt(msgspec.Struct, frozen=True, kw_only=True):
    """One predictor and its headline scores; ``version`` is empty for the reference."""

    version: str
    scores: dict[str, float | None]


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a part.

    Attributes
    ----------
    v : int
        Version of this record.
    utc : str
        When, RFC 3339.
    dataset_sha256 : str
        Hash of all rows the part was cut from.
    product, feed, part : str
        What was looked at.
    first_ns, last_ns : int
        Event times of the part's first and last row.
    rows, clusters, windows, enough_data : int, int, int, bool
        How much evidence it holds.
    leaks : tuple of str
        Checks of the audit that found a leak: such scores say nothing of the future.
    models : dict of str to LookedAt
        The models scored.
    reference : str
        Name of the reference.
    reference_scores : dict
        Its headline scores.
    by : str
        What looked: ``evaluate --final`` or ``train``.
    """

    v: int = VERSION
    utc: str
    dataset_sha256: str
    product: str
    feed: str
    part: str
    first_ns: int
    last_ns: int
    rows: int
    clusters: int
    windows: int
    enough_data: bool
    leaks: tuple[str, ...] = ()
    models: dict[str, LookedAt]
    reference: str
    reference_scores: dict[str, float | None]
    by: str = FINAL

    def __post_init__(self) -> None:
        if self.v != VERSION:
            raise ValueError(f"a look of version {self.v}")


def look_at(
    evaluation: Evaluation,
    dataset: Dataset,
    test: Dataset,
    versions: Mapping[str, str],
    now_ns: int,
    by: str = FINAL,
) -> Look:
    """Return the look that an evaluation is.

    Parameters
    ----------
    evaluation : Evaluation
        The scores.
    dataset, test : Dataset
        All rows, and those of the test part, at least one.
    versions : mapping of str to str
        Versions of the models.
    now_ns : int
        UTC, ns.
    by : str
        What looks.
    """
    scores = {name: parts["test"] for name, parts in evaluation.models.items()}
    reference = evaluation.reference_scores["test"]
    return Look(
        utc=format_time_ns(now_ns, 0),
        dataset_sha256=dataset.sha256,
        product=dataset.product,
        feed=dataset.feed,
        part="test",
        first_ns=int(test.event_ns[0]),
        last_ns=int(test.event_ns[-1]),
        rows=reference.rows,
        clusters=reference.clusters,
        windows=reference.windows,
        enough_data=reference.enough_data,
        leaks=() if evaluation.audit is None else tuple(evaluation.audit.leaks),
        models={name: LookedAt(version=versions[name], scores=_headlines(of)) for name, of in scores.items()},
        reference=evaluation.reference,
        reference_scores=_headlines(reference),
        by=by,
    )


def looks_at(looks: Sequence[Look], test: Dataset) -> int:
    """Count the looks at this test part: at any rows of its product that lie in its time, of either feed.

    More rows give another dataset and another hash, but the market they show has been seen all the same.
    """
    if not len(test):
        return 0
    first_ns, last_ns = int(test.event_ns[0]), int(test.event_ns[-1])
    return sum(
        look.product.casefold() == test.product.casefold()
        and look.first_ns <= last_ns
        and look.last_ns >= first_ns
        for look in looks
    )


def read_looks(path: Path) -> list[Look]:
    """Read the log of looks; one that is not there yet is empty.

    Raises
    ------
    ConfigError
        When it can't be read, or a line is no look: a log that is not understood must not count as empty.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unusable(path, f"can't be read ({error.strerror})") from None
    if content and not content.endswith(b"\n"):
        raise _unusable(path, "its last line is cut off")
    looks = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            looks.append(msgspec.json.decode(line, type=Look))
        except msgspec.MsgspecError:
            raise _unusable(path, f"line {number} is no look") from None
    return looks


def check_appendable(path: Path) -> None:
    """Make sure that a look can be logged, before anything is looked at.

    Raises
    ------
    ConfigError
        When it can't.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
    except OSError as error:
        raise _unusable(path, f"can't be written ({error.strerror})") from None


def append_look(path: Path, look: Look) -> None:
    """Append a look, a line in one write, and wait until it is on disk.

    Raises
    ------
    ConfigError
        When it can't be written.
    """
    line = msgspec.json.encode(look) + b"\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            written = os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unusable(path, f"can't be written ({error.strerror})") from None
    if written != len(line):
        raise _unusable(path, f"took {written} of {len(line)} bytes of a look")


def _headlines(scores: Scores) -> dict[str, float | None]:
    return {name: getattr(scores, name) for name in HEADLINES}


def _unusable(path: Path, reason: str) -> ConfigError:
    return ConfigError(f"log of looks {path}", reason, "mend it, or name another with --looks")
