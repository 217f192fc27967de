"""How scores are shown: the part that counts in few columns; with ``--all`` every part and figure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from volspike.cli.figures import count_text, figure, short_text
from volspike.cli.output import cell_text, console, show_table

PARTS = ("test", "calibrate", "tune", "fit")
SHORT = (
    ("log_loss", "log-loss"),
    ("qlike", "QLIKE"),
    ("pr_auc", "PR-AUC"),
    ("reference_pr_auc", "ref."),
    ("lift", "lift"),
    ("clusters", "clusters"),
)
# Several tables, since one would not fit a terminal.
FULL = (
    (
        ("log_loss", "log-loss"),
        ("brier", "Brier"),
        ("qlike", "QLIKE"),
        ("pr_auc", "PR-AUC"),
        ("base_rate", "base"),
        ("lift", "lift"),
    ),
    (
        ("within_session_pr_auc", "within"),
        ("onset_pr_auc", "onset"),
        ("continuation_pr_auc", "cont."),
        ("roc_auc", "ROC"),
        ("clusters", "clusters"),
        ("windows", "windows"),
    ),
    (
        ("f1", "F1"),
        ("precision", "prec."),
        ("recall", "rec."),
        ("r2_log_sigma", "R2 log"),
        ("band_coverage", "band"),
        ("winkler_bps", "Winkler"),
    ),
)
LEGEND = (
    "* champion, ( ) reference, ! not enough data for any claim. Lower log-loss and QLIKE are better, higher "
    "PR-AUC is; lift = PR-AUC / base rate of spikes."
)
SHORT_LEGEND = "ref.: PR-AUC of the reference."
FULL_LEGEND = (
    "PR-AUC within sessions, of onsets (onset) and of all other spikes (cont.). R2 log: of log sigma; band: "
    "share of rows in the 90 % band; Winkler: its interval score in bps, lower is better."
)
OPEN_LEGEND = (
    "onset rec.: share of onsets for which an alert opened; open: share at which an older one was still open."
)
ALERT_LEGEND = f"{OPEN_LEGEND} ref.: recall of the reference; ahead: share of the minute's r^2 still to come."
GAINS = {
    "log_loss": "log-loss",
    "qlike": "QLIKE",
    "pr_auc": "PR-AUC",
    "onset_pr_auc": "onset",
    "brier": "Brier",
}


def show_report(report: dict[str, Any], everything: bool = False) -> None:
    """Print the evaluation of every model: on the test part, or on every part that has rows."""
    scored = {name: _with_rows(parts) for name, parts in _sides(report).items()}
    parts = [part for part in PARTS if any(part in sides for sides in scored.values())]
    if everything:
        for index, columns in enumerate(FULL):
            _show("Scores" if index == 0 else "and", scored, parts[::-1], columns)
    elif parts:
        _show(f"Scores on the {parts[0]} part (--all: every part)", scored, parts[:1], SHORT)
    console().print(LEGEND, FULL_LEGEND if everything else SHORT_LEGEND, markup=False)
    if "champion_reason" in report:
        console().print(f"champion: {report['champion']}, {report['champion_reason']}", markup=False)
    _show_words(report)


def show_judgement(report: dict[str, Any]) -> None:
    """Print what is said of the models on test beyond their scores, and where the page is."""
    champion = report["champion"]
    _show_gains(report["gains"], _has_enough(report))
    if report["budgets"][champion]:
        _show_budgets(champion, report["budgets"][champion], report["reference"]["budgets"])
    out = console()
    for name, judged in (*report["reliability"].items(), ("reference", report["reference"]["reliability"])):
        out.print(f"calibration of {name}: {_calibration(judged)}", markup=False)
    days = report["days"][champion]
    if days["worst"]:
        (worst,) = (day for day in days["days"] if day["date"] == days["worst"])
        gain = figure(worst["log_loss_gain"], "+.4f")
        out.print(f"worst day of {champion}: {worst['date']}, {gain} in log-loss, {worst['windows']} windows")
    out.print(_looked(report), markup=False, soft_wrap=True)
    out.print(f"page: {report['page']}", markup=False, soft_wrap=True)


def show_rules(report: dict[str, Any]) -> None:
    """Print how the best model of a walk-forward fares against every simple rule, and its alerts."""
    scored = {name: parts["test"] for name, parts in report["models"].items()}
    best = min(scored, key=lambda name: (scored[name]["log_loss"] is None, scored[name]["log_loss"] or 0.0))
    rows = [
        (rule, *(gain_text(of["gains"][best][score], _has_enough(report)) for score in GAINS))
        for rule, of in report["rules"].items()
    ]
    console().print()
    show_table(f"Gains of {best} over each simple rule, and 95 % intervals", ("rule", *GAINS.values()), rows)
    columns = ("model", "onset rec.", "open", "med. lead", "false/h", "duty", "onsets")
    alerts = [
        (
            name,
            figure(of["onset_recall"], ".0%"),
            figure(of["already_open"] / of["onsets"] if of["onsets"] else None, ".0%"),
            figure(of["lead_s"], ".0f", " s"),
            figure(of["false_alarms_per_hour"], ".2f"),
            figure(of["duty_frac"], ".1%"),
            of["onsets"],
        )
        for name, of in report["alerts"].items()
    ]
    console().print()
    show_table("Alerts, by the thresholds that each training chose", columns, alerts)
    console().print(OPEN_LEGEND, markup=False)


def _has_enough(report: dict[str, Any]) -> bool:
    """Tell whether a figure of the test part can carry a claim."""
    return bool(report["reference"]["parts"]["test"]["enough_data"])


def _show_gains(gains: dict[str, dict[str, Any]], enough: bool) -> None:
    rows = [(name, *(gain_text(of[score], enough) for score in GAINS)) for name, of in gains.items()]
    console().print()
    if not any(gain for of in gains.values() for gain in of.values()):
        console().print("Gains over the reference: not enough data, test has fewer than 10 blocks")
        return
    show_table("Gains over the reference on test, and 95 % intervals", ("model", *GAINS.values()), rows)


def gain_text(gain: dict[str, float] | None, enough: bool) -> str:
    """Return a gain, marked where its rows are not enough data for a claim, and below it its interval."""
    if gain is None:
        return "not enough\ndata"
    low, value, high = (
        f"{'+' if gain[key] > 0 else ''}{short_text(gain[key])}" for key in ("low", "value", "high")
    )
    return f"{value}{'' if enough else ' !'}\n{low} {high}"


def _show_budgets(model: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """Print the alert-budget curve of a model, and the recall of the reference beside it."""
    reasons = sorted({point["reason"] for point in ours if point["reason"]})
    rows = [
        (
            f"{point['budget_per_hour']:g}",
            figure(point["false_alarms_per_hour"], ".1f"),
            figure(point["onset_recall"], ".0%"),
            figure(other["onset_recall"], ".0%"),
            figure(point["already_open_frac"], ".0%"),
            figure(point["lead_s"], ".0f", " s"),
            figure(point["ahead_frac"], ".0%"),
            figure(point["duty_frac"], ".1%"),
        )
        for point, other in zip(ours, theirs, strict=True)
        if point["open_at"] is not None
    ]
    console().print()
    columns = ("allowed/h", "false/h", "onset rec.", "ref.", "open", "med. lead", "ahead", "duty")
    if rows:
        show_table(f"Alerts of {model} on test, thresholds of calibrate", columns, rows)
        console().print(ALERT_LEGEND, markup=False)
    for reason in reasons:
        lacking = ", ".join(f"{point['budget_per_hour']:g}" for point in ours if point["reason"] == reason)
        console().print(f"alerts for {lacking} false alarms an hour: {reason}", markup=False)


def _calibration(judged: dict[str, Any]) -> str:
    slope = figure(None if judged["line"] is None else judged["line"]["slope"], ".2f")
    ratio = figure(judged["top_decile_ratio"], ".2f")
    verdicts = judged["slope_verdict"], judged["top_decile_verdict"]
    return f"slope {slope} ({verdicts[0]}), top decile observed / predicted {ratio} ({verdicts[1]})"


def _looked(report: dict[str, Any]) -> str:
    seen = count_text(report["looks"], "look")
    now = "; this one is logged" if report["look"] else ""
    return f"test part: {seen} before, by {report['looks_log']}{now}"


def _sides(report: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    champion = report["champion"]
    models = {f"{name}{' *' if name == champion else ''}": parts for name, parts in report["models"].items()}
    return {**models, f"({report['reference']['name']})": report["reference"]["parts"]}


def _with_rows(parts: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {part: scores for part, scores in parts.items() if scores["rows"]}


def _show(
    title: str,
    scored: dict[str, dict[str, dict[str, Any]]],
    parts: list[str],
    columns: tuple[tuple[str, str], ...],
) -> None:
    several = len(parts) > 1
    rows = [
        (
            name,
            *((part.replace("calibrate", "calib."),) if several else ()),
            *(short_text(sides[part].get(field)) for field, _ in columns),
            "" if sides[part]["enough_data"] else "!",
        )
        for name, sides in scored.items()
        for part in parts
        if part in sides
    ]
    header = ("model", *(("part",) if several else ()), *(heading for _, heading in columns), "")
    show_table(title, header, rows, words=2 if several else 1)


def _show_words(report: dict[str, Any]) -> None:
    from volspike.evaluation.report import notes_by_models

    tau = report["tau"]
    fixed, median = cell_text(tau["fixed_bps"]), cell_text(tau["median_bps"])
    console().print(f"tau: {tau['mode']}, fixed {fixed} bps, median {median} bps")
    _show_lines("From fit to test", (f"{name}: {words}" for name, words in report["gaps"].items()))
    not_fitted = report.get("not_fitted", {})
    _show_lines("Not fitted", (f"{name}: {reason}" for name, reason in not_fitted.items()))
    notes = notes_by_models(report["notes"])
    _show_lines("Notes", (f"{names}: {note}" for names, of in notes.items() for note in of))
    _show_lines(
        "Leak audit",
        (f"{name}: {_verdict(check)}" for name, check in report["audit"]["checks"].items()),
    )


def _verdict(check: dict[str, Any]) -> str:
    """Return what a check of the audit found: one verdict and its reason."""
    detail = check["detail"]
    if check["passed"] and detail.startswith("can't tell"):
        return str(detail)
    return f"{'ok' if check['passed'] else 'FAIL'}, {detail}"


def _show_lines(heading: str, lines: Iterable[str]) -> None:
    """Print lines under a heading; none, nothing."""
    out, shown = console(), list(lines)
    if shown:
        out.print(f"\n{heading}", style="bold")
    for line in shown:
        out.print(line, markup=False)
