"""Feeds models that go on learning: each second's matured label, with the context that was seen at it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from volspike.errors import ModelError
from volspike.labels.trailing import Context
from volspike.logs import get_logger
from volspike.models.learner import Learner
from volspike.models.predictor import Predictor

log = get_logger()

Seen = tuple[int, int, Context]


class Learning:
    """What waits for its labels, and the models that learn from them.

    The last prediction of a second stands for it, as everywhere on the grid. What the model that served
    before had learned is kept for the way back to it; of older ones nothing is.

    Parameters
    ----------
    predictors : sequence of Predictor
        The one that serves, and those beside it; those of them that are learners learn.
    """

    def __init__(self, predictors: Sequence[Predictor]) -> None:
        self._served = predictors[0].version if predictors else ""
        self._learners = [each for each in predictors if isinstance(each, Learner)]
        self._waiting: deque[Seen] = deque()
        self._previous = ""
        self._previous_learned: dict[str, Any] = {}  # by version: of the previous model, or of none

    def with_models(self, predictors: Sequence[Predictor]) -> Learning:
        """Return what goes on waiting, with other models to learn from it."""
        other = Learning(predictors)
        if other._learners:
            other._waiting = self._waiting
        known = self.learned
        other._keep(self._previous if other._served == self._served else self._served, known)
        learning = {learner.version for learner in self._learners}
        for learner in other._learners:
            if learner.version not in learning:
                _resume(learner, known)
        return other

    def _keep(self, previous: str, learned: dict[str, Any]) -> None:
        self._previous = previous
        self._previous_learned = {previous: learned[previous]} if previous in learned else {}

    def forget(self) -> None:
        """Wait for nothing any more."""
        self._waiting.clear()

    def saw(self, run: int, second: int, context: Context) -> None:
        """Take what a prediction was made from: covered stretch, closed second, context."""
        if not self._learners:
            return
        if self._waiting and self._waiting[-1][:2] == (run, second):
            self._waiting.pop()
        self._waiting.append((run, second, context))

    def matured(self, run: int, second: int, sigma_future_bps: float | None, tau_bps: float) -> None:
        """Take the label of a second, None where it has none; seconds come in order."""
        while self._waiting and self._waiting[0][:2] <= (run, second):
            seen_run, seen_second, context = self._waiting.popleft()
            if (seen_run, seen_second) == (run, second) and sigma_future_bps is not None:
                for learner in self._learners:
                    learner.learn(context, sigma_future_bps, tau_bps)

    @property
    def learned(self) -> dict[str, Any]:
        """What each learner and the model that served before have learned, by version."""
        return self._previous_learned | {each.version: each.export_state() for each in self._learners}

    def export_state(self) -> dict[str, Any]:
        """Return what waits and what was learned, as JSON-able values."""
        return {
            "waiting": [(run, second, list(context)) for run, second, context in self._waiting],
            **self.export_learned(),
        }

    def export_learned(self) -> dict[str, Any]:
        """Return what was learned, and by whom, as JSON-able values; ``import_state`` takes it too."""
        return {"learned": self.learned, "served": self._served, "previous": self._previous}

    def import_state(self, state: dict[str, Any]) -> None:
        """Go on from what ``export_state`` gave; a model that it does not hold begins where it started."""
        learned = state.get("learned", {})
        for learner in self._learners:
            _resume(learner, learned)
        served = state.get("served", self._served)
        self._keep(state.get("previous", "") if served == self._served else served, learned)
        if self._learners:
            self._waiting = deque(_seen(*each) for each in state.get("waiting", ()))


def _resume(learner: Learner, learned: dict[str, Any]) -> None:
    if learner.version not in learned:
        return
    try:
        learner.import_state(learned[learner.version])
    except ModelError as error:
        log.warning("what a model has learned can't be used", reason=str(error))


def _seen(run: int, second: int, context: list[Any]) -> Seen:
    rv_bps, tau_bps, har_bps, z, mid, adaptive = context
    return run, second, Context(rv_bps, tau_bps, tuple(har_bps), z, mid, adaptive)
