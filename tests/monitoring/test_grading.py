"""Predictions and outcomes joined to graded rows, against a plain look at the whole story."""

from __future__ import annotations

import random

import msgspec
import pytest

from graded_rows import NS, START_S, Told, assert_same, plain_blocks, rows_of, tell
from made_records import PREDICTION
from volspike.monitoring.graded import empty_rows, join_rows
from volspike.monitoring.grading import GradedBlock, Grader
from volspike.records import Outcome, Prediction
from volspike.scoring.outcomes import outcome_of


def graded(grader: Grader, told: list[Told]) -> list[GradedBlock]:
    blocks: list[GradedBlock] = []
    waiting: list[tuple[int, Outcome]] = []
    for offset, each in enumerate(told):
        if isinstance(each.record, Prediction):
            grader.predicted(each.record, offset)
        else:
            waiting.append((offset, each.record))
        known = [pair for pair in waiting if grader.knows(pair[1])]
        waiting = [pair for pair in waiting if pair not in known]
        for at, outcome in known:
            blocks += grader.turned_out(outcome, at)
    return blocks


@pytest.mark.parametrize("seed", range(4))
def test_the_last_prediction_of_each_second_is_joined_with_its_outcome(seed: int) -> None:
    told = tell("BTC-USD", seed, 9_000)
    expected = plain_blocks(told)
    blocks = graded(Grader(), told)
    assert [(each.product, each.start_s) for each in blocks] == sorted(expected)
    assert len(blocks) >= 2
    for block in blocks:
        assert_same(block.rows, rows_of(expected[block.product, block.start_s]))
    rows = join_rows([block.rows for block in blocks])
    assert set(rows.spike.tolist()) == {-1, 0, 1}
    assert rows.fallback.any()
    assert rows.in_sample.any()
    assert list(rows.run) == sorted(rows.run)
    assert rows.run[-1] + 1 == len(set(rows.covered_since_ns.tolist()))
    assert (rows.graded.second == rows.second).all()


def test_several_products_do_not_mix() -> None:
    told = sorted(
        tell("BTC-USD", 1, 6_000) + tell("ETH-USD", 2, 6_000, START_S + 700), key=lambda each: each.known_ns
    )
    expected = plain_blocks(told)
    blocks = graded(Grader(), told)
    assert {(each.product, each.start_s) for each in blocks} == set(expected)
    for block in blocks:
        assert_same(block.rows, rows_of(expected[block.product, block.start_s]))


def test_an_outcome_waits_until_its_second_is_over() -> None:
    """Two predictions under one stamp; the second one stands for the second."""
    grader, outcomes = Grader(), []
    for number in range(2):
        made = msgspec.structs.replace(PREDICTION, id=str(number), event_ns=START_S * NS)
        grader.predicted(made, number)
        outcomes.append(outcome_of(made, 1.0, None, (START_S + 61) * NS))
    assert [grader.knows(outcome) for outcome in outcomes] == [False, False]
    grader.predicted(msgspec.structs.replace(PREDICTION, id="2", event_ns=(START_S + 5) * NS), 2)
    assert [grader.knows(outcome) for outcome in outcomes] == [True, True]


def test_late_outcomes_are_never_kept_even_when_all_are_late() -> None:
    late = msgspec.structs.replace(PREDICTION, late=True)
    grader, outcome = Grader(), outcome_of(late, None, "late", 5)
    grader.predicted(late, 0)
    assert grader.knows(outcome)
    assert list(grader.turned_out(outcome, 0)) == []
    assert grader.needed() == (None, None)


@pytest.mark.parametrize("seed", range(6))
def test_what_is_needed_is_enough_to_make_the_open_block_again(seed: int) -> None:
    """Stopped anywhere, and begun again at what is needed: the blocks that follow are the same."""
    told = tell("BTC-USD", seed, 9_000)
    expected = plain_blocks(told)
    cut = random.Random(seed).randrange(len(told) // 3, len(told))
    first = Grader()
    done = {each.start_s for each in graded(first, told[:cut])}
    predictions, outcomes = first.needed()
    assert predictions is not None
    start = min(predictions, cut if outcomes is None else outcomes)
    made = [each for each in graded(Grader(), told[start:]) if each.start_s > max(done, default=0)]
    assert done | {each.start_s for each in made} == {start_s for _, start_s in expected}
    for block in made:
        assert_same(block.rows, rows_of(expected["BTC-USD", block.start_s]))


def test_no_rows_are_rows_too() -> None:
    assert len(join_rows([])) == len(empty_rows()) == len(empty_rows().run) == 0
