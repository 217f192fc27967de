"""Models on regime columns: trained on one feed, served on the other, to the bit as in a batch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest
from stage_runs import BATCH_ROWS, NS, SCALES, decoded, market, policy

from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Outgoing
from volspike.bus.topics import DEADLETTER, FEATURES, OUTCOMES, PREDICTIONS
from volspike.bus.transactions import ExactlyOnce
from volspike.errors import FeatureError, ModelError
from volspike.features.regime.columns import REGIME
from volspike.features.sets import TICK_SETS, get_feature_set
from volspike.features.table import FeatureTable
from volspike.labels.dataset import Dataset, build_dataset
from volspike.labels.second_journal import SecondJournal
from volspike.labels.splits import chronological_split
from volspike.labels.targets import UNLABELLED_REASONS
from volspike.labels.tau import TauSpec
from volspike.models.bundle import Bundle, check_fits, load_bundle, new_bundle, rows_of, takes_rows
from volspike.models.settings import KINDS, TrainSettings
from volspike.models.shelf import save_bundle
from volspike.models.standing import crown_champion
from volspike.models.train import train
from volspike.pipeline.batch import BatchStage
from volspike.pipeline.feature_rows import FeatureRows
from volspike.pipeline.home import Home
from volspike.pipeline.score_stage import ScoreStage
from volspike.pipeline.served_models import choose_models, trailing_for
from volspike.pipeline.stored_data import stored_for
from volspike.records import FeatureRow, Mark, Prediction, Tick
from volspike.scoring.lineup import Lineup
from volspike.scoring.scorer import Scorer
from volspike.simulation.later import LaterMarket
from volspike.simulation.synthetic import SyntheticMarket
from volspike.testing.crash_point import CrashError, CrashPoint
from volspike.testing.manual_clock import ManualClock
from whole_runs import ORIGIN_NS, SEED, live_run, logged, settings_for, ticks_at_least

PRODUCT = "BTC-USD"
TAU = TauSpec(quantile=0.9, floor_bps=0.5)
FIELDS = ("p_spike", "sigma_bps")  # the band adapts to outcomes, which a batch alone does not know


def stream(feed: str, **options: object) -> list[Tick | Mark]:
    """Return one product's ticks and marks on a feed."""
    return [
        msgspec.structs.replace(record, feed=feed)
        for record in market(**options)
        if record.product == PRODUCT
    ]


def table_of(records: Sequence[Tick | Mark], feature_set: str = "core") -> FeatureTable:
    first = next(record for record in records if isinstance(record, Tick))
    stage = BatchStage(first, get_feature_set(feature_set))
    for record in records:
        if isinstance(record, Tick):
            stage.tick(record)
        else:
            stage.mark(record)
    return stage.take()


def events_of(records: Sequence[Tick | Mark], feature_set: str = "core") -> list[FeatureRow | Mark]:
    """Return what featurize makes of ticks and marks."""
    rows = FeatureRows(get_feature_set(feature_set), 2)
    return [r if isinstance(r, Mark) else rows.row(r, r.covered_since_ns) for r in records]


@pytest.fixture(scope="module")
def bundles() -> dict[str, Bundle]:
    """Train every model on two hours and a half of the feed ``exchange``."""
    records = stream("exchange", duration_s=9_000, seed=3, breaks_s=(2_000.0,))
    dataset = build_dataset([table_of(records)], tau=TAU, inputs="regime")
    settings = TrainSettings(rounds=80, patience=5, learning_rate=0.3, l2=5.0)
    return train(dataset, chronological_split(dataset), settings).bundles


@pytest.fixture(scope="module")
def records() -> list[Tick | Mark]:
    """Return forty minutes on the feed ``advanced`` with breaks and marks."""
    return stream("advanced", duration_s=2_400, seed=11, breaks_s=(300.0, 310.0, 1_500.0))


