"""``volspike retrain``: a challenger from the recent rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from volspike.cli.options import All, Product, Replay, Source, WithParent
from volspike.cli.output import AsJson, DataDir, console, emit_json, say

if TYPE_CHECKING:
    from volspike.clock import Clock

LIVE_NEXT = "volspike run has it predict in the shadow; volspike promote tells how it fares"
CANDLE_NEXT = (
    "models of candles are never served live, so there is no trial: compare the scores, and promote it by "
    "volspike promote --feed candles --force"
)


def retrain(
    data_dir: DataDir = None,
    product: Product = None,
    feed: Source = None,
    days: Annotated[float | None, typer.Option(help="Of which past the rows are taken.")] = None,
    by: Annotated[str, typer.Option(help="What caused it, for the audit log.")] = "user",
    market_ns: Annotated[
        int | None,
        typer.Option(help="What time it is in the market, ns. (default: of the newest row)", min=0),
    ] = None,
    with_parent: WithParent = None,
    replay: Replay = False,
    all_: All = False,
    as_json: AsJson = False,
) -> None:
    """Train on the recent rows; the best model has to prove better in the champion's shadow."""
    from volspike.pipeline.limits import bounded, one_thread
    from volspike.pipeline.parent import end_with

    end_with(with_parent)
    one_thread()
    from volspike.cli.train import show_trained
    from volspike.clock import SystemClock
    from volspike.config import load_settings
    from volspike.exchange.candles import FEED as CANDLES
    from volspike.pipeline.home import Home
    from volspike.pipeline.missing_rows import store_missing_rows
    from volspike.pipeline.retraining import Request, retrain
    from volspike.pipeline.stored_data import newest_kind

    settings = load_settings({"data_dir": data_dir, "retrain_days": days})
    home = Home(settings.data_dir)
    home.require()
    clock = SystemClock()
    with bounded(settings.retrain_limit_s, settings.retrain_memory_mb):
        if product is not None and feed is not None and market_ns is not None and with_parent is not None:
            request = Request(product, feed, by, market_ns)
        else:  # what is meant, the stored rows tell
            if replay:
                store_missing_rows(home, settings)
            kind = newest_kind(home, product, feed, settings.candle_source, say)
            request = Request(kind.product, kind.feed, by, _market_ns(market_ns, kind.newest_ns, clock))
        made = retrain(home, settings, request, clock, say, replay=replay)
    if as_json:
        named = {"place": made.place, "model": made.model, "version": made.version}
        emit_json(named | {"product": request.product, "feed": request.feed} | made.report)
        return
    show_trained(made.report, all_)
    console().print(f"{made.place} of {request.product} on {request.feed}: {made.model} {made.version}")
    if made.place == "challenger":
        console().print(CANDLE_NEXT if request.feed == CANDLES else LIVE_NEXT)


def _market_ns(given_ns: int | None, newest_ns: int, clock: Clock) -> int:
    """Return what time it is in the market, by what was given or by the newest stored row."""
    from volspike.pipeline.retraining import DAY_NS

    # A simulated market may run ahead of the clock: then its rows do too, the last not yet written.
    if given_ns is not None and given_ns > max(clock.market_ns(), newest_ns) + DAY_NS:
        words = "it is over a day ahead of the clock and of the newest row"
        raise typer.BadParameter(words, param_hint="--market-ns")
    return newest_ns if given_ns is None else given_ns
