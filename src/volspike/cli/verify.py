"""``volspike verify``: proof that stored feature rows equal what the archive gives."""

from __future__ import annotations

from volspike.cli.output import AsJson, DataDir, conclude, say


def verify(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Replay the archive and compare every stored feature row with it, to the bit; exit 1 if any differs."""
    from volspike.cli.progress import counting
    from volspike.config import load_settings
    from volspike.errors import VerificationError
    from volspike.exchange.products import PriceScales
    from volspike.pipeline.home import Home
    from volspike.pipeline.verify import verify_features

    settings = load_settings({"data_dir": data_dir})
    home = Home(settings.data_dir)
    home.require()
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
