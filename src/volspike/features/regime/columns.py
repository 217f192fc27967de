"""The regime columns: what each value means, over which look-back, and whose idea it is.

c is the last closed second. q_s is the log return of covered second s at scale ``2**60`` (``grid``), and
r_s = q_s * 2**-60; the first second of a covered run has none, so nothing here spans a break. Sums run over
the n covered seconds of the look-back ``c-L+1..c``. A value is NaN where 2 * n < L, unless its formula says
otherwise. The 60 s and 1, 5, 30 and 240 minute volatilities are in ``labels.trailing.Context`` already.
"""

from __future__ import annotations

from volspike.features.columns import Column, FeatureSet

HOUR_S, FOUR_HOURS_S, DAY_S = 3_600, 14_400, 86_400
LOOKBACK_S = DAY_S

RV_LENGTHS_S = (5, 10, 30, 120, 900, HOUR_S, DAY_S)
HALF_LIVES_S = (10, 60, 600)
HALF_LIVES_BACK = 10  # a decay is cut after so many half-lives, at a weight of 2**-10
SHAPE_LENGTHS_S = (60, 300)
RANGE_LENGTH_S = 900
QUARTICITY_LENGTH_S = 300
MINUTE_S, MINUTES = 60, 15
JUMP_LENGTH_S, JUMP_MULTIPLE = HOUR_S, 4.0
FAST_HALF_LIFE_S = HALF_LIVES_S[0]
FAST_LENGTHS_S = (300, HOUR_S)
USUAL_LENGTHS_S = (FOUR_HOURS_S, DAY_S)

_WORDS = {FOUR_HOURS_S: "4h", DAY_S: "24h"}


def _span(length_s: int) -> str:
    return _WORDS.get(length_s, f"{length_s}s")


def _column(name: str, unit: str, transform: str, formula: str, doc: str) -> Column:
    return Column(name, unit, feed_dependent=False, transform=transform, formula=formula, doc=doc)


def _rv(length_s: int) -> Column:
    return _column(
        f"rv_{_span(length_s)}_bps",
        "bps",
        "log",
        f"sqrt(sum(q**2) * 60 / n) * 1e4 / 2**60; L = {length_s}",
        f"Realised volatility of {_span(length_s)}, scaled to 60 s (Andersen et al., 2003).",
    )


def _ewma(half_life_s: int) -> Column:
    return _column(
        f"ewma_{half_life_s}s_bps",
        "bps",
        "log",
        f"sqrt(sum(w * r**2) / sum(w) * 60) * 1e4; w = 2**(-(c - s) / {half_life_s}); "
        f"L = {HALF_LIVES_BACK * half_life_s}; NaN where 2 * sum(w) < sum of all L weights",
        f"Exponentially weighted volatility, half-life {half_life_s} s, scaled to 60 s (RiskMetrics, 1996).",
    )


def _shape(length_s: int) -> tuple[Column, ...]:
    span, look_back = _span(length_s), f"; L = {length_s}"
    return (
        _column(
            f"bipower_{span}_bps",
            "bps",
            "log",
            f"sqrt(pi / 2 * B * 60 / p) * 1e4; B = sum(|r_s| * |r_s-1|) over the p pairs{look_back}",
            "Bipower variation, which a single jump hardly moves (Barndorff-Nielsen and Shephard, 2004).",
        ),
        _column(
            f"jump_{span}_frac",
            "1",
            "identity",
            f"max(0, 1 - (pi / 2 * B / p) / (sum(r**2) / n)); 0 where sum(r**2) = 0{look_back}",
            "Share of the variance that comes in jumps (Barndorff-Nielsen and Shephard, 2004).",
        ),
        _column(
            f"max_return_{span}_bps",
            "bps",
            "log",
            f"max(|q|) * 1e4 / 2**60{look_back}",
            "Largest move of one second (Lee and Mykland, 2008).",
        ),
        _column(
            f"max_return_{span}_frac",
            "1",
            "identity",
            f"max(r**2) / sum(r**2); 0 where sum(r**2) = 0{look_back}",
            "Share of the largest second in the variance (Lee and Mykland, 2008).",
        ),
        _column(
            f"down_{span}_frac",
            "1",
            "identity",
            f"sum(r**2 where r < 0) / sum(r**2); 0.5 where sum(r**2) = 0{look_back}",
            "Share of the downward moves in the variance: the realised semivariance "
            "(Barndorff-Nielsen, Kinnebrock and Shephard, 2010).",
        ),
        _column(
            f"moved_{span}_frac",
            "1",
            "identity",
            f"count(q != 0) / n{look_back}",
            "Share of the seconds in which the mid moved (Lesmond, Ogden and Trzcinka, 1999).",
        ),
        _column(
            f"drift_over_rv_{span}",
            "1",
            "identity",
            f"|sum(r)| / sqrt(sum(r**2)); 0 where sum(r**2) = 0; at most sqrt(n){look_back}",
            "Distance made good, over what a path without drift makes: about 1 or less without one "
            "(Christensen, Oomen and Reno, 2022).",
        ),
        *_range(length_s),
    )


