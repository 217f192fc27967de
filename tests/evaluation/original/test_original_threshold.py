"""Tau: a percentile or a number, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from volspike.evaluation.original.threshold import Threshold, parse_threshold


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("P90", Threshold(percentile=90.0)),
        ("p97.5", Threshold(percentile=97.5)),
        ("0.000028", Threshold(std=0.000028)),
        ("2.8e-5", Threshold(std=2.8e-5)),
        ("0.5bps", Threshold(std=0.5e-4)),
    ],
)
def test_percentiles_and_numbers_are_read(text: str, expected: Threshold) -> None:
    assert parse_threshold(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "P", "P0", "P100", "P90bps", "-1e-5", "0", "nan", "90%", "1.2.3", "0.28", "200bps", "1e-5 bp"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither a percentile|no number|outside P0|no volatility"):
        parse_threshold(text)


def test_a_number_too_large_for_a_std_names_basis_points() -> None:
    with pytest.raises(ValueError, match=r"write 0\.28bps"):
        parse_threshold("0.28")


def test_a_percentile_is_of_what_is_given_and_a_number_is_itself() -> None:
    stds = np.arange(1, 12) / 1e5
    assert parse_threshold("P90").of(stds) == pytest.approx(10e-5)
    assert parse_threshold("3e-5").of(stds) == 3e-5
    assert parse_threshold("P90").of(np.empty(0)) is None
    assert [str(parse_threshold(text)) for text in ("P90", "p97.5", "0.000028")] == [
        "P90",
        "P97.5",
        "2.8e-05",
    ]
