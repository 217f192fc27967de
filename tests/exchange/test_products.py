"""Scales come from a table and from nowhere else."""

from __future__ import annotations

import pytest

from volspike.errors import ConfigError
from volspike.exchange.products import PriceScales


def test_scales_default_table_and_override() -> None:
    scales = PriceScales({"NEW-USD": 10, "SHIB-USD": 14}, {"NEW-USD": 0.5})
    assert scales.decimals("BTC-USD") == 8
    assert scales.decimals("PEPE-USD") == 12
    assert scales.decimals("NEW-USD") == 10
    assert scales.decimals("SHIB-USD") == 14
    assert scales.increment("BTC-USD") == 0.01
    assert scales.increment("BONK-USD") == 1e-8
    assert scales.increment("NEW-USD") == 0.5


@pytest.mark.parametrize("decimals", [-1, 16])
def test_scale_out_of_range_is_refused(decimals: int) -> None:
    with pytest.raises(ConfigError, match="NEW-USD"):
        PriceScales({"NEW-USD": decimals})


@pytest.mark.parametrize("increment", [0.0, -0.01, float("nan"), float("inf")])
def test_increment_that_is_no_step_is_refused(increment: float) -> None:
    with pytest.raises(ConfigError, match="NEW-USD"):
        PriceScales(increments={"NEW-USD": increment})