def _range(length_s: int) -> tuple[Column, ...]:
    span, look_back = _span(length_s), f"; L = {length_s}"
    return (
        _column(
            f"parkinson_{span}_bps",
            "bps",
            "log",
            f"R * sqrt(60 / (4 * ln(2) * n)) * 1e4; R = max(P) - min(P); P = 0 and the running sums of r"
            f"{look_back}",
            "Volatility by the range, scaled to 60 s (Parkinson, 1980).",
        ),
        _column(
            f"range_over_rv_{span}",
            "1",
            "identity",
            f"R / sqrt(4 * ln(2) * sum(r**2)); 0 where sum(r**2) = 0; at most sqrt(n / (4 * ln(2)))"
            f"{look_back}",
            "Volatility by the range over realised volatility: below 1 where the mid bounces, above where it "
            "trends (Parkinson, 1980; Christensen and Podolskij, 2007).",
        ),
    )


def _against(short: str, length_s: int) -> Column:
    return _column(
        f"{short}_vs_{_span(length_s)}_frac",
        "1",
        "identity",
        f"v / (v + u); v = {short} in bps; u = sqrt(sum(q**2) * 60 / n) * 1e4 / 2**60; L = {length_s}; "
        "0.5 where v + u = 0; NaN where v or u is",
        f"Volatility against the product's own {_span(length_s)}: 0.5 as usual, 2 / 3 twice as much "
        "(Andersen and Bollerslev, 1998).",
    )


def _coverage(length_s: int) -> Column:
    return _column(
        f"coverage_{_span(length_s)}_frac",
        "1",
        "identity",
        f"n / L; L = {length_s}; never NaN",
        "Share of the seconds that are covered: how much the longer values rest on.",
    )


QUARTICITY = _column(
    f"quarticity_{QUARTICITY_LENGTH_S}s_bps",
    "bps",
    "log",
    f"sqrt(sqrt(sum(r**4) / (3 * n)) * 60) * 1e4; L = {QUARTICITY_LENGTH_S}",
    "Fourth root of the realised quarticity, scaled to 60 s: above rv where the variance comes in bursts "
    "(Barndorff-Nielsen and Shephard, 2002).",
)
VOL_OF_VOL = _column(
    f"vol_of_vol_{MINUTE_S * MINUTES}s",
    "1",
    "identity",
    f"std(v, ddof 1) / mean(v); v = rv of each of the {MINUTES} minutes c-60k-59..c-60k that is at least "
    "half covered; 0 where mean(v) = 0; NaN where that is under half of them; at most sqrt of their number",
    "How much volatility itself varies from minute to minute (Corsi et al., 2008).",
)
SINCE_JUMP = _column(
    "since_jump_s",
    "s",
    "log",
    f"c - s + 1 of the last s with |r_s| > {JUMP_MULTIPLE} * sqrt(sum(r**2) / n), else L; "
    f"L = {JUMP_LENGTH_S}",
    "Seconds since the last one that moved far more than the hour's seconds do (Lee and Mykland, 2008).",
)
POSITION = _column(
    "position_24h_frac",
    "1",
    "identity",
    "(P_c - min(P)) / (max(P) - min(P)); P = 0 and the running sums of floor(q / 2**14 + 1 / 2); 0.5 where P "
    f"never moved; L = {DAY_S}",
    "Place of the mid between the day's low (0) and high (1), moves over breaks left out "
    "(George and Hwang, 2004).",
)
DAY_SIN = _column(
    "day_sin",
    "1",
    "identity",
    "sin(2 * pi * m / 1440), m = floor(c / 60) mod 1440, from a table made by + - * / alone; never NaN",
    "Time of day, UTC, to the minute (Andersen and Bollerslev, 1997).",
)
DAY_COS = _column(
    "day_cos",
    "1",
    "identity",
    "cos(2 * pi * m / 1440), m = floor(c / 60) mod 1440, from a table made by + - * / alone; never NaN",
    "Time of day, UTC, to the minute (Andersen and Bollerslev, 1997).",
)
HOUR_FRAC = _column(
    "hour_frac",
    "1",
    "identity",
    "(c mod 3600) / 3600; never NaN",
    "Time within the hour: much is done, and published, on the hour (Andersen and Bollerslev, 1998).",
)

REGIME_COLUMNS: tuple[Column, ...] = (
    *(_rv(length_s) for length_s in RV_LENGTHS_S),
    *(_ewma(half_life_s) for half_life_s in HALF_LIVES_S),
    *(column for length_s in SHAPE_LENGTHS_S for column in _shape(length_s)),
    *_range(RANGE_LENGTH_S),
    QUARTICITY,
    VOL_OF_VOL,
    SINCE_JUMP,
    POSITION,
    *(
        _against(short, length_s)
        for length_s in USUAL_LENGTHS_S
        for short in (f"ewma_{FAST_HALF_LIFE_S}s", *(f"rv_{each}s" for each in FAST_LENGTHS_S))
    ),
    *(_coverage(length_s) for length_s in USUAL_LENGTHS_S),
    DAY_SIN,
    DAY_COS,
    HOUR_FRAC,
)

# Its hash changes with every definition, as that of a set of window features does.
REGIME = FeatureSet("regime", 1, REGIME_COLUMNS, "seconds")
