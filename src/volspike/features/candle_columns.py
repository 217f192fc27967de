"""The columns of the set ``candle``: what the minutes so far say, by high, low, close and volume alone.

Every source of candles has these four, so a model made of one source's candles takes another's.
"""

from __future__ import annotations

from volspike.features.columns import Column, FeatureSet

RV_MINUTES = (1, 2, 3, 5, 10, 15, 30, 60, 120, 240, 720, 1440)
TYPICAL_MINUTES = (5, 15, 30, 60, 240)
LAG_MINUTES = (1, 2, 3, 4, 5)
RANGE_MINUTES = (5, 15, 60)
VOLUME_MINUTES = (1, 5, 30, 240)
PEAK_MINUTES = 30
DAY_MINUTES = 1440
SEASON_DAYS = 14
SEASON_REACH_MINUTES = 15
HOUR_MINUTES = 60
QUARTER_MINUTES = 15


def _column(name: str, unit: str, transform: str, formula: str, doc: str) -> Column:
    return Column(name, unit, False, transform, formula, doc)


def _columns() -> tuple[Column, ...]:
    sigma = "sigma_m = 1e4 * ln(high / low) / sqrt(4 ln 2)"
    covered = "NaN where under half of the minutes are there"
    return (
        *(
            _column(
                f"range_rv_{n}m",
                "bps",
                "log",
                f"sqrt(mean(sigma_m**2)) over {n} minutes; {sigma}; {covered}",
                f"Volatility a minute from the ranges of {n} minutes (Parkinson 1980).",
            )
            for n in RV_MINUTES
        ),
        *(
            _column(
                f"range_typical_{n}m",
                "bps",
                "log",
                f"exp(mean(ln sigma_m)) over {n} minutes; {covered}",
                f"Geometric mean of {n} minutes' volatilities, which a single one moves less.",
            )
            for n in TYPICAL_MINUTES
        ),
        *(
            _column(
                f"range_lag_{n}m",
                "bps",
                "log",
                f"sigma_m of the minute {n} before",
                f"Volatility of the minute {n} before this one.",
            )
            for n in LAG_MINUTES
        ),
        *(
            _column(
                f"range_over_{n}m",
                "bps",
                "log",
                f"1e4 * ln(max high / min low) over {n} minutes; {covered}",
                f"Range of {n} minutes.",
            )
            for n in RANGE_MINUTES
        ),
        *(
            _column(
                f"position_in_{n}m",
                "1",
                "identity",
                f"(close - min low) / (max high - min low) over {n} minutes; NaN where that is no range",
                f"Where the close lies in the range of {n} minutes.",
            )
            for n in (1, *RANGE_MINUTES)
        ),
        _column(
            "peak_30m",
            "bps",
            "log",
            f"max(sigma_m) over {PEAK_MINUTES} minutes; {covered}",
            "The wildest of thirty minutes.",
        ),
        _column(
            "abs_return_60s",
            "bps",
            "log",
            "1e4 * abs(ln(close / close of the minute before))",
            "How far the minute went.",
        ),
        *(
            _column(
                f"volume_level_{n}m",
                "log ratio",
                "identity",
                f"mean(v_m) over {n} minutes - mean(v_m) over 1440; v_m = ln(1 + 100 * volume / mean(volume) "
                f"over 1440); {covered}",
                f"How much is traded in {n} minutes against the day, in logs.",
            )
            for n in VOLUME_MINUTES
        ),
        _column(
            "season_bps",
            "bps",
            "log",
            f"geometric mean of sigma_m at the next minute's time of day on up to {SEASON_DAYS} days before, "
            f"{SEASON_REACH_MINUTES} minutes to either side",
            "What this time of day has usually been like.",
        ),
        _column("day_sin", "1", "identity", "sin(2 pi minute of the day / 1440)", "Time of day, UTC."),
        _column("day_cos", "1", "identity", "cos(2 pi minute of the day / 1440)", "Time of day, UTC."),
        _column("minute_of_hour", "min", "identity", "0 to 59, of the next minute", "Where in the hour."),
        _column(
            "minute_of_quarter",
            "min",
            "identity",
            "0 to 14, of the next minute",
            "Where in the quarter of an hour: programs trade when one begins.",
        ),
    )


CANDLE = FeatureSet("candle", 1, _columns(), "candles")