@dataclass
class Live:
    """A product's scorer with the day behind it, as a live job has them."""

    bundle: Bundle

    def __post_init__(self) -> None:
        self.trailing = trailing_for(self.bundle, SCALES, keeps_regime=True)
        self.journal = SecondJournal()
        self.trailing.on_closed = self.journal.add
        span_ns = self.bundle.manifest.training.span_ns
        lineup = Lineup(self.bundle.predictor, self.bundle.reference, span_ns)
        self.scorer = Scorer(lineup, self.trailing, ManualClock())

    def feed(self, events: Sequence[FeatureRow | Mark]) -> list[Prediction]:
        made = []
        for event in events:
            if isinstance(event, Mark):
                self.scorer.on_mark(event)
            elif (prediction := self.scorer.on_row(event, 0)) is not None:
                made.append(msgspec.structs.replace(prediction, latency_ns=0))
            self.scorer.take_graded()
        return made


def offline(bundle: Bundle, records: Sequence[Tick | Mark], feature_set: str = "core") -> Dataset:
    manifest = bundle.manifest
    tau = manifest.tau
    tables = [table_of(records, feature_set)]
    return build_dataset(tables, "rv", tau.spec(), tau.fixed_bps, manifest.increment, "regime")


def assert_equal_to_the_batch(made: Sequence[Prediction], dataset: Dataset, bundle: Bundle) -> None:
    """Check the prediction at each row of a dataset: the last tick of each second."""
    last = {-(-each.event_ns // NS): each for each in made}
    scored = bundle.predictor.predict_batch(dataset)
    reference = bundle.reference.predict_batch(dataset)
    assert list(last) == dataset.second.tolist()
    served = list(last.values())
    assert [each.event_ns for each in served] == dataset.event_ns.tolist()
    for name in FIELDS:
        assert [getattr(each, name) for each in served] == getattr(scored, name).tolist(), name
    assert [each.reference_p_spike for each in served] == reference.p_spike.tolist()
    assert [each.tau_bps for each in served] == dataset.tau_bps.tolist()
    assert [each.mid for each in served] == dataset.mid.tolist()


def test_the_rows_hold_what_matters(bundles, records) -> None:
    assert set(bundles) == set(KINDS)
    dataset = offline(bundles["blend"], records)
    assert len(dataset) > 1_000
    assert len(np.unique(dataset.run)) >= 3
    assert {UNLABELLED_REASONS[code] for code in dataset.unlabelled} > {"break", "end"}
    assert dataset.tau_adaptive.any()
    assert not dataset.tau_adaptive.all()
    assert sum(isinstance(record, Mark) for record in records) > 10
    present = np.isfinite(dataset.features).mean(axis=0)
    assert (present > 0.5).sum() > 25
    assert dataset.feature_set == "regime"


@pytest.mark.parametrize("name", KINDS)
def test_invariant_01_served_on_the_other_feed_it_predicts_as_in_a_batch(bundles, records, name: str) -> None:
    bundle = bundles[name]
    assert (bundle.manifest.feed, bundle.manifest.feature_set) == ("exchange", "regime")
    assert not bundle.manifest.feed_dependent
    made = Live(bundle).feed(events_of(records))
    assert_equal_to_the_batch(made, offline(bundle, records), bundle)
    assert {(each.feature_set, each.model) for each in made} == {("regime", name)}
    assert len({each.p_spike for each in made}) > 10


def test_rows_of_any_ticks_lead_to_the_same_predictions(bundles, records) -> None:
    bundle = bundles["blend"]
    core, *others = (Live(bundle).feed(events_of(records, name)) for name in TICK_SETS)
    assert core
    assert all(other == core for other in others)
    assert offline(bundle, records, "core-sized").sha256 == offline(bundle, records).sha256


@pytest.mark.parametrize("cuts", [(1,), (700,), (300, 301, 2_000)])
def test_invariant_01_it_goes_on_from_its_state(bundles, records, cuts: tuple[int, ...]) -> None:
    bundle = bundles["blend"]
    events = events_of(records)
    live, made, start = Live(bundle), [], 0
    written: dict[int, bytes] = {}
    for cut in cuts:
        made += live.feed(events[start:cut])
        written.update(live.journal.take())
        state, pending = live.scorer.export_state()
        resumed = Live(bundle)
        resumed.trailing.import_state(
            json.loads(json.dumps(live.trailing.export_state())), resumed.journal.restore(written.values())
        )
        resumed.scorer.import_state(json.loads(json.dumps(state)), pending)
        live, start = resumed, cut
    made += live.feed(events[start:])
    assert made == Live(bundle).feed(events)


class Stage:
    """The stage ``score`` between topics of an embedded log."""

    def __init__(self, path: Path, bundle: Bundle, events: Sequence[FeatureRow | Mark]) -> None:
        self.log = EmbeddedLog(path, ManualClock())
        self._path = path
        self._bundle = bundle
        out = [Outgoing(FEATURES.name, PRODUCT, FEATURES.encode(e), e.event_ns) for e in events]
        for start in range(0, len(out), 500):
            self.log.append(out[start : start + 500])

    def run(self, reached: CrashPoint | None = None) -> bool:
        """Score all that is there; return False if it crashed."""
        clock = ManualClock()
        log = EmbeddedLog(self._path, clock, reached=reached)
        stage = ScoreStage(log, {PRODUCT: self._bundle}, SCALES, policy, clock)
        try:
            loop = ExactlyOnce(
                log,
                "score",
                [FEATURES.name],
                stage,
                clock,
                batch_rows=BATCH_ROWS,
                poll_s=0.0,
                state_s=3.5,
                reached=reached,
            )
            while (log.group_offset("score", FEATURES.name) or 0) < log.end_offset(FEATURES.name):
                clock.advance(NS)
                loop.step()
            loop.close()
        except CrashError:
            return False
        finally:
            log.close()
        return True

    def predictions(self) -> list[Prediction]:
        return [msgspec.structs.replace(p, latency_ns=0) for p in decoded(self.log, PREDICTIONS)]


@pytest.mark.parametrize("feature_set", TICK_SETS)
@pytest.mark.parametrize("crashes", [(), (5, 9, 4)])
def test_invariant_06_the_stage_score_serves_it_rows_of_any_ticks(
    bundles, records, tmp_path: Path, feature_set: str, crashes: tuple[int, ...]
) -> None:
    bundle = bundles["blend"]
    stage = Stage(tmp_path / "log.db", bundle, events_of(records, feature_set))
    for nth in crashes:
        assert not stage.run(CrashPoint("bus.append.committed", nth=nth))
    assert stage.run()
    made = stage.predictions()
    assert_equal_to_the_batch(made, offline(bundle, records), bundle)
    outcomes = [outcome.prediction_id for outcome in decoded(stage.log, OUTCOMES)]
    assert len(outcomes) == len(set(outcomes)) > 500
    assert not decoded(stage.log, DEADLETTER)
    stage.log.close()


def test_invariant_07_rows_that_are_no_ticks_become_dead_letters(bundles, records, tmp_path: Path) -> None:
    events = events_of(records)[:400]
    row = next(event for event in events[200:] if isinstance(event, FeatureRow))
    place = events.index(row)
    values = (1.0,) * len(REGIME.columns)
    wrong = [
        msgspec.structs.replace(row, feature_set="regime", values=values),
        msgspec.structs.replace(row, feature_set="no-such-set"),
        msgspec.structs.replace(row, values=row.values[:-1]),
    ]
    stage = Stage(tmp_path / "log.db", bundles["logistic"], [*events[:place], *wrong, *events[place:]])
    assert stage.run()
    letters = decoded(stage.log, DEADLETTER)
    assert [letter.raw for letter in letters] == [FEATURES.encode(each) for each in wrong]
    assert {letter.error for letter in letters} == {FeatureError.__name__}
    assert stage.predictions() == Live(bundles["logistic"]).feed(events)
    stage.log.close()


def test_which_rows_a_model_takes(bundles) -> None:
    regime = bundles["logistic"].manifest
    core = msgspec.structs.replace(regime, feature_set="core")
    sized = msgspec.structs.replace(regime, feature_set="core-sized")
    candle = msgspec.structs.replace(regime, feature_set="candle", feed="candles")
    taken = {
        manifest.feature_set: [
            name for name in (*TICK_SETS, "regime", "candle") if takes_rows(manifest, name)
        ]
        for manifest in (regime, core, sized, candle)
    }
    assert taken == {
        "regime": list(TICK_SETS),
        "core": ["core"],
        "core-sized": ["core-sized"],
        "candle": ["candle"],
    }
    assert [rows_of(each) for each in (regime, core, sized, candle)] == [
        "core",
        "core",
        "core-sized",
        "candle",
    ]
    for name in TICK_SETS:
        for feed in ("exchange", "advanced"):
            check_fits(regime, feed, PRODUCT, name)
    with pytest.raises(ModelError, match="takes feature set regime, these rows are candle"):
        check_fits(regime, "exchange", PRODUCT, "candle")
    with pytest.raises(ModelError, match="trained on BTC-USD, not ETH-USD"):
        check_fits(regime, "exchange", "ETH-USD", "core")
    with pytest.raises(ModelError, match="these rows are core"):
        check_fits(candle, "exchange", PRODUCT, "core")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "data")


def crown(home: Home, bundle: Bundle, **changes: object) -> str:
    """Make a bundle the champion of its product and feed; return its version."""
    changed = new_bundle(msgspec.structs.replace(bundle.manifest, **changes), bundle.files)
    save_bundle(changed, home.models)
    crown_champion(home.models, changed.manifest.name, changed.manifest.version)
    return changed.manifest.version


@pytest.mark.parametrize("dialect", ["auto", "exchange", "advanced"])
def test_a_model_of_regime_columns_is_chosen_on_either_feed(bundles, home: Home, dialect: str) -> None:
    version = crown(home, bundles["blend"])
    settings = settings_for(home.root, products=(PRODUCT,), dialect=dialect, feature_set="core-sized")
    served = choose_models(home, settings)
    assert served.dialect.name == ("exchange" if dialect == "auto" else dialect)
    assert served.bundles[PRODUCT].manifest.version == version
    assert served.feature_set == "core-sized"  # what the settings say: any ticks will do


@pytest.mark.parametrize("dialect", ["auto", "exchange", "advanced"])
def test_a_model_of_candles_is_never_chosen_for_a_live_job(bundles, home: Home, dialect: str) -> None:
    of_candles = {"feed": "candles", "target": "range"}
    version = crown(home, bundles["zscore"], **of_candles)
    settings = settings_for(home.root, products=(PRODUCT,), dialect=dialect)
    assert choose_models(home, settings).bundles == {}
    regime = crown(home, bundles["logistic"])
    assert choose_models(home, settings).bundles[PRODUCT].manifest.version == regime
    path = home.models / "zscore" / version
    assert load_bundle(path).manifest.feed == "candles"
    asked = settings_for(home.root, products=(PRODUCT,), dialect=dialect, model=str(path))
    with pytest.raises(ModelError, match="made of candles") as caught:
        choose_models(home, asked)
    assert "\n" not in str(caught.value)


def test_invariant_01_a_live_job_and_the_next_one_predict_as_in_a_batch(bundles, home: Home) -> None:
    """The second job has nothing but the archive to make the day behind it of."""
    bundle = bundles["blend"]
    crown(home, bundle)
    for begins_s in (0, 900):
        later = LaterMarket(SyntheticMarket(SEED, (PRODUCT,), ORIGIN_NS), ORIGIN_NS + begins_s * NS)
        report, _ = live_run(home.root, later, ticks_at_least(1_500), dialect="advanced", speed=600.0)
        assert report["predictions"] > 500
    made = [each for each in logged(home.root, "ticks.predictions") if isinstance(each, Prediction)]
    dataset = stored_for(home, bundle.manifest, "core", feed="advanced").dataset
    assert_equal_to_the_batch(made, dataset, bundle)
    assert len(np.unique(dataset.run)) == 2
    assert {(each.model, each.feature_set) for each in made} == {("blend", "regime")}
