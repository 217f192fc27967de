"""Show a live job on the terminal, and say why one was never heard of."""

from __future__ import annotations

import asyncio
from functools import partial

from rich.live import Live

from volspike.cli.driving import show_lines
from volspike.cli.output import console
from volspike.cli.view import View, status_line
from volspike.errors import FeedError
from volspike.pipeline.assembly import LiveJob

REFRESH_S = 0.5


def unheard(feed: str, last_error: str) -> FeedError:
    """Return the failure of a job that never got a frame."""
    return FeedError(
        f"feed {feed}",
        f"no frame ever came: {last_error or 'there was no time to connect'}",
        "check the network, --exchange-url and --dialect; volspike doctor --exchange tells more",
    )


async def _refresh_scoreboards(job: LiveJob) -> None:
    for scoring in list(job.pipeline.scoring.values()):
        work = scoring.board.refresh()
        if work is not None:
            await asyncio.to_thread(work)


async def show_live(job: LiveJob, title: str, as_json: bool) -> None:
    """Show a live job in a view, or in lines where there is no terminal."""
    screen = console()
    if as_json or not screen.is_terminal:
        await show_lines(partial(status_line, job))
    view = View(job, title)
    with Live(view.render(screen), console=screen, auto_refresh=False, screen=False) as live:
        try:
            while True:
                await _refresh_scoreboards(job)
                live.update(view.render(screen), refresh=True)
                await asyncio.sleep(REFRESH_S)
        finally:
            live.update(view.render(screen), refresh=True)
