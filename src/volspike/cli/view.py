"""The live terminal view: market, prediction, alerts, feed health, scoreboard."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from volspike.exchange.decimals import format_time_ns
from volspike.pipeline.assembly import LiveJob
from volspike.pipeline.live import ProductScoring
from volspike.records import Alert
from volspike.scoring.scoreboard import ScoreboardSnapshot, SideScores

BAR_CELLS = 16
SHOWN_ALERTS = 6
STATE_STYLE = {"live": "green", "degraded": "yellow", "waiting": "yellow", "stopped": "dim"}


def render(job: LiveJob, title: str) -> RenderableType:
    """Return the whole view."""
    parts: list[RenderableType] = [_health(job, title), _market(job)]
    parts += [_scoreboard(product, scoring) for product, scoring in sorted(job.pipeline.scoring.items())]
    return Group(*parts, _alerts(job))


def status_line(job: LiveJob) -> str:
    """Return the view in one line, for where there is no terminal."""
    counts = job.pipeline.counts
    ticks = job.pipeline.accounting.ticks
    line = f"{job.client.status.state}: {ticks:,} ticks, {counts.predictions:,} predictions"
    line += f", {counts.outcomes:,} graded, {counts.alerts} alerts"
    for product, scoring in sorted(job.pipeline.scoring.items()):
        newest = scoring.prediction
        if newest is not None:
            line += (
                f" | {product} {newest.mid:,.2f} now {newest.sigma_now_bps:.1f} bps,"
                f" next 60 s {newest.sigma_bps:.1f} bps, tau {newest.tau_bps:.1f},"
                f" p(spike) {newest.p_spike:.3f}"
            )
    return line


def _health(job: LiveJob, title: str) -> RenderableType:
    status, accounting, latency = job.client.status, job.pipeline.accounting, job.pipeline.latency
    line = Text()
    line.append(f"{status.state}", STATE_STYLE.get(status.state, "cyan"))
    line.append(f"  {job.dialect.name} feed, session {status.sessions}, {status.reconnects} reconnects")
    line.append(f"\nframes {accounting.frames:,}  archived {accounting.archived:,}")
    line.append(f"  ticks {accounting.ticks:,}  ignored {accounting.ignored.total():,}")
    line.append(f"  dead-lettered {accounting.deadlettered:,}  gaps {accounting.gaps:,}")
    p50, p99 = latency.quantile_us(0.5), latency.quantile_us(0.99)
    if p50 is not None and p99 is not None:
        line.append(f"\nsocket to prediction  p50 {p50:,.0f} us  p99 {p99:,.0f} us")
    if job.pipeline.archive_failure is not None:
        line.append(f"\nARCHIVE STOPPED: {job.pipeline.archive_failure}", "bold red")
    if status.last_error and status.state != "live":
        line.append(f"\n{status.last_error}", "yellow")
    return Panel(line, title=title, title_align="left", box=box.ROUNDED)


def _market(job: LiveJob) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, expand=True)
    for column in ("product", "time (UTC)", "mid", "now", "next 60 s", "90 % band", "tau", "p(spike)"):
        table.add_column(
            column, justify="left" if column in ("product", "p(spike)") else "right", no_wrap=True
        )
    for product, scoring in sorted(job.pipeline.scoring.items()):
        table.add_row(*_market_row(product, scoring))
    if not job.pipeline.scoring:
        waiting = "recording; no model yet" if job.bundle is None else "waiting for the first tick"
        table.add_row(waiting, *[""] * 7)
    table.caption = "volatility of a minute in basis points"
    return table


def _market_row(product: str, scoring: ProductScoring) -> tuple[RenderableType, ...]:
    row, newest = scoring.row, scoring.prediction
    if row is None:
        return (product,)
    time = format_time_ns(row.event_ns, 0)[11:19]
    if newest is None or newest.event_ns != row.event_ns:
        covered_s = (row.event_ns - row.covered_since_ns) / 1e9
        words = f"window filling: {min(covered_s, 60):.0f} of 60 s, {row.ticks} ticks"
        mid = (row.bid + row.ask) / (2 * 10**row.price_decimals)
        return product, time, f"{mid:,.2f}", "", "", "", "", Text(words, "dim")
    return (
        product,
        time,
        f"{newest.mid:,.2f}",
        f"{newest.sigma_now_bps:.2f}",
        f"{newest.sigma_bps:.2f}",
        f"{newest.sigma_low_bps:.1f} - {newest.sigma_high_bps:.1f}",
        f"{newest.tau_bps:.2f} {newest.tau_source}",
        _bar(newest.p_spike),
    )


def _bar(p_spike: float) -> Text:
    filled = round(p_spike * BAR_CELLS)
    style = "red" if p_spike >= 0.5 else "yellow" if p_spike >= 0.2 else "green"
    return Text.assemble(("█" * filled, style), ("░" * (BAR_CELLS - filled), "dim"), f" {p_spike:.3f}")


def _scoreboard(product: str, scoring: ProductScoring) -> RenderableType:
    board = scoring.board.snapshot()
    table = Table(box=box.SIMPLE_HEAD, expand=True, title=_board_title(product, board), title_justify="left")
    columns = ("", "PR-AUC", "lift", "log-loss", "onset recall", "median lead", "false alarms/h", "duty")
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    table.add_row("model", *_side(board.model))
    table.add_row("reference", *_side(board.reference))
    return table


def _board_title(product: str, board: ScoreboardSnapshot) -> str:
    base = "-" if board.base_rate is None else f"{board.base_rate:.3f}"
    thin = "" if board.enough_data else "  [yellow]not enough data[/yellow]"
    return (
        f"{product} scoreboard: {board.rows:,} graded seconds, base rate {base}, "
        f"{board.clusters} clusters, {board.windows} windows{thin}"
    )


def _side(side: SideScores) -> tuple[str, ...]:
    return (
        _figure(side.pr_auc, ".3f"),
        _figure(side.lift, ".2f"),
        _figure(side.log_loss, ".4f"),
        _figure(side.onset_recall, ".0%"),
        _figure(side.lead_s, ".0f", " s"),
        _figure(side.false_alarms_per_hour, ".1f"),
        _figure(side.duty_frac, ".1%"),
    )


def _figure(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"


def _alert(alert: Alert) -> str:
    lasted = f" after {(alert.event_ns - alert.opened_ns) / 1e9:.0f} s" if alert.state == "closed" else ""
    return (
        f"{format_time_ns(alert.event_ns, 0)[11:19]} {alert.product} {alert.state}{lasted}:"
        f" p(spike) {alert.p_spike:.2f}, next 60 s {alert.sigma_bps:.1f} bps,"
        f" now {alert.sigma_now_bps:.1f}, tau {alert.tau_bps:.1f}"
    )


def _alerts(job: LiveJob) -> RenderableType:
    newest = job.pipeline.alerts[-SHOWN_ALERTS:][::-1]
    lines = Text(
        "\n".join(_alert(alert) for alert in newest) or "none yet", overflow="ellipsis", no_wrap=True
    )
    return Panel(lines, title=f"alerts: {job.pipeline.counts.alerts}", title_align="left", box=box.ROUNDED)
