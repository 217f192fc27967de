"""When an alert opens and when it closes: hysteresis and cooldown, in event time only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec

from volspike.errors import ConfigError
from volspike.evaluation.episodes import COOLDOWN_S, HOLD_S, STALE_S
from volspike.records import Alert, Prediction

NS = 1_000_000_000


def alert_id(product: str, model: str, opened_ns: int) -> str:
    """Return the stable id of an alert: 16 hex digits of the sha256 of what opened, where and when.

    Parameters
    ----------
    product, model : str
        The product and the model's name, without its version.
    opened_ns : int
        Event time of the opening prediction, nanoseconds UTC.
    """
    return hashlib.sha256(f"{product}\n{model}\n{opened_ns}".encode()).hexdigest()[:16]


@dataclass(slots=True)
class _ProductState:
    covered_since_ns: int
    opened: Alert | None = None
    closed_ns: int | None = None
    below_since_ns: int | None = None
    last: Prediction | None = None
    last_p: float = 0.0


class AlertPolicy:
    """Turns predictions into alerts.

    An alert opens at the first prediction with ``p_spike >= open_threshold`` once the cooldown since the last
    close is over. It closes when ``p_spike`` has been below ``close_threshold`` for ``hold_s``, when coverage
    breaks, or when there has been no prediction for ``stale_s``. Everything is counted in event time, so a
    replay gives the same alerts with the same ids.

    Bound: between two openings of a product lie at least ``cooldown_s`` seconds, and ``hold_s + cooldown_s``
    where no break or silence closed the first; an episode of L seconds holds at most
    ``1 + floor(L / (hold_s + cooldown_s))`` alerts.

    Parameters
    ----------
    model : str
        Name of the model, part of every alert's id.
    open_threshold, close_threshold : float
        Probabilities; close is at most open.
    cooldown_s : float
        Seconds after a close in which nothing opens.
    hold_s : float
        Seconds ``p_spike`` must stay below ``close_threshold``.
    stale_s : float
        Seconds without a prediction after which an open alert closes.
    probability : callable
        What of a prediction is compared: ``p_spike``, or ``reference_p_spike`` to see what the reference
        would have alerted. A prediction where it is None counts as none.

    Raises
    ------
    ConfigError
        A threshold outside [0, 1], close above open, or a negative duration.
    """

    def __init__(
        self,
        model: str,
        open_threshold: float,
        close_threshold: float,
        *,
        cooldown_s: float = COOLDOWN_S,
        hold_s: float = HOLD_S,
        stale_s: float = STALE_S,
        probability: Callable[[Prediction], float | None] = attrgetter("p_spike"),
    ) -> None:
        if not 0.0 <= close_threshold <= open_threshold <= 1.0:
            reason = f"open {open_threshold} and close {close_threshold} don't fit"
            raise ConfigError("alert thresholds", reason, "choose 0 <= close <= open <= 1")
        if min(cooldown_s, hold_s, stale_s) < 0:
            raise ConfigError("alert durations", "one is negative", "choose seconds >= 0")
        self._model = model
        self._open_threshold = open_threshold
        self._close_threshold = close_threshold
        self._cooldown_ns = int(cooldown_s * NS)
        self._hold_ns = int(hold_s * NS)
        self._stale_ns = int(stale_s * NS)
        self._probability = probability
        self._states: dict[str, _ProductState] = {}

    def step(
        self, product: str, event_ns: int, covered_since_ns: int, prediction: Prediction | None
    ) -> Alert | None:
        """Take one feature row or mark; return the alert that opened or closed at it, if any.

        Parameters
        ----------
        product : str
            The product of the row or mark.
        event_ns, covered_since_ns : int
            Its event time and coverage, nanoseconds UTC.
        prediction : Prediction or None
            What was predicted at it; None for a mark and for an incomplete window. A late one counts as none.
        """
        state = self._states.get(product)
        if state is None:
            state = self._states[product] = _ProductState(covered_since_ns)
        broken = covered_since_ns != state.covered_since_ns
        state.covered_since_ns = covered_since_ns
        p = None if prediction is None or prediction.late else self._probability(prediction)
        if p is not None:
            state.last_p, state.last = p, prediction
        if state.opened is None:
            if p is None or p < self._open_threshold or not self._has_cooled(state, event_ns):
                return None
            return self._open(state, event_ns)
        over = self._is_over(state, event_ns, p)
        return self._close(state, event_ns) if broken or over else None

    def follow(self, predictions: Iterable[Prediction], alerts: Iterable[Alert]) -> None:
        """Take up what was predicted and alerted, in order, of products that have been seen before."""
        for prediction in predictions:
            p = None if prediction.late else self._probability(prediction)
            if p is not None:
                state = self._states[prediction.product]
                state.last_p, state.last = p, prediction
        for alert in alerts:
            state = self._states[alert.product]
            is_open = alert.state == "opened"
            state.opened = alert if is_open else None
            state.below_since_ns = None
            if not is_open:
                state.closed_ns = alert.event_ns

    def end(self) -> list[Alert]:
        """Close what is open, at the last prediction's event time: the stream is over."""
        states = [state for _, state in sorted(self._states.items()) if state.opened is not None]
        return [self._close(state, state.last.event_ns) for state in states if state.last is not None]

    def export_state(self) -> dict[str, Any]:
        """Return the state as JSON-able values."""
        states: dict[str, Any] = msgspec.to_builtins(self._states)
        return states

    def import_state(self, state: dict[str, Any]) -> None:
        """Take up, into a fresh policy of the same settings, what ``export_state`` gave."""
        self._states = msgspec.convert(state, dict[str, _ProductState])

    def _has_cooled(self, state: _ProductState, event_ns: int) -> bool:
        return state.closed_ns is None or event_ns - state.closed_ns >= self._cooldown_ns

    def _is_over(self, state: _ProductState, event_ns: int, p: float | None) -> bool:
        if p is None:
            return state.last is not None and event_ns - state.last.event_ns >= self._stale_ns
        if p >= self._close_threshold:
            state.below_since_ns = None
            return False
        if state.below_since_ns is None:
            state.below_since_ns = event_ns
        return event_ns - state.below_since_ns >= self._hold_ns

    def _open(self, state: _ProductState, event_ns: int) -> Alert:
        state.below_since_ns = None
        assert state.last is not None
        name = alert_id(state.last.product, self._model, event_ns)
        state.opened = self._alert(state, name, "opened", event_ns, event_ns)
        return state.opened

    def _close(self, state: _ProductState, event_ns: int) -> Alert:
        assert state.opened is not None
        closed = self._alert(state, state.opened.id, "closed", event_ns, state.opened.opened_ns)
        state.opened = None
        state.closed_ns = event_ns
        return closed

    def _alert(self, state: _ProductState, name: str, kind: str, event_ns: int, opened_ns: int) -> Alert:
        prediction = state.last
        assert prediction is not None
        return Alert(
            id=name,
            product=prediction.product,
            state=kind,
            model=prediction.model,
            model_version=prediction.model_version,
            event_ns=event_ns,
            opened_ns=opened_ns,
            p_spike=state.last_p,
            threshold=self._open_threshold if kind == "opened" else self._close_threshold,
            sigma_now_bps=prediction.sigma_now_bps,
            sigma_bps=prediction.sigma_bps,
            tau_bps=prediction.tau_bps,
            mid=prediction.mid,
        )
