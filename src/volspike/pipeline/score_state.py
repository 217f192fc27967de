"""One product of the stage ``score``, and its state as bytes and back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from volspike.alerts.policy import AlertPolicy
from volspike.bus.port import LogRecord
from volspike.errors import ModelError
from volspike.labels.second_journal import SecondJournal
from volspike.labels.trailing import TrailingState
from volspike.models.bundle import Bundle
from volspike.pipeline.standing_watch import Swap
from volspike.pipeline.stretch import Stretch
from volspike.records import Prediction
from volspike.scoring.scorer import Scorer


class _Head(msgspec.Struct, array_like=True):
    # JSON of the standard library: sums of squares are integers beyond 64 bits.
    plain: bytes
    predictions: list[Prediction]
    held: LogRecord | None = None


_DECODE = msgspec.msgpack.Decoder(_Head).decode


def model_of(head: bytes) -> tuple[str, str]:
    """Return name and version of the model that a head was written by; empty where it does not say."""
    plain: dict[str, Any] = json.loads(_DECODE(head).plain)
    name, version = plain.get("model", ("", ""))
    return name, version


class ProductScore:
    """What scores one product and feed, with the day of closed seconds behind it.

    Parameters
    ----------
    bundle : Bundle
        The model; ``serve`` changes it.
    scorer : Scorer
        Of the model and ``trailing``.
    trailing : TrailingState
        Empty.
    policy : AlertPolicy
        Of this product and feed alone.

    Attributes
    ----------
    scorer, policy, bundle
        As given.
    journal : SecondJournal
        The closed seconds that are not written yet.
    stretch : Stretch
        The covered stretch it is in.
    held : LogRecord or None
        A record far ahead of those before, not taken yet.
    """

    def __init__(self, bundle: Bundle, scorer: Scorer, trailing: TrailingState, policy: AlertPolicy) -> None:
        self.bundle = bundle
        self.scorer = scorer
        self.policy = policy
        self.journal = SecondJournal()
        self.stretch = Stretch()
        self.held: LogRecord | None = None
        self._trailing = trailing
        trailing.on_closed = self.journal.add

    def head(self) -> bytes:
        """Return all state but the journal; all that is graded has been taken."""
        scorer, predictions = self.scorer.export_state()
        plain = {
            "target": self.bundle.predictor.target,
            "model": [self.bundle.manifest.name, self.bundle.manifest.version],
            "scorer": scorer,
            "trailing": self._trailing.export_state(),
            "policy": self.policy.export_state(),
            "stretch": msgspec.to_builtins(self.stretch),
        }
        return msgspec.msgpack.encode(_Head(json.dumps(plain).encode(), predictions, self.held))

    def serve(self, swap: Swap, policy: AlertPolicy, expiry_days: float) -> None:
        """Go on with another model, and a fresh policy of it; what is pending and open stays."""
        swap.give(self.scorer, expiry_days)
        policy.import_state(self.policy.export_state())
        self.bundle, self.policy = swap.bundle, policy

    def restore(self, head: bytes, minutes: Iterable[bytes]) -> None:
        """Take up, being fresh, a head and the minutes of its journal.

        Raises
        ------
        ModelError
            The state is that of a model with another target.
        """
        decoded = _DECODE(head)
        plain: dict[str, Any] = json.loads(decoded.plain)
        target = self.bundle.predictor.target
        if plain["target"] != target:
            raise ModelError(
                f"model {self.bundle.manifest.name}",
                f"its target is {target}, predictions of target {plain['target']} are pending",
                "serve a model of the same target, or begin anew in another group",
            )
        self._trailing.import_state(plain["trailing"], self.journal.restore(minutes))
        self.scorer.import_state(plain["scorer"], decoded.predictions)
        self.policy.import_state(plain["policy"])
        self.held = decoded.held
        self.stretch = msgspec.convert(plain["stretch"], Stretch)
