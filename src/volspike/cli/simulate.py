"""``volspike simulate``: the exchange simulator alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from volspike.cli.options import MAX_HISTORY_HOURS, MAX_SEED, MAX_TIME_NS, finite
from volspike.cli.output import AsJson, emit_json, program, say, show_counts

if TYPE_CHECKING:
    import asyncio

    from volspike.simulation.candle_book import CandleBook
    from volspike.simulation.market import Market
    from volspike.simulation.server import Simulator, SimulatorSettings

HOUR_NS = 3_600 * 10**9

Recordings = Annotated[
    list[Path] | None, typer.Option("--recording", help="Replay this recording; may be given several times.")
]
Faults = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        metavar="KIND[:NUMBER][,at=S|,every=S|,p=CHANCE]",
        help="Break something, in market seconds; may be given several times. A kind that is none lists all.",
    ),
]


def simulate(
    recording: Recordings = None,
    speed: Annotated[
        float, typer.Option(help="Market seconds per wall second.", min=0.1, max=1000, callback=finite)
    ] = 1.0,
    seed: Annotated[
        int,
        typer.Option(help="Seed of the synthetic market and of all else invented.", min=0, max=MAX_SEED),
    ] = 7,
    product: Annotated[list[str] | None, typer.Option(help="Products; default: all the market has.")] = None,
    stamps: Annotated[
        Literal["kept", "rebased"] | None,
        typer.Option(help="Keep the market's own times, or shift them to now. (default: rebased)"),
    ] = None,
    exchange_port: Annotated[
        int, typer.Option(help="Port of the Exchange dialect; 0: any free one.", min=0, max=65535)
    ] = 0,
    advanced_port: Annotated[
        int, typer.Option(help="Port of the Advanced Trade dialect; 0: any.", min=0, max=65535)
    ] = 0,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0: every one, as containers need it.")
    ] = "127.0.0.1",
    start_ns: Annotated[
        int | None, typer.Option(help="Leave out what is before this market time.", min=0, max=MAX_TIME_NS)
    ] = None,
    origin_ns: Annotated[
        int | None, typer.Option(help="Where the synthetic market begins.", min=0, max=MAX_TIME_NS)
    ] = None,
    history: Annotated[
        float,
        typer.Option(
            help="Hours of the synthetic market before it begins, of which candles can be asked for.",
            min=0,
            max=MAX_HISTORY_HOURS,
            callback=finite,
        ),
    ] = 0.0,
    fault: Faults = None,
    tz: Annotated[str, typer.Option(help="Zone of recorded times without one.")] = "UTC",
    ready_file: Annotated[Path | None, typer.Option(hidden=True)] = None,
    as_json: AsJson = False,
) -> None:
    """Serve a recorded or synthetic market on loopback, in both Coinbase dialects, and its minute candles."""
    import asyncio

    from volspike.clock import SystemClock
    from volspike.simulation.candle_book import CandleBook
    from volspike.simulation.faults import parse_fault
    from volspike.simulation.server import SimulatorSettings

    plan = tuple(parse_fault(text) for text in fault or ())
    if origin_ns is None and stamps != "kept":
        # The stamps say now in any case; so the market's trade ids are not those of an earlier one.
        origin_ns = SystemClock().market_ns() if start_ns is None else start_ns
    if history and recording:
        raise typer.BadParameter("a recording has its past: leave it to --start-ns", param_hint="--history")
    candles, products = CandleBook(), tuple(product or ())
    if recording:
        market = _recorded(recording, products, start_ns, tz, candles)
    else:
        market = _synthetic(products, seed, start_ns, origin_ns, round(history * HOUR_NS), candles)
    settings = SimulatorSettings(
        speed=speed,
        seed=seed,
        host=host,
        stamps=stamps or "rebased",
        ports={"exchange": exchange_port, "advanced": advanced_port},
        plan=plan,
    )
    if ready_file is not None:
        asyncio.run(_serve_parent(market, settings, candles, ready_file))
        return
    state = asyncio.run(_serve(market, settings, candles))
    if as_json:
        emit_json(state)
    else:
        show_counts(
            "Simulator", {key: state[key] for key in ("sent", "sent_by_type", "breaks", "connections")}
        )


def _recorded(
    recording: list[Path], products: tuple[str, ...], start_ns: int | None, tz: str, candles: CandleBook
) -> Market:
    from volspike.exchange.products import PriceScales
    from volspike.pipeline.recordings import recorded_sessions
    from volspike.recording.sniff import ImportOptions
    from volspike.simulation.recorded import RecordedMarket

    sessions = recorded_sessions(recording, ImportOptions(zone=tz), PriceScales())
    return RecordedMarket(sessions, products, start_ns, before=candles.trade)


def _synthetic(
    products: tuple[str, ...],
    seed: int,
    start_ns: int | None,
    origin_ns: int | None,
    history_ns: int,
    candles: CandleBook,
) -> Market:
    """Return a synthetic market that begins at its start, else its origin, and has a past before that."""
    from volspike.simulation.later import LaterMarket
    from volspike.simulation.synthetic import ORIGIN_NS, SyntheticMarket

    products = products or ("BTC-USD", "ETH-USD")
    origin_ns = ORIGIN_NS if origin_ns is None else origin_ns
    begin_ns = origin_ns if start_ns is None else start_ns
    first_ns = min(origin_ns, begin_ns - history_ns) if history_ns else origin_ns
    if first_ns < 0:
        raise typer.BadParameter("it begins before 1970", param_hint="--history")
    market = SyntheticMarket(seed, products, first_ns)
    return market if start_ns is None and not history_ns else LaterMarket(market, begin_ns, candles.trade)


async def _serve(market: Market, settings: SimulatorSettings, candles: CandleBook) -> dict[str, object]:
    """Serve until the market has been told, or Ctrl-C."""
    import asyncio

    from volspike.simulation.server import run_simulator

    stopped = asyncio.create_task(_signalled(asyncio.Event()).wait())
    return await run_simulator(market, settings, _announce, stopped, candles)


async def _serve_parent(
    market: Market, settings: SimulatorSettings, candles: CandleBook, ready_file: Path
) -> dict[str, object]:
    """Serve, and answer on the control port, until the process that started this one ends it or is gone."""
    import asyncio
    import os

    from volspike.simulation.server import Simulator

    stop, parent = _signalled(asyncio.Event()), os.getppid()
    simulator = Simulator(market, settings, candles=candles)
    await simulator.start()
    _tell_parent(simulator, ready_file)
    while not stop.is_set() and os.getppid() == parent:
        await asyncio.sleep(0.2)
    await simulator.stop()
    return simulator.state()


def _signalled(stop: asyncio.Event) -> asyncio.Event:
    """Have the event set by Ctrl-C and SIGTERM."""
    import asyncio
    import signal

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _announce(simulator: Simulator) -> None:
    for verb in ("run", "ingest"):
        for dialect, url in sorted(simulator.urls.items(), reverse=True):  # the default dialect first
            say(f"{program()} {verb} --exchange-url {url} --dialect {dialect}")
    say(f"{program()} backfill --candles-url {simulator.admin_url}")
    say(f"control: {simulator.admin_url}/admin/state (Ctrl-C ends)")


def _tell_parent(simulator: Simulator, ready_file: Path) -> None:
    import json

    temporary = ready_file.with_suffix(".tmp")
    temporary.write_text(json.dumps({"urls": simulator.urls, "admin": simulator.admin_url}), encoding="utf-8")
    temporary.replace(ready_file)
