"""What one Exchange connection would have received of a market, without a socket."""

from __future__ import annotations

import json
from collections.abc import Iterator

from volspike.simulation.board import Board
from volspike.simulation.exchange_voice import ExchangeVoice
from volspike.simulation.market import SECOND_NS, Market, MarketBreak


def exchange_frames(market: Market, seed: int, end_ns: int) -> Iterator[tuple[int, bytes]]:
    """Yield (market time in ns, frame) from the subscription on, up to a market time.

    Parameters
    ----------
    market : Market
        Offers the Exchange dialect and has no break after its start.
    seed : int
        Decides the invented parts, as in the simulator.
    end_ns : int
        Where to stop.
    """
    board = Board(seed)
    voice = ExchangeVoice(board, market.products)
    beat_ns = 0
    for event in market.events():
        now_ns = min(event.resume_ns if isinstance(event, MarketBreak) else event.event_ns, end_ns)
        if not beat_ns:
            beat_ns = now_ns
            for tick in event.opening if isinstance(event, MarketBreak) else ():
                board.record(tick)
            yield from ((now_ns, frame) for _, frame in voice.receive(_subscribe(market), now_ns))
        while beat_ns <= now_ns:
            yield from ((beat_ns, frame) for _, frame in voice.heartbeat(beat_ns))
            beat_ns += SECOND_NS
        if now_ns >= end_ns:
            return
        if not isinstance(event, MarketBreak):
            sweep = board.publish([event], {voice.dialect})
            yield from ((now_ns, frame) for frame in sweep.exchange_frames)


def _subscribe(market: Market) -> str:
    channels = [{"name": name, "product_ids": list(market.products)} for name in ("ticker", "heartbeat")]
    return json.dumps({"type": "subscribe", "channels": channels})
