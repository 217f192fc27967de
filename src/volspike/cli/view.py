"""The live terminal view: market, prediction, alerts, feed health, scoreboard."""

from __future__ import annotations

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from volspike.alerts.sinks import state_text
from volspike.cli.figures import count_text, duration_text, mid_text
from volspike.cli.summary import gaps_text, lives_of
from volspike.cli.view_market import flags_text, market_view
from volspike.cli.view_scores import scoreboard_view
from volspike.exchange.decimals import format_time_ns
from volspike.pipeline.assembly import LiveJob
from volspike.records import Alert, DriftAlarm

SHOWN_ALERTS = 6
PANEL_LINES = 2
STATE_STYLE = {"live": "green", "degraded": "yellow", "waiting": "yellow", "stopped": "dim"}


class View:
    """What a live job shows of itself.

    Parameters
    ----------
    job : LiveJob
        What is shown.
    title : str
        Of the whole.
    """

    def __init__(self, job: LiveJob, title: str) -> None:
        self._job = job
        self._title = title
        self._first_ns: dict[str, int] = {}

    def render(self, screen: Console) -> RenderableType:
        """Return a view that fits the terminal: one that does not can't be drawn over."""
        job = self._job
        for product, row in job.pipeline.newest.items():
            self._first_ns.setdefault(product, row.event_ns)
        top = [_health(job, self._title), market_view(job, self._first_ns, screen.width)]
        lives = lives_of(job)
        boards = [
            scoreboard_view(
                product, scoring.board.snapshot(), job.bundles[product].manifest, lives.get(product)
            )
            for product, scoring in sorted(job.pipeline.scoring.items())
        ]
        alarms = [] if job.caretaking is None else job.caretaking.alarms
        told: list[Alert | DriftAlarm] = [*job.pipeline.alerts, *alarms]
        told.sort(key=lambda each: each.event_ns)
        alerts = [_alert(alert) for alert in told[: -SHOWN_ALERTS - 1 : -1]] or ["none yet"]
        room = screen.height - 1 - PANEL_LINES - _lines(screen, top)
        shown = 0
        while shown < len(boards) and (left := room - 1 - _lines(screen, [boards[shown]])) > 0:
            room, shown = left, shown + 1
        parts = [*top, *(part for board in boards[:shown] for part in (Text(), board))]
        title = f"alerts: {job.pipeline.counts.alerts}"
        if alarms:
            title += f", drift alarms: {len(alarms)}"
        if shown < len(boards):
            title += f"; {count_text(len(boards) - shown, 'scoreboard')} in a higher window"
        lines = Text("\n".join(alerts[: max(1, room)]), overflow="ellipsis", no_wrap=True)
        panel = Panel(lines, title=title, title_align="left", box=box.ROUNDED)
        # The terminal writes ^C at the end of the view: on a full line that would move everything.
        return Group(*parts, panel, Text())


def status_line(job: LiveJob) -> str:
    """Return the view in one line, for where there is no terminal."""
    counts = job.pipeline.counts
    ticks = job.pipeline.accounting.ticks
    line = f"{job.client.status.state}: {ticks:,} ticks, {counts.predictions:,} predictions"
    line += f", {count_text(counts.outcomes, 'outcome')}, {count_text(counts.alerts, 'alert')}"
    for product, scoring in sorted(job.pipeline.scoring.items()):
        newest = scoring.prediction
        if newest is not None:
            line += (
                f" | {product} {mid_text(newest.mid)} now {newest.sigma_now_bps:.1f} bps,"
                f" next 60 s {newest.sigma_bps:.1f} bps, tau {newest.tau_bps:.1f},"
                f" p(spike) {newest.p_spike:.3f}"
            )
            line += f" ({flags})" if (flags := flags_text(newest)) else ""
    return line


def _lines(screen: Console, parts: list[RenderableType]) -> int:
    return sum(len(screen.render_lines(part, pad=False)) for part in parts)


def _health(job: LiveJob, title: str) -> RenderableType:
    status, accounting, latency = job.client.status, job.pipeline.accounting, job.pipeline.latency
    line = Text()
    line.append(status.state, STATE_STYLE.get(status.state, "cyan"))
    line.append(f"  {job.dialect.name} feed, session {status.sessions}, ")
    line.append(count_text(status.reconnects, "reconnect"))
    line.append(f"\nframes {accounting.frames:,}  archived {accounting.archived:,}")
    line.append(f"  ticks {accounting.ticks:,}  ignored {accounting.ignored.total():,}")
    line.append(f"  dead-lettered {accounting.deadlettered:,}  gaps {gaps_text(job)}")
    p50, p99 = latency.quantile_us(0.5), latency.quantile_us(0.99)
    if p50 is not None:
        line.append(f"\nsocket to prediction  p50 {duration_text(p50)}  p99 {duration_text(p99)}")
    for part, reason in job.pipeline.failures.items():
        line.append(f"\n{part.upper()} STOPPED: {reason}", "bold red")
    if status.last_error and status.state != "live":
        line.append(f"\n{status.last_error}", "yellow")
    return Panel(line, title=title, title_align="left", box=box.ROUNDED)


def _alert(alert: Alert | DriftAlarm) -> str:
    if isinstance(alert, DriftAlarm):
        named = f"{alert.product} DRIFT {alert.model} {alert.model_version}"
        return f"{format_time_ns(alert.event_ns, 0)[11:19]} {named}: {alert.reason}"
    return (
        f"{format_time_ns(alert.event_ns, 0)[11:19]} {alert.product} {state_text(alert)}"
        f"  p {alert.p_spike:.2f}  next {alert.sigma_bps:.1f}"
        f"  now {alert.sigma_now_bps:.1f}  tau {alert.tau_bps:.1f}"
    )
