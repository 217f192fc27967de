"""``volspike demo``: the whole job on a fresh machine, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from volspike.cli.options import MAX_HISTORY_HOURS, Bootstrap, Bus, ExitAfter, Seed, finite
from volspike.cli.output import AsJson, DataDir, conclude, configure_logging, console, program, say, tell


def demo(
    data_dir: DataDir = None,
    recording: Annotated[
        list[Path] | None, typer.Option("--recording", help="Recorded market; default: a synthetic one.")
    ] = None,
    speed: Annotated[
        float, typer.Option(help="Market seconds per wall second.", min=0.1, max=1000, callback=finite)
    ] = 10.0,
    model: Annotated[
        str, typer.Option("--model", help="Serve this model. (default: train one on the history)")
    ] = "",
    product: Annotated[str, typer.Option(help="Product to watch.")] = "BTC-USD",
    history_hours: Annotated[
        float,
        typer.Option(help="Synthetic history to train on.", min=0.1, max=MAX_HISTORY_HOURS, callback=finite),
    ] = 6.0,
    tz: Annotated[str, typer.Option(help="Zone of recorded times without one.")] = "UTC",
    seed: Seed = None,
    bus: Bus = None,
    kafka_bootstrap: Bootstrap = None,
    exit_after: ExitAfter = None,
    as_json: AsJson = False,
) -> None:
    """Simulate an exchange, train on its history, then predict, grade and alert over a real WebSocket.

    Its model is never retrained or replaced, as those of volspike run are.
    With --bus kafka the stages are processes of their own around a broker; one is started if none is named.
    """
    from functools import partial

    from volspike.cli.driving import drive
    from volspike.cli.live import show_live
    from volspike.cli.summary import show_summary
    from volspike.clock import SimulatedClock
    from volspike.config import load_settings
    from volspike.pipeline.assembly import open_live
    from volspike.pipeline.demo import Demo, DemoPlan

    settings = load_settings(
        {
            "data_dir": data_dir or _fresh_directory(),
            "products": (product,),
            "seed": seed,
            "model": model or None,
            "bus": bus,
            "kafka_bootstrap": kafka_bootstrap,
        }
    )
    configure_logging(settings.log_level)
    plan = DemoPlan(tuple(recording or ()), speed, history_hours, tz, exit_after)
    with Demo(settings, plan, say) as prepared:
        if settings.bus == "kafka":
            from volspike.cli.demo_kafka import demo_on_kafka

            demo_on_kafka(settings, prepared, kafka_bootstrap, as_json)
            return
        job = prepared.open(lambda adapted, url: open_live(adapted, SimulatedClock(), (), url))
        try:
            show = partial(show_live, job, prepared.title, as_json)
            drive(
                job.run,
                show,
                prepared.seconds_left(),
                partial(prepared.watch, lambda _sent: not job.pipeline.connected),
            )
        finally:
            job.close()
        report = prepared.report(job.as_dict())
    failure = job.pipeline.failure
    if as_json:
        conclude("Demo", report, as_json, failure)
        return
    sent = (
        "unknown: the simulator could not be asked"
        if report["sent"] is None
        else f"{report['sent']:,} frames"
    )
    show_summary("Demo", job, sent)
    for line in (
        f"prove it: {program()} verify --data-dir {settings.data_dir}",
        f"everything is in {settings.data_dir}; to be rid of it, remove that directory",
    ):
        console().print(line, markup=False, soft_wrap=True)
    if failure is not None:
        tell(failure)
        raise SystemExit(1)


def _fresh_directory() -> Path:
    from volspike.clock import SystemClock
    from volspike.exchange.decimals import format_time_ns

    stamp = format_time_ns(SystemClock().market_ns(), 0)[:19].replace(":", "").replace("-", "")
    return Path("volspike-data") / f"demo-{stamp}"
