"""The model card: what a reader should know before trusting a model (Mitchell et al. 2019), as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from volspike.evaluation.bootstrap import Gain
from volspike.evaluation.report import Evaluation
from volspike.exchange.decimals import format_time_ns
from volspike.models.manifest import Manifest, calibration_is_proven

SHOWN = {
    "log_loss": "log-loss",
    "qlike": "QLIKE",
    "pr_auc": "PR-AUC",
    "base_rate": "base rate",
    "lift": "lift",
    "onset_pr_auc": "onset PR-AUC",
    "reference_pr_auc": "PR-AUC of the reference",
    "brier": "Brier",
    "band_coverage": "in the 90 % band",
    "clusters": "clusters",
    "windows": "windows",
}
PARTS = ("fit", "tune", "calibrate", "test")


def model_card(manifest: Manifest, evaluation: Evaluation, looks: int | None = None) -> str:
    """Return the card of a model.

    Parameters
    ----------
    manifest : Manifest
        Of the model.
    evaluation : Evaluation
        Of the training run that made it.
    looks : int, optional
        How often the test part had been looked at before, where that was counted.
    """
    return "\n".join(
        [*_head(manifest), *_scores(manifest, evaluation, looks), *_limits(manifest, evaluation), ""]
    )


def _head(manifest: Manifest) -> Iterator[str]:
    training, tau = manifest.training, manifest.tau
    first, last = (format_time_ns(ns, 0) for ns in (training.first_ns, training.last_ns))
    horizon = "range-based volatility of the next minute" if manifest.target == "range" else manifest.target
    yield f"# {manifest.name} {manifest.version}"
    yield ""
    yield f"Says how volatile the next 60 seconds of {manifest.product} will be, and how likely a spike is."
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| kind | {manifest.kind}, {len(manifest.input_names)} inputs |"
    yield f"| feature set | {manifest.feature_set} {manifest.feature_set_version} |"
    yield f"| data | {manifest.product}, {manifest.feed}, {first} to {last} |"
    clock = (
        "ends of minutes, as the candles tell them"
        if manifest.target == "range"
        else "the exchange's"
        if manifest.event_time_source == "exchange"
        else "the recorder's own clock"
    )
    yield f"| times | {clock} |"
    yield (
        f"| rows | fit {training.fit_rows:,}, tune {training.tune_rows:,}, "
        f"calibrate {training.calibrate_rows:,}, test {manifest.provenance.test_rows:,} |"
    )
    yield f"| target | {horizon} |"
    yield f"| spike | at or above tau: {tau.mode}, {tau.quantile:g} quantile, floor {tau.floor_bps:g} bps |"
    yield f"| fixed tau | {tau.fixed_bps:.4g} bps, of the fit slice |"
    yield f"| serves | {_serves(manifest)} |"
    yield f"| alert | opens at {manifest.alert.open_at:.3g}, closes below {manifest.alert.close_at:.3g} |"
    yield f"| seed | {training.seed} |"
    yield ""


def _serves(manifest: Manifest) -> str:
    if manifest.target == "range":
        return "candles"
    return "its own feed" if manifest.feed_dependent else "either feed"


def _scores(manifest: Manifest, evaluation: Evaluation, looks: int | None) -> Iterator[str]:
    summary = evaluation.summary(manifest.name)
    yield "## Scores"
    yield ""
    yield f"| | {' | '.join(PARTS)} |"
    yield f"|---|{'---|' * len(PARTS)}"
    for key, name in SHOWN.items():
        yield f"| {name} | {' | '.join(_cell(summary[part][key]) for part in PARTS)} |"
    marks = ("" if summary[part]["enough_data"] else "**not enough data**" for part in PARTS)
    yield f"| | {' | '.join(marks)} |"
    yield ""
    yield f"These scores are a look at the test part{'' if looks is None else _looked(looks)}."
    yield "Whoever changes settings by what they say needs later data to judge the change."
    yield ""
    judged = evaluation.judged[manifest.name]
    gains = {name: gain for name, gain in judged.gains.items() if gain is not None}
    yield f"The reference is {evaluation.reference}, the best simple rule on tune."
    if gains:
        mark = "" if summary["test"]["enough_data"] else " **Not enough data** for a claim."
        yield f"Gains over it on test, with 95 % intervals of 2,000 draws of blocks; above 0 is better:{mark}"
        yield ""
        yield from (f"- {SHOWN.get(name, name)}: {_interval(gain)}" for name, gain in gains.items())
    else:
        yield "How far it beats that on test can't be said: **not enough data**."
    yield ""


def _limits(manifest: Manifest, evaluation: Evaluation) -> Iterator[str]:
    reliability = evaluation.judged[manifest.name].reliability
    slope = "undefined" if reliability.line is None else f"{reliability.line.slope:.2f}"
    yield "## Calibration"
    yield ""
    stated = manifest.calibration
    unproven = "" if calibration_is_proven(manifest) else ", which is **not enough data** to rely on"
    yield (
        f"Platt scaling, slope {stated.slope:.2f}, on {stated.rows:,} rows{unproven}."
        if stated.calibrated
        else (f"Uncalibrated: {stated.reason}.")
    )
    decile = reliability.top_decile_verdict
    yield f"On test: slope {slope} ({reliability.slope_verdict}), top decile {decile}."
    yield ""
    yield "## Limits"
    yield ""
    yield "- Predictions inside the span of the data above are in sample, and marked so."
    if not manifest.enough_data:
        yield "- **Experimental**: the fit slice has not enough data for any claim."
    yield from (f"- {note}" for note in manifest.notes)
    yield ""
    yield "## Leak audit"
    yield ""
    if evaluation.audit is None:
        yield "None: these are other rows than it was trained on."
    else:
        checks = evaluation.audit.checks.items()
        yield from (
            f"- {name}: {'ok' if check.passed else 'FAILED'}, {check.detail}" for name, check in checks
        )


def _looked(before: int) -> str:
    if not before:
        return ", the first"
    return f"; it had been looked at {'once' if before == 1 else f'{before:,} times'} before"


def _interval(gain: Gain) -> str:
    blocks = f"{gain.blocks} blocks of {gain.block_s // 60:,} min"
    return f"{gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}], {blocks}"


def _cell(value: float | int | bool | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
