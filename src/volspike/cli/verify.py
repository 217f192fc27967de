"""``volspike verify``: proof that stored feature rows equal what the archive gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from volspike.cli.options import Bootstrap
from volspike.cli.output import AsJson, DataDir, conclude, say

if TYPE_CHECKING:
    from volspike.config import Settings
    from volspike.errors import VolspikeError
    from volspike.pipeline.home import Home


def verify(
    data_dir: DataDir = None,
    topics: Annotated[
        Literal["embedded", "kafka"] | None,
        typer.Option(help="Compare the rows that the stages put on the topics there.", show_default=False),
    ] = None,
    kafka_bootstrap: Bootstrap = None,
    as_json: AsJson = False,
) -> None:
    """Replay the archive and compare every stored feature row with it, to the bit; exit 1 if any differs."""
    from volspike.config import load_settings
    from volspike.pipeline.home import Home

    settings = load_settings({"data_dir": data_dir, "bus": topics, "kafka_bootstrap": kafka_bootstrap})
    home = Home(settings.data_dir)
    home.require()
    if topics is None:
        _verify_files(home, settings, as_json)
    else:
        _verify_topics(home, settings, as_json)


def _verify_files(home: Home, settings: Settings, as_json: bool) -> None:
    from volspike.cli.progress import counting
    from volspike.errors import VerificationError
    from volspike.exchange.products import PriceScales
    from volspike.pipeline.verify import verify_features

    with counting("comparing", "frames", hidden=as_json) as advance:
        report = verify_features(home, PriceScales(settings.price_decimals), advance)
    wrong = report["different"] + report["missing"] + report["extra"]
    failure = VerificationError(
        str(home.features), f"{wrong:,} rows do not equal the archive", "run volspike replay to rebuild them"
    )
    if report["open"]:
        say(f"a job is running: {report['open']:,} rows of its open file are not compared yet")
    title = f"Stored rows against the archive: {home.features}"
    conclude(title, report, as_json, failure if wrong else None)


def _verify_topics(home: Home, settings: Settings, as_json: bool) -> None:
    from contextlib import closing

    from volspike.bus.opening import open_log
    from volspike.clock import SystemClock
    from volspike.errors import NotEnoughDataError, VerificationError
    from volspike.exchange.products import PriceScales
    from volspike.pipeline.row_comparison import compare_rows
    from volspike.pipeline.served_models import choose_models

    scales = PriceScales(settings.price_decimals)
    feature_set = choose_models(home, settings).feature_set
    with closing(open_log(settings, home.log, SystemClock())) as log:
        found = compare_rows(log, settings.topic_suffix, home, scales, feature_set)
    topic = f"ticks.features{settings.topic_suffix}"
    failure: VolspikeError | None = None
    if found.is_empty:
        reason = f"nothing was compared: no rows of this archive there, and none in {home.root}"
        failure = NotEnoughDataError(topic, reason, "run volspike ingest and featurize first")
    elif found.faults:
        failure = VerificationError(
            topic,
            f"{sum(found.faults.values()):,} faults against the archive, the first: {found.first_fault}",
            "where ingest or featurize are running, let them come to their end first",
        )
    conclude(f"{topic} against the archive", found.as_dict(), as_json, failure)
