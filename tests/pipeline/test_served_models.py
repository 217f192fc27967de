"""Each product is served by its own champion, on a feed that suits it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import msgspec
import pytest

from made_bundles import make_bundle
from volspike.errors import ModelError
from volspike.exchange.dialects import DIALECTS
from volspike.models.bundle import Bundle, load_bundle, new_bundle
from volspike.models.defaults import default_model
from volspike.models.manifest import AlertEntry
from volspike.models.shelf import save_bundle
from volspike.models.standing import champion_path, champions, crown_champion
from volspike.pipeline.home import Home
from volspike.pipeline.served_models import alert_policy, alert_thresholds, choose_models
from volspike.records import Prediction
from volspike.simulation.synthetic import SyntheticMarket
from whole_runs import ORIGIN_NS, PRODUCT, SEED, live_run, logged, settings_for, ticks_at_least, volspike

OTHER = "ETH-USD"


@pytest.fixture
def home(_trained: Path, tmp_path: Path) -> Home:
    """Return a data directory with the models of one product and nothing else."""
    shutil.copytree(_trained / "models", tmp_path / "data" / "models")
    return Home(tmp_path / "data")


def crown(home: Home, name: str = "xgboost", **changes: object) -> Bundle:
    """Make the champion of another product or feed, with the weights of one that is there."""
    path = next((home.models / name).iterdir())
    known = load_bundle(path)
    bundle = new_bundle(msgspec.structs.replace(known.manifest, **changes), known.files)
    save_bundle(bundle, home.models)
    crown_champion(home.models, name, bundle.manifest.version)
    return bundle


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, (0.4, 0.3)),
        ({"alert_open": 0.2}, (0.2, 0.2)),
        ({"alert_close": 0.1}, (0.4, 0.1)),
        ({"alert_close": 0.9}, (0.4, 0.4)),
        ({"alert_open": 0.95, "alert_close": 0.9}, (0.95, 0.9)),
    ],
)
def test_alerts_close_no_higher_than_they_open(
    given: dict[str, float], wanted: tuple[float, float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model whose alerts open below ``alert_close`` could be promoted, and then not be served."""
    alert = AlertEntry(open_at=0.4, close_at=0.3, reason="made by hand")
    bundle = make_bundle(tmp_path / "models", 1, alert=alert)
    settings = settings_for(tmp_path, **given)
    assert alert_thresholds(bundle.manifest, settings) == wanted
    assert alert_policy(bundle, settings)
    assert alert_policy(bundle, settings, "reference_p_spike")
    said = capsys.readouterr()
    assert (said.out + said.err).count("alert_close is above") == (given == {"alert_close": 0.9})


def versions(home: Home, *products: str, dialect: str = "auto") -> tuple[str, dict[str, str]]:
    served = choose_models(home, settings_for(home.root, products=products, dialect=dialect))
    return served.dialect.name, {product: b.manifest.version for product, b in served.bundles.items()}


def test_without_champions_all_is_recorded_but_what_the_bundled_model_serves(tmp_path: Path) -> None:
    home, bundled = Home(tmp_path), default_model(PRODUCT)
    assert bundled is not None
    assert default_model(OTHER) is None
    for dialect in DIALECTS:
        settings = settings_for(home.root, products=(PRODUCT, OTHER), dialect=dialect, default_model=True)
        served = choose_models(home, settings)
        assert served.defaults == {PRODUCT}
        assert served.bundles[PRODUCT].manifest == bundled.manifest
        assert served.feature_set == settings.feature_set
    assert versions(home, OTHER) == ("exchange", {})
    none = settings_for(home.root, products=(PRODUCT, OTHER), default_model=False)
    assert choose_models(home, none).bundles == {}


def test_every_product_gets_its_own_and_one_without_gets_none(home: Home) -> None:
    own = champion_path(home.models).name
    assert versions(home, PRODUCT, OTHER) == ("exchange", {PRODUCT: own})
    other = crown(home, product=OTHER).manifest.version
    assert other != own
    assert versions(home, PRODUCT, OTHER) == ("exchange", {PRODUCT: own, OTHER: other})
    assert versions(home, OTHER) == ("exchange", {OTHER: other})
    assert [(each.product, each.feed) for each in champions(home.models)] == [
        (PRODUCT, "exchange"),
        (OTHER, "exchange"),
    ]


def test_a_model_bound_to_a_feed_chooses_the_feed(home: Home) -> None:
    bound = crown(home, product=OTHER, feed="advanced", feed_dependent=True).manifest.version
    assert versions(home, OTHER) == ("advanced", {OTHER: bound})
    with pytest.raises(ModelError, match="inputs depend on the feed"):
        versions(home, OTHER, dialect="exchange")
    free = crown(home, "zscore", product=OTHER, feed="exchange", feed_dependent=False).manifest.version
    assert versions(home, OTHER) == ("exchange", {OTHER: free})
    assert versions(home, OTHER, dialect="advanced") == ("advanced", {OTHER: bound})


def test_a_damaged_standing_of_another_product_or_feed_keeps_nobody_from_serving(home: Home) -> None:
    own = champion_path(home.models).name
    for other in (f"{OTHER}-exchange", f"{PRODUCT}-candles", f"{PRODUCT}-advanced"):
        (home.models / "champions" / f"{other}.json").write_text("{")
        assert versions(home, PRODUCT, dialect="exchange") == ("exchange", {PRODUCT: own})
    with pytest.raises(ModelError, match=f"{PRODUCT}-advanced"):
        versions(home, PRODUCT, dialect="advanced")


def test_models_that_can_not_be_served_together_are_refused(home: Home) -> None:
    crown(home, product=OTHER, target="std")
    with pytest.raises(ModelError, match="for study"):
        versions(home, OTHER)
    own = champion_path(home.models, PRODUCT)
    settings = settings_for(home.root, products=(OTHER,), model=str(own))
    with pytest.raises(ModelError, match=f"trained on {re.escape(PRODUCT)}, which is not among {OTHER}"):
        choose_models(home, settings)


def test_two_products_are_predicted_each_by_its_own_champion(home: Home) -> None:
    crown(home, product=OTHER)
    products = (PRODUCT, OTHER)
    market = SyntheticMarket(SEED, products, ORIGIN_NS)
    report, _ = live_run(home.root, market, ticks_at_least(1_500), products=products)
    expected = {each.product: each.version for each in champions(home.models)}
    predictions = [made for made in logged(home.root, "ticks.predictions") if isinstance(made, Prediction)]
    assert {made.product: made.model_version for made in predictions} == expected
    assert len({(made.product, made.model_version) for made in predictions}) == 2
    assert set(report["models"]) == set(products)
    ran = volspike("predict", "--data-dir", home.root, "--json")
    assert ran.code == 1
    assert "several champions" in ran.report["error"]
