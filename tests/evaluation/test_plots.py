from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluation_rows import dataset

from volspike.errors import ConfigError
from volspike.evaluation.plots import plot_confusion, plot_precision_recall
from volspike.evaluation.scores import Scores, score

PNG = b"\x89PNG\r\n\x1a\n"


def scored(spike: list[int]) -> tuple[Scores, np.ndarray, np.ndarray]:
    part = dataset(spike)
    p = np.random.default_rng(2).random(len(part))
    labelled = part.spike >= 0
    return score(part, p, reference_p_spike=p**2), part.spike[labelled] == 1, p[labelled]


def test_pictures_are_written_and_repeat_to_the_byte(tmp_path: Path) -> None:
    scores, y, p = scored([0] * 200 + [1] * 30 + [0] * 100 + [-1] * 10)
    reference = ("persistence", p**2)
    written = [
        (
            plot_confusion(tmp_path / name / "confusion.png", scores, "xgboost", "test"),
            plot_precision_recall(tmp_path / name / "pr.png", scores, y, p, "xgboost", "test", reference),
        )
        for name in ("a", "b")
    ]
    for first, second in zip(*written, strict=True):
        assert first.read_bytes().startswith(PNG)
        assert first.read_bytes() == second.read_bytes()


def test_a_picture_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "reports").touch()
    scores, _, _ = scored([0] * 50 + [1] * 50)
    with pytest.raises(ConfigError, match="can't be written"):
        plot_confusion(tmp_path / "reports" / "c.png", scores, "zscore", "test")


def test_one_class_and_no_rows_still_give_pictures(tmp_path: Path) -> None:
    for spike in ([0] * 100, [-1] * 100):
        scores, y, p = scored(spike)
        assert plot_confusion(tmp_path / "c.png", scores, "zscore", "tune").stat().st_size > 1_000
        assert (
            plot_precision_recall(tmp_path / "p.png", scores, y, p, "zscore", "tune").stat().st_size > 1_000
        )
