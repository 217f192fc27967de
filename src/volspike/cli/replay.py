"""``volspike replay``: the archive to feature rows, at full speed."""

from __future__ import annotations

from volspike.cli.output import AsJson, DataDir, emit_json, show_counts


def replay(data_dir: DataDir = None, feature_set: str | None = None, as_json: AsJson = False) -> None:
    """Compute the features of everything archived anew, into Parquet files."""
    from volspike.cli.progress import counting
    from volspike.config import load_settings
    from volspike.exchange.products import PriceScales
    from volspike.features.sets import get_tick_set
    from volspike.pipeline.home import Home
    from volspike.pipeline.replay import replay_features

    settings = load_settings({"data_dir": data_dir, "feature_set": feature_set})
    home = Home(settings.data_dir)
    home.require()
    with counting("replaying", "frames", hidden=as_json) as advance:
        report = replay_features(
            home, get_tick_set(settings.feature_set), PriceScales(settings.price_decimals), advance
        )
    if as_json:
        emit_json(report)
    else:
        show_counts(f"Replayed {home.root / 'raw'} into {home.features}", report)
