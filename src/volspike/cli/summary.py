"""What a live job says at its end: the counts in words, latencies in units for people, the scoreboards."""

from __future__ import annotations

from typing import Any

from volspike.cli.figures import count_text, duration_text, in_brackets, reasons_text
from volspike.cli.output import console, show_pairs
from volspike.cli.view_scores import model_words, scoreboard_view
from volspike.exchange.decimals import format_time_ns
from volspike.pipeline.assembly import LiveJob
from volspike.pipeline.life import Life


def show_summary(title: str, job: LiveJob, sent: str = "") -> None:
    """Print what a job did, for people.

    Parameters
    ----------
    sent : str
        What the other side says it has sent.
    """
    report = job.as_dict()
    models = {product: bundle.manifest for product, bundle in job.bundles.items()}
    served = [f"{product}: {model_words(m)} {m.version}" for product, m in sorted(models.items())]
    pairs = {
        "models": "; ".join(served) or "none: nothing was predicted",
        "sent": sent,
        "feed": _feed(report),
        "items": _items(report),
        "gaps": gaps_text(job),
        "made": _made(report),
        "scored": scored_text(job),
        "latency": _latency(report["latency_us"]),
        "caught up": _caught_up(report["caught_up"]),
        "life": _life(job),
        **{f"{part} STOPPED": reason for part, reason in report["failures"].items()},
    }
    show_pairs(title, {name: text for name, text in pairs.items() if text})
    for product, scoring in sorted(job.pipeline.scoring.items()):
        console().print(
            scoreboard_view(product, scoring.board.snapshot(), models[product], lives_of(job).get(product))
        )


def lives_of(job: LiveJob) -> dict[str, Life]:
    """Return where the models of each product stand; nothing where nobody follows that, as in a demo."""
    return {} if job.caretaking is None else job.caretaking.lives


def _life(job: LiveJob) -> str:
    """Return the newest step in the life of the models since the job began."""
    newest = None if job.caretaking is None else job.caretaking.newest
    if newest is None:
        return "" if job.caretaking is None else "no step since the start; volspike models has the audit log"
    model = " ".join(filter(None, (newest.model, newest.version)))
    words = " ".join(filter(None, (newest.event, model)))
    at = format_time_ns(newest.market_ns)[:16].replace("T", " ")
    return f"newest step: {words} of {newest.product} at {at}; volspike models has the audit log"


def gaps_text(job: LiveJob) -> str:
    """Return the breaks of the feed, with what they come from; a start after an earlier run is one."""
    reasons = dict(job.pipeline.counts.gaps)
    total = sum(reasons.values())
    if not total:
        return "0"
    at_start = min(reasons.pop("session", 0), len(job.pipeline.newest))
    named = ({"start": at_start} if at_start else {}) | reasons
    reconnected = total - sum(named.values())
    named |= {"reconnect": reconnected} if reconnected else {}
    return f"{total} (start)" if list(named) == ["start"] else f"{total} ({reasons_text(named)})"


def _feed(report: dict[str, Any]) -> str:
    frames = f"{report['archived']:,} of {count_text(report['frames'], 'frame')} archived"
    ends = reasons_text(report["session_ends"])
    return f"{frames}, {count_text(report['sessions'], 'connection')}, ended by {ends}" if ends else frames


def _items(report: dict[str, Any]) -> str:
    ignored, dead = report["ignored"], report["deadletter_reasons"]
    return ", ".join(
        (
            count_text(report["ticks"], "tick"),
            f"{sum(ignored.values()):,} ignored{in_brackets(reasons_text(ignored))}",
            f"{report['deadlettered']:,} dead-lettered{in_brackets(reasons_text(dead))}",
        )
    )


def _made(report: dict[str, Any]) -> str:
    ungraded = report["unlabelled"]
    graded = report["outcomes"] - sum(ungraded.values())
    words = (
        f"{count_text(report['features'], 'feature row')}, {count_text(report['predictions'], 'prediction')}"
    )
    if not report["predictions"]:
        return words
    without = f", {sum(ungraded.values()):,} without a grade ({reasons_text(ungraded)})" if ungraded else ""
    return f"{words}, {graded:,} of them graded{without}, {count_text(report['alerts'], 'alert')}"


def scored_text(job: LiveJob) -> str:
    """Return how many seconds are on the scoreboards, and why those are fewer than the graded predictions."""
    seconds = sum(scoring.board.snapshot().rows for scoring in job.pipeline.scoring.values())
    return f"{seconds:,} s on the scoreboard: of each the last prediction, if graded" if seconds else ""


def _latency(quantiles: dict[str, float | None]) -> str:
    if quantiles["p50"] is None:
        return ""
    shown = (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9"))
    told = ", ".join(f"{name} {duration_text(quantiles[key])}" for key, name in shown)
    return f"socket to prediction {told}"


def _caught_up(counts: dict[str, int]) -> str:
    return ", ".join(count_text(count, name.removesuffix("s")) for name, count in counts.items() if count)
