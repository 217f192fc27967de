"""How real is the synthetic market, and how much of what can be known of it do the models know?

The synthetic market beside every recording, by the same code; recordings that are not there are left out.
"""

from __future__ import annotations

from benchmarks.attainable import calibration_sheet, judge, score_sheets
from benchmarks.market_facts import Facts, mid_candles, minute_facts, tick_facts
from benchmarks.market_sources import DATA, recorded_minutes, recorded_tables, synthetic_tables
from benchmarks.sheet import Sheet, side_by_side
from benchmarks.true_chance import Fineness
from volspike.evaluation.enough import MIN_WINDOWS
from volspike.features.table import FeatureTable
from volspike.simulation.synthetic import PRODUCTS, SyntheticMarket

TITLE = "How real is the synthetic market"
SEEDS, HOURS = (1, 2, 3), 24.0
JUDGED_SEED, JUDGED_HOURS = 11, 72.0
START_NS = 1_700_000_000 * 1_000_000_000
QUICK_FINENESS = Fineness(6, 2, 100)
MARKS = (
    f"A ! marks what rests on fewer than {MIN_WINDOWS} minutes. Advanced Trade (dec, apr) sends one row for "
    "all trades of an instant, Exchange (nov, synthetic) one a trade. In brackets lowest and highest seed."
)
MINUTE_MARKS = "The recorded range is of trades, the synthetic one of mids."


def run(quick: bool) -> list[Sheet]:
    """Measure everything; ``quick``: one short market, and no recording."""
    seeds, hours = (SEEDS[:1], 0.5) if quick else (SEEDS, HOURS)
    markets = [
        synthetic_tables(SyntheticMarket(seed, (*PRODUCTS,), START_NS, int(hours * 3_600))) for seed in seeds
    ]
    recorded = {} if quick else recorded_tables(DATA)
    sheets = [_ticks(product, markets, recorded.get(product, {}), hours) for product in PRODUCTS]
    sheets.append(_minutes([market["BTC-USD"] for market in markets], quick))
    judged = judge(JUDGED_SEED, 2.0 if quick else JUDGED_HOURS, QUICK_FINENESS if quick else Fineness())
    return [*sheets, *score_sheets(judged), calibration_sheet(judged)]


def _ticks(
    product: str,
    markets: list[dict[str, list[FeatureTable]]],
    recorded: dict[str, list[FeatureTable]],
    hours: float,
) -> Sheet:
    synthetic = [tick_facts(market[product]) for market in markets]
    found = {name: tick_facts(tables) for name, tables in recorded.items()}
    note = MARKS if found else f"No recording of {product}: {DATA.name}/ticks is absent or left out."
    title = f"{product}: ticks, {len(markets)} x {hours:g} h of the synthetic market"
    return side_by_side(title, synthetic, found, note)


def _minutes(markets: list[list[FeatureTable]], quick: bool) -> Sheet:
    candles = None if quick else recorded_minutes(DATA)
    found: dict[str, Facts] = {} if candles is None else {"jul-26": minute_facts(candles)}
    note = MINUTE_MARKS if found else f"No recorded minutes: {DATA.name}/minutes is absent or left out."
    return side_by_side(
        "BTC-USD: minutes", [minute_facts(mid_candles(tables)) for tables in markets], found, note
    )
