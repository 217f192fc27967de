"""What was learned, from one start of a job to the next; a damaged file is nothing learned, and a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from made_bundles import PRODUCT
from online_models import online_model, random_rows
from volspike.evaluation.progressive import progressive
from volspike.labels.tau import TauSpec
from volspike.labels.trailing import TrailingState
from volspike.pipeline.learned_store import keep_learned, resume_learned
from volspike.scoring.lineup import Lineup
from volspike.scoring.scorer import Scorer
from volspike.testing.manual_clock import ManualClock


def scorer_of(learner: object) -> Scorer:
    return Scorer(Lineup(learner, learner), TrailingState(TauSpec(), 4.0, 2), ManualClock())  # type: ignore[arg-type]


def test_what_was_kept_is_gone_on_with(tmp_path: Path) -> None:
    learner, other = online_model(), online_model()
    progressive(learner, random_rows(1, 200))
    assert learner.learned
    keep_learned(tmp_path / "learned", PRODUCT, scorer_of(learner))
    resume_learned(tmp_path / "learned", PRODUCT, scorer_of(other))
    assert other.export_state() == learner.export_state()


DAMAGED = {
    "deep": "[" * 200_000,
    "torn": '{"a": {"version": "a", "hea',
    "no text": "\udcff",
    "a list": "[]",
    "null": "null",
    "a list in a version": '{"a": []}',
    "a number in a version": '{"a": 5}',
    "null in a version": '{"a": null}',
    "no fields": '{"a": {"version": "a"}}',
    "other shapes": json.dumps({"a": online_model().export_state() | {"heads": [[1.0]]}}),
    "null for numbers": json.dumps({"a": online_model().export_state() | {"line": [None, None]}}),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_nothing_learned_and_one_line_in_the_log(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"{PRODUCT}.json").write_bytes(DAMAGED[kind].encode(errors="surrogateescape"))
    learner = online_model()
    resume_learned(tmp_path, PRODUCT, scorer_of(learner))
    assert learner.export_state() == online_model().export_state()
    said = capsys.readouterr()
    assert (said.out + said.err).count("learned can't be") == 1
