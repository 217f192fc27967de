"""How single figures are written: no digit is lost, and no price is shown as nothing."""

from __future__ import annotations

import pytest

from volspike.cli.figures import age_text, count_text, duration_text, mid_text, reasons_text, short_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10.9, "10.900"),
        (10.897, "10.897"),
        (70.7, "70.700"),
        (100.25, "100.250"),
        (0.5, ".500"),
        (-0.3, "-.300"),
        (-10.3, "-10.300"),
        (0.0, ".000"),
        (3, 3),
        (None, None),
    ],
)
def test_only_the_zero_in_front_of_the_point_is_left_out(value: object, text: object) -> None:
    assert short_text(value) == text


@pytest.mark.parametrize(
    ("mid", "text"),
    [
        (73_790.906, "73,790.91"),
        (3_200.5, "3,200.50"),
        (150.125, "150.125"),
        (0.5123456, "0.512346"),
        (0.00001234567, "0.0000123457"),
        (0.0, "0.00000"),
    ],
)
def test_a_price_keeps_six_digits(mid: float, text: str) -> None:
    assert mid_text(mid) == text


@pytest.mark.parametrize(
    ("age_s", "text"),
    [
        (10_421_003.0, "120.6 days"),
        (172_800.0, "2.0 days"),
        (172_799.0, "48.0 h"),
        (150.0, "2.5 min"),
        (90.4, "90 s"),
        (-300.0, "5.0 min ahead"),
        (0.0, "0 s"),
    ],
)
def test_an_age_is_in_units_for_people(age_s: float, text: str) -> None:
    assert age_text(age_s) == text


def test_counts_and_durations_read_well() -> None:
    assert (count_text(1, "cluster"), count_text(2, "cluster")) == ("1 cluster", "2 clusters")
    assert count_text(0, "window") == "0 windows"
    durations = [duration_text(us) for us in (None, 88.4, 999.0, 3_500.0, 22_020.0, 1.2e6, 9.9e7)]
    assert durations == ["-", "88 us", "999 us", "3.5 ms", "22 ms", "1.2 s", "99 s"]
    assert reasons_text({"end": 12, "close_1000": 1, "late": 300}) == "late 300, end 12, close 1000 once"
