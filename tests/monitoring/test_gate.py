"""The words of the conditions of a promotion."""

from __future__ import annotations

import pytest

from volspike.monitoring.gate import _certain


@pytest.mark.parametrize(("log_e", "words"), [(-0.04, "e^0.0,"), (0.04, "e^0.0,"), (-0.06, "e^-0.1,")])
def test_evidence_that_is_none_has_no_sign(log_e: float, words: str) -> None:
    assert words in _certain(log_e, 0.05).words
