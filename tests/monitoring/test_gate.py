"""The words of the conditions of a promotion."""

from __future__ import annotations

import pytest

from volspike.monitoring.gate import Calibration, _calibrated, _certain


@pytest.mark.parametrize(("log_e", "words"), [(-0.04, "e^0.0,"), (0.04, "e^0.0,"), (-0.06, "e^-0.1,")])
def test_evidence_that_is_none_has_no_sign(log_e: float, words: str) -> None:
    assert words in _certain(log_e, 0.05).words


@pytest.mark.parametrize(
    ("log_e", "words"),
    [
        (2.5, "e^2.5, e^3.0 is"),
        (2.96, "e^2.96, e^3.00 is"),
        (2.9957, "e^2.99570, e^2.99573 is"),
        (2.996, "e^3.0, e^3.0 is"),
    ],
)
def test_evidence_that_is_refused_does_not_read_as_what_is_asked_for(log_e: float, words: str) -> None:
    found = _certain(log_e, 0.05)
    assert words in found.words
    assert found.met == (log_e == 2.996)


@pytest.mark.parametrize(
    ("champion", "challenger", "words"),
    [
        ((None, None), (1.0, 1.2504), "ratio of 1.2504 lies outside 0.8 to 1.25"),
        ((None, None), (0.7999, 1.0), "slope of 0.7999 lies outside 0.8 to 1.25"),
        ((None, None), (0.5, 1.0), "slope of 0.50 lies outside 0.8 to 1.25"),
        ((1.0, 0.0), (1.0, 0.0), "ratio of 0.00 lies outside 0.8 to 1.25, the champion's is 0.00"),
        ((0.7006, 1.0), (0.7004, 1.0), "slope of 0.700 lies outside 0.8 to 1.25, the champion's is 0.701"),
    ],
)
def test_a_calibration_that_is_refused_does_not_read_as_its_bound(
    champion: Calibration, challenger: Calibration, words: str
) -> None:
    found = _calibrated(champion, challenger)
    assert not found.met
    assert words in found.words
