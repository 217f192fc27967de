"""``volspike demo --bus kafka``: the same demonstration in processes of its own around a broker."""

from __future__ import annotations

from functools import partial
from typing import Any

from volspike.cli.driving import drive, show_lines
from volspike.cli.output import conclude, console, say
from volspike.cli.view_scores import scoreboard_view
from volspike.config import Settings, sources
from volspike.errors import VerificationError
from volspike.exchange.products import PriceScales
from volspike.pipeline.demo import Demo
from volspike.pipeline.home import Home
from volspike.pipeline.row_comparison import FAULTS, compare_rows
from volspike.pipeline.served_models import alert_policy, choose_models
from volspike.pipeline.stage_processes import StageProcesses
from volspike.pipeline.stage_report import StageReport


def demo_on_kafka(settings: Settings, prepared: Demo, bootstrap: str | None, as_json: bool) -> None:
    """Run the stages as processes until the market is over, and tell what they made."""
    given = bootstrap or sources()["kafka_bootstrap"] != "default"
    at = settings.kafka_bootstrap if given else ""
    stages = prepared.open(lambda adapted, url: StageProcesses(adapted, url, at, say))
    try:
        drive(
            stages.run,
            partial(show_lines, stages.line),
            prepared.seconds_left(),
            partial(prepared.watch, stages.has_all),
        )
        say("the feed is over: every stage reads to its end")
        counts, report = _report(settings, stages)
    finally:
        stages.close()
    counts = prepared.report(counts)
    wrong = {name: counts["rows"][name] for name in FAULTS if counts["rows"][name]}
    failure = VerificationError("ticks.features", f"differs from the archive: {wrong}", "report it")
    if as_json:
        conclude("Demo", counts, as_json, failure if wrong else None)
        return
    boards = counts.pop("scoreboard")
    served = choose_models(Home(settings.data_dir), settings)
    conclude("Demo on Kafka", {name: value for name, value in counts.items() if name != "workers"}, as_json)
    for product in boards:
        manifest = served.bundles[product].manifest
        console().print(scoreboard_view(product, report.boards[product].snapshot(), manifest))
    console().print(
        f"everything is in {settings.data_dir}; to be rid of it, remove that directory",
        markup=False,
        soft_wrap=True,
    )
    if wrong:
        raise failure


def _report(settings: Settings, stages: StageProcesses) -> tuple[dict[str, Any], StageReport]:
    """Return all counts under the names of the command line."""
    workers = stages.finish()
    home, scales = Home(settings.data_dir), PriceScales(settings.price_decimals)
    served = choose_models(home, settings)
    policies = {
        name: alert_policy(bundle, settings, "reference_p_spike") for name, bundle in served.bundles.items()
    }
    report = StageReport(stages.bus, stages.suffix, policies)
    rows = compare_rows(stages.bus, stages.suffix, home, scales, served.feature_set)
    counts = {
        **workers["ingest"],
        **report.counts,
        "rows": rows.as_dict(),
        "topic_suffix": stages.suffix,
        "workers": workers,
        "scoreboard": report.scoreboard(),
    }
    return counts, report
