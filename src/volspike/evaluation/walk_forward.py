"""Walk forward: train on the past, predict the next stretch, move on; every prediction is out of sample.

    fold 1    fit ........ tune calibrate | purge | test
    fold 2    fit ............... tune calibrate  | purge | test
    fold 3    fit ...................... tune calibrate   | purge | test

All models, rules, thresholds and taus are fitted anew in each fold, on rows whose label ends five minutes
before the fold's test rows begin. The 90 % bands of models are those that serving would have recorded: each
training begins at its own, and its outcomes in the fold move it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from volspike.errors import NotEnoughDataError
from volspike.labels.dataset import Dataset, hashed, with_fixed_tau_of
from volspike.labels.splits import PURGE_S, Split, reach_ns, split_times
from volspike.models.adaptive_band import adapted
from volspike.models.calibration import ScoredRows
from volspike.models.learner import Learner
from volspike.models.manifest import AlertEntry
from volspike.models.train import TrainResult

I8 = npt.NDArray[np.int64]
Train = Callable[[Dataset, Split], TrainResult]
Start = Callable[[Dataset, Split], Learner | None]

PAST_FRACTIONS = (0.8, 0.1, 0.1, 0.0)
CHAMPION = "champion"
REFERENCE = "reference"
RULE = "rule:"
REST_SHARE = 10
ONE_CLASS = "not enough data: the fit slice has labels of one class"
NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class FoldTraining:
    """What the training of a fold said of itself.

    Attributes
    ----------
    champion, champion_reason, reference, reference_reason : str
        What it chose, and how.
    fixed_bps : float
        Its fixed tau: that of its own fit slice.
    enough_data : bool
        Whether its fit slice was enough for any claim.
    notes : dict of str to tuple of str
        What is thin, uncalibrated or guessed, by model.
    not_fitted : dict of str to str
        Why a model could not be fitted, by name.
    """

    champion: str
    champion_reason: str
    reference: str
    reference_reason: str
    fixed_bps: float
    enough_data: bool
    notes: dict[str, tuple[str, ...]]
    not_fitted: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class WalkForward:
    """Out-of-sample predictions of all folds, in time order.

    Attributes
    ----------
    rows : Dataset
        The n test rows, each with the tau that its fold knew; their fixed tau is the folds' median.
    models : dict of str to ScoredRows
        Predictions of each model, of each simple rule (``rule:NAME``), and of what would have been served:
        ``champion`` and ``reference``, as each fold chose them.
    open_at, close_at : dict of str to float64[n]
        Alert thresholds of each model at each row, as its fold chose them.
    fold : int64[n]
        Number of the fold.
    trainings : tuple of FoldTraining
        Of each fold.
    left_out : dict of str to str
        Why a model or rule that some fold has is missing here: which folds lack it, and why, in words.
    first : TrainResult
        What the first fold trained.
    online : Learner or None
        The model that the first fold started and that has learned nothing yet; None where none was asked for,
        or there was too little to start it on.
    """

    rows: Dataset
    models: dict[str, ScoredRows]
    open_at: dict[str, npt.NDArray[np.float64]]
    close_at: dict[str, npt.NDArray[np.float64]]
    fold: I8
    trainings: tuple[FoldTraining, ...]
    left_out: dict[str, str]
    first: TrainResult
    online: Learner | None = None

    @property
    def chosen(self) -> tuple[tuple[str, str], ...]:
        """Return champion and reference of each fold."""
        return tuple((training.champion, training.reference) for training in self.trainings)


def folds(event_ns: I8, from_ns: int, until_ns: int, every_s: int, purge_s: int = PURGE_S) -> Iterator[Split]:
    """Yield the split of each fold.

    Parameters
    ----------
    event_ns : int64[n]
        Event times of the rows, ascending, ns.
    from_ns, until_ns : int
        The test rows lie in [from, until).
    every_s : int
        Length of a fold's test part in seconds. A rest of less than a tenth of it at the end goes to the
        fold before: no training is worth a row.
    purge_s : int
        At least so long between the end of a training label and the first test row.
    """
    reach = reach_ns(event_ns, purge_s)
    starts_ns = list(range(from_ns, until_ns, every_s * NS))
    if len(starts_ns) > 1 and REST_SHARE * (until_ns - starts_ns[-1]) < every_s * NS:
        starts_ns.pop()
    for start_ns, stop_ns in zip(starts_ns, (*starts_ns[1:], until_ns), strict=True):
        first, last = np.searchsorted(event_ns, (start_ns, stop_ns)).tolist()
        if first == last:
            continue
        past = split_times(event_ns[: int(np.searchsorted(reach, start_ns, side="right"))], PAST_FRACTIONS)
        yield replace(
            past,
            test=np.arange(first, last, dtype=np.int64),
            boundaries_ns=(*past.boundaries_ns[:2], int(event_ns[first])),
            purged=first - sum(len(part) for _, part in past.parts()),
        )


def walk_forward(
    dataset: Dataset,
    from_ns: int,
    until_ns: int,
    every_s: int,
    train: Train,
    say: Callable[[str], None],
    start: Start | None = None,
) -> WalkForward:
    """Train and predict fold by fold.

    Parameters
    ----------
    dataset : Dataset
        Rows of the whole span.
    from_ns, until_ns, every_s : int
        See ``folds``.
    train : callable
        Trains on a dataset and a split, reading nothing of the split's test part.
    say : callable
        Told of each fold.
    start : callable, optional
        Given the dataset and the split of the first fold, as ``train`` is: returns a model that will learn.

    Raises
    ------
    NotEnoughDataError
        When no row lies in the span, or a fold has nothing at all to train on; thin folds say so in notes.
    """
    parts: list[_Fold] = []
    online: Learner | None = None
    for number, split in enumerate(folds(dataset.event_ns, from_ns, until_ns, every_s)):
        known = with_fixed_tau_of(dataset, split.fit)
        result = train(known, split)
        if not parts:
            first = result
            online = start(known, split) if start is not None else None
        say(f"fold {number + 1}: {len(split.fit):,} rows of fit, {len(split.test):,} of test")
        parts.append(_fold(split.test, known.rows(split.test), result))
    if not parts:
        raise NotEnoughDataError(dataset.product, "no row in the span to test on", "choose another span")
    return _joined(dataset, parts, first, online)


@dataclass(frozen=True, slots=True, eq=False)
class _Fold:
    index: I8
    rows: Dataset
    models: Mapping[str, ScoredRows]
    alert: Mapping[str, AlertEntry]
    training: FoldTraining


def _fold(index: I8, rows: Dataset, result: TrainResult) -> _Fold:
    models = {
        name: adapted(bundle.predictor.predict_batch(rows), rows).scored
        for name, bundle in result.bundles.items()
    }
    rules = {f"{RULE}{name}": rule.predict_batch(rows) for name, rule in result.references.items()}
    alert = {name: bundle.manifest.alert for name, bundle in result.bundles.items()}
    served = {CHAMPION: models[result.champion], REFERENCE: rules[RULE + result.reference]}
    alert[CHAMPION] = alert[result.champion]
    training = FoldTraining(
        champion=result.champion,
        champion_reason=result.champion_reason,
        reference=result.reference,
        reference_reason=result.reference_reason,
        fixed_bps=rows.fixed_tau_bps,
        enough_data=all(bundle.manifest.enough_data for bundle in result.bundles.values()),
        notes={name: bundle.manifest.notes for name, bundle in result.bundles.items()},
        not_fitted=result.not_fitted,
    )
    return _Fold(index, rows, {**models, **served, **rules}, alert, training)


def _joined(dataset: Dataset, parts: list[_Fold], first: TrainResult, online: Learner | None) -> WalkForward:
    """Put the folds one behind the other; a model that one of them could not fit is left out."""
    names = [name for name in parts[0].models if all(name in part.models for part in parts)]
    alerting = [name for name in names if name in parts[0].alert]
    rows = dataset.rows(np.concatenate([part.index for part in parts]))
    return WalkForward(
        rows=hashed(
            replace(
                rows,
                fixed_tau_bps=float(np.median([part.rows.fixed_tau_bps for part in parts])),
                tau_bps=np.concatenate([part.rows.tau_bps for part in parts]),
                spike=np.concatenate([part.rows.spike for part in parts]),
            )
        ),
        models={name: _end_to_end([part.models[name] for part in parts]) for name in names},
        open_at={name: _spread(parts, [part.alert[name].open_at for part in parts]) for name in alerting},
        close_at={name: _spread(parts, [part.alert[name].close_at for part in parts]) for name in alerting},
        fold=np.repeat(np.arange(len(parts)), [len(part.index) for part in parts]),
        trainings=tuple(part.training for part in parts),
        left_out=_left_out(parts),
        first=first,
        online=online,
    )


def _left_out(parts: list[_Fold]) -> dict[str, str]:
    """Return which folds lack a model or rule that others have or should have, and why."""
    known = {name for part in parts for name in (*part.models, *part.training.not_fitted)}
    told: dict[str, str] = {}
    for name in sorted(known):
        lacking = [number for number, part in enumerate(parts, 1) if name not in part.models]
        if lacking:
            reasons = {parts[number - 1].training.not_fitted.get(name, ONE_CLASS) for number in lacking}
            numbers = ", ".join(map(str, lacking))
            folds_ = "fold" if len(lacking) == 1 else "folds"
            told[name.removeprefix(RULE)] = (
                f"{folds_} {numbers} of {len(parts)}: {'; '.join(sorted(reasons))}"
            )
    return told


def _spread(parts: list[_Fold], values: list[float]) -> npt.NDArray[np.float64]:
    """Return the value of its fold at each row."""
    return np.repeat(np.array(values, np.float64), [len(part.index) for part in parts])


def _end_to_end(pieces: list[ScoredRows]) -> ScoredRows:
    return ScoredRows(*(np.concatenate(column) for column in zip(*pieces, strict=True)))
