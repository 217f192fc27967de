"""What each score of the page means, in a sentence."""

from __future__ import annotations

from typing import NamedTuple


class ScoreWords(NamedTuple):
    """How a score is shown: field, name, decimals, which way is better, and what it means."""

    field: str
    name: str
    digits: int
    better: str
    meaning: str


LOWER, HIGHER, NEITHER = "lower is better", "higher is better", ""

SCORE_WORDS = (
    ScoreWords(
        "log_loss",
        "log-loss",
        4,
        LOWER,
        "Mean -ln of the probability given to what happened; every row counts.",
    ),
    ScoreWords("brier", "Brier", 4, LOWER, "Mean squared distance of the probability from the outcome."),
    ScoreWords(
        "qlike",
        "QLIKE",
        4,
        LOWER,
        "Mean of x - ln x - 1, x = realised / predicted variance: how good the predicted volatility is.",
    ),
    ScoreWords(
        "r2_log_sigma",
        "R² of log sigma",
        3,
        HIGHER,
        "Share of the variance of log realised volatility that the prediction explains.",
    ),
    ScoreWords(
        "band_coverage",
        "90 % band holds",
        3,
        NEITHER,
        "Share of rows whose realised volatility lies in the predicted band; 0.9 is meant.",
    ),
    ScoreWords(
        "winkler_bps",
        "interval score, bps",
        2,
        LOWER,
        "Width of the band plus 20 times the distance by which it was missed (Winkler).",
    ),
    ScoreWords("pinball_low_bps", "pinball 5 %, bps", 3, LOWER, "Pinball loss of the band's lower end."),
    ScoreWords("pinball_high_bps", "pinball 95 %, bps", 3, LOWER, "Pinball loss of the band's upper end."),
    ScoreWords(
        "pr_auc",
        "PR-AUC",
        3,
        HIGHER,
        "Average precision: mean share of true spikes among the rows ranked highest; guessing gives the base "
        "rate.",
    ),
    ScoreWords("base_rate", "base rate", 3, NEITHER, "Share of labelled rows that are spikes."),
    ScoreWords("lift", "lift", 2, HIGHER, "PR-AUC over base rate; 1 is guessing."),
    ScoreWords(
        "within_session_pr_auc",
        "PR-AUC within sessions",
        3,
        HIGHER,
        "PR-AUC of each session, weighted by its spikes: telling wild days from calm ones gains "
        "nothing here.",
    ),
    ScoreWords("sessions", "sessions in it", 0, NEITHER, "Sessions with both classes."),
    ScoreWords(
        "onset_pr_auc",
        "onset PR-AUC",
        4,
        HIGHER,
        "Average precision of the first spike after a calm minute alone: what a warning is for.",
    ),
    ScoreWords("onsets", "onsets", 0, NEITHER, "First spike rows after at least 60 labelled calm seconds."),
    ScoreWords(
        "continuation_pr_auc",
        "continuation PR-AUC",
        3,
        HIGHER,
        "The same for all other spikes: it is volatile already, and the present shows it.",
    ),
    ScoreWords(
        "roc_auc", "ROC AUC", 3, HIGHER, "Chance that a spike ranks above a calm row; 0.5 is guessing."
    ),
)

GAIN_NAMES = {
    "log_loss": ("log-loss", 4),
    "qlike": ("QLIKE", 4),
    "pr_auc": ("PR-AUC", 3),
    "onset_pr_auc": ("onset PR-AUC", 3),
    "brier": ("Brier", 5),
}

TERMS = (
    ("spike", "A row whose next 60 seconds are at least as volatile as tau, the threshold in force then."),
    ("onset", "The first spike after at least 60 labelled calm seconds."),
    (
        "cluster",
        "Spikes less than ten minutes apart. Spikes come in groups, so clusters are counted, not rows.",
    ),
    ("window", "A minute that overlaps no other. Rows a second apart share most of their minute."),
    (
        "gain",
        "By how much a model beats the reference on the same rows. Its 95 % interval comes of 2,000 draws of "
        "whole blocks of wall time; where it holds 0, nothing is shown.",
    ),
    (
        "reference",
        "The best simple rule on the tune part, such as repeating the present. A model that does not beat it "
        "is not worth its weights.",
    ),
    (
        "calibration slope",
        "What the log-odds would have to be multiplied by to be right; below 1 they are too extreme. "
        "Passes from 0.8 to 1.25, as does observed / predicted in the top tenth.",
    ),
    (
        "budget",
        "Alert thresholds with the highest onset recall on the calibrate part for so many false alarms an "
        "hour there, and 3 minutes of open time an hour for each beside the share of spikes; scored on test. "
        "False alarm: no spike in the 60 s after the opening. Open already: an older alert was open at the "
        "onset, which is no hit.",
    ),
    (
        "lead",
        "From the opening of the alert to 60 s after the onset, when present volatility itself has crossed "
        "tau. Still ahead: the share of the bad minute's squared returns yet to come.",
    ),
    ("duty", "Share of the time with an alert open."),
)
