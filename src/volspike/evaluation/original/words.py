"""What the two figures mean, in words that need no other page."""

from __future__ import annotations

from volspike.evaluation.enough import WINDOW_S
from volspike.evaluation.original.protocol import Outcome, PartOutcome
from volspike.evaluation.original.report import Reproduction

HIGH_PR_AUC = 0.9
# README and result files of nicolelyu021/detecting_crypto_volatility: 5,083 test rows in about 4.5 minutes.
PUBLISHED = "the published 0.9997, which rests on 5,083 test rows of about 4 minutes that do not overlap"


def in_words(report: Reproduction) -> list[str]:
    """Return paragraphs: what the first label asks, what its score is worth, what the true label says."""
    return [_what_is_asked(report), _what_it_is_worth(report), _what_is_left(report)]


def _what_is_asked(report: Reproduction) -> str:
    words = (
        "Next row: a row is a spike when the NEXT row's 60-second std reaches tau. There is a row for every "
        f"ticker, so the next one comes {_ahead(report)} later, not 60 s."
    )
    if report.shared_tick_frac is None or report.present_frac is None:
        return f"{words} Here there is only one row."
    return (
        f"{words} {report.shared_tick_frac:.2%} of the ticks that the label is made of are in the row's own "
        f"window: its features have seen them. In {report.present_frac:.2%} of rows the label says only "
        "whether the std NOW reaches tau, and the std now is one of the five columns."
    )


def _ahead(report: Reproduction) -> str:
    return "a moment" if report.next_row_s is None else f"{report.next_row_s:.2g} s"


def _what_it_is_worth(report: Reproduction) -> str:
    outcome = report.next_row
    present = outcome.persistence
    if present.pr_auc is None:
        return f"It has no score here: {present.reason}. {_rests_on(report)}"
    kin = f" That is the kind of figure of {PUBLISHED}." if present.pr_auc >= HIGH_PR_AUC else ""
    return (
        f"{_of_models(outcome)} The std now, with no model at all, scores {present.pr_auc:.4f} on the whole "
        "recording: what is measured is how well the present is known, and that warns nobody of anything."
        f"{kin} {_rests_on(report)}"
    )


def _of_models(outcome: Outcome) -> str:
    """Say what the models score on the test part, and on validation where that has nothing to find."""
    told: list[str] = []
    for name in ("test", "validation"):
        part = outcome.parts[name]
        best = _best_of(part)
        if best is not None:
            return " ".join((*told, f"The highest score on the {name} part is {best[1]:.4f} ({best[0]})."))
        told.append(f"The {name} part has {_count(part.spikes, 'spike')} in {_count(part.rows, 'row')}.")
    return " ".join((*told, "So no model has a score on rows that it was not fitted on."))


def _best_of(part: PartOutcome) -> tuple[str, float] | None:
    scored = {name: score.pr_auc for name, score in part.models.items() if score.pr_auc is not None}
    return max(scored.items(), key=lambda pair: pair[1]) if scored else None


def _rests_on(report: Reproduction) -> str:
    """Say on how many independent windows the first score rests."""
    test = report.next_row.test
    return (
        f"Here the {_count(test.rows, 'test row')} are {_count(round(test.span_s), 'second')} of market: "
        f"{_count(int(test.span_s // WINDOW_S), 'whole minute')}. The whole recording holds "
        f"{_count(report.windows, 'independent window')}: minutes that do not overlap and have a true label."
    )


def _what_is_left(report: Reproduction) -> str:
    outcome = report.future
    words = (
        "Future: the same rows, columns and models, but the label is the std of the ticks in the 60 s AFTER "
        "the row, none of which its features have seen; tau is fitted on the first 70 % alone, and the split "
        "is purged."
    )
    present, whole = outcome.persistence, outcome.parts["all"].evidence
    if present.pr_auc is None or present.base_rate is None:
        return f"{words} That gives not enough data, {_windows(report)}: {present.reason}."
    mark = "" if whole.enough_data else f" Mind that all of it is {whole}."
    return (
        f"{words} The std now scores {present.pr_auc:.4f} on the whole recording, where guessing has "
        f"{present.base_rate:.4f}.{mark} {_of_future_test(outcome.test)}"
    )


def _of_future_test(test: PartOutcome) -> str:
    """Say what the models score on the true label's test part, with the mark where it is thin."""
    best = _best_of(test)
    mark = "" if test.evidence.enough_data else f", {test.evidence}"
    if best is None:
        found = f"{_count(test.spikes, 'spike')} in {_count(test.rows, 'row')}"
        return f"The test part has {found}, so no model has a score there{mark}."
    return (
        f"The highest score on the test part is {best[1]:.4f} ({best[0]}), where guessing has "
        f"{test.spikes / test.rows:.4f}{mark}."
    )


def _windows(report: Reproduction) -> str:
    return f"{_count(report.windows, 'independent window')} in {_count(report.labelled_rows, 'row')}"


def _count(count: int, noun: str) -> str:
    told = "no" if count == 0 else f"{count:,}"
    return f"{told} {noun}" if count == 1 else f"{told} {noun}s"
