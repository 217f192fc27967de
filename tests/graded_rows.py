"""Predictions with outcomes, and graded rows, for tests of what is made of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from made_records import PREDICTION
from volspike.monitoring.graded import DTYPES, GradedRows
from volspike.records import Outcome, Prediction
from volspike.scoring.outcomes import outcome_of

NS = 1_000_000_000
START_S = 1_800 * 900_000


@dataclass(frozen=True)
class Told:
    """A record as it comes to the topics: in order of when it is known."""

    known_ns: int
    record: Prediction | Outcome


def tell(product: str, seed: int, length_s: int, start_s: int = START_S, every_s: float = 3.0) -> list[Told]:
    """Return predictions and outcomes of one product: ties, late ones, unlabelled ones, breaks, a pause."""
    rng = random.Random(seed)
    told: list[Told] = []
    at_ns, covered_ns, last = start_s * NS, start_s * NS, (start_s + length_s) * NS
    pending: list[Prediction] = []
    while at_ns < last:
        kind = rng.random()
        if kind < 0.002:
            told += [Told(at_ns, outcome_of(made, None, "break", at_ns)) for made in pending]
            pending = []
            at_ns += rng.randrange(60 * NS, 2_400 * NS)
            covered_ns = at_ns
        elif kind > 0.2:
            at_ns += int(rng.expovariate(1.0 / every_s) * NS)
        elif kind > 0.15:
            at_ns = -(-at_ns // NS) * NS
        due = [made for made in pending if made.event_ns + 61 * NS < at_ns]
        pending = pending[len(due) :]
        for made in due:
            told.append(Told(at_ns, outcome_of(made, rng.random() * 8.0, None, at_ns)))
        made = _prediction(product, len(told), at_ns, covered_ns, rng)
        told.append(Told(at_ns, made))
        if made.late:
            told.append(Told(at_ns, outcome_of(made, None, "late", at_ns)))
        else:
            pending.append(made)
    return told


def _prediction(product: str, number: int, at_ns: int, covered_ns: int, rng: random.Random) -> Prediction:
    has_challenger = rng.random() < 0.7
    return msgspec.structs.replace(
        PREDICTION,
        id=f"{product}/{number}",
        product=product,
        identity=f"{product}/{number}",
        event_ns=at_ns,
        covered_since_ns=covered_ns,
        model="tiny!fallback" if rng.random() < 0.1 else "tiny",
        model_version=rng.choice(("1", "2")),
        p_spike=rng.random(),
        sigma_bps=rng.random() * 8.0,
        reference_p_spike=rng.choice((None, 0.25)),
        reference_sigma_bps=rng.choice((None, 2.5)),
        late=rng.random() < 0.05,
        in_sample=rng.random() < 0.1,
        challenger="other" if has_challenger else None,
        challenger_version="9" if has_challenger else None,
        challenger_p_spike=rng.random() if has_challenger and rng.random() < 0.9 else None,
        challenger_sigma_bps=1.5 if has_challenger else None,
    )


def plain_blocks(told: Sequence[Told]) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """Return what the ledger has to hold, with the whole story in hand; the last block of each is open."""
    outcomes = {each.record.prediction_id: each.record for each in told if isinstance(each.record, Outcome)}
    last: dict[tuple[str, int], Prediction] = {}
    for each in told:
        made = each.record
        if isinstance(made, Prediction) and not made.late:
            last[made.product, -(-made.event_ns // NS)] = made
    blocks: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for (product, second), made in sorted(last.items()):
        outcome = outcomes.get(made.id)
        if outcome is not None:
            row = _row(second, made, outcome)
            blocks.setdefault((product, second // 1_800 * 1_800), []).append(row)
    newest = {product: max(start for of, start in blocks if of == product) for product, _ in blocks}
    return {key: rows for key, rows in blocks.items() if key[1] != newest[key[0]]}


def _row(second: int, made: Prediction, outcome: Outcome) -> dict[str, Any]:
    nan = float("nan")
    return {
        "second": second,
        "covered_since_ns": made.covered_since_ns,
        "spike": -1 if outcome.spike is None else int(outcome.spike),
        "tau_bps": made.tau_bps,
        "sigma_future_bps": nan if outcome.sigma_future_bps is None else outcome.sigma_future_bps,
        "mid": made.mid,
        "p": made.p_spike,
        "sigma_bps": made.sigma_bps,
        "reference_p": nan if made.reference_p_spike is None else made.reference_p_spike,
        "reference_sigma_bps": nan if made.reference_sigma_bps is None else made.reference_sigma_bps,
        "challenger_p": nan if made.challenger_p_spike is None else made.challenger_p_spike,
        "challenger_sigma_bps": nan if made.challenger_sigma_bps is None else made.challenger_sigma_bps,
        "version": made.model_version,
        "challenger_version": made.challenger_version or "",
        "in_sample": made.in_sample,
        "fallback": made.model == "tiny!fallback",
    }


def rows_of(plain: Sequence[dict[str, Any]]) -> GradedRows:
    """Return graded rows of plain ones."""
    return GradedRows(*(np.array([row[name] for row in plain], of) for name, of in DTYPES.items()))


def assert_same(found: GradedRows, expected: GradedRows) -> None:
    """Check that all columns are equal, types and NaN included."""
    for name in DTYPES:
        mine, theirs = getattr(found, name), getattr(expected, name)
        assert mine.dtype.kind == theirs.dtype.kind, name
        np.testing.assert_array_equal(mine, theirs, err_msg=name)
