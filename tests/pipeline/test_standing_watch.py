"""A live job follows a promotion without a restart, and leaves what does not fit."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from killed_job import frames_from
from made_bundles import FEED, PRODUCT, entry_of, make_bundle, spoil
from volspike.clock import SimulatedClock
from volspike.models.bundle import Bundle
from volspike.models.defaults import default_model
from volspike.models.manifest import WEIGHTS_FILE
from volspike.models.standing import crown_champion, place_challenger
from volspike.pipeline import assembly, standing_watch
from volspike.pipeline.assembly import LiveJob, open_live
from volspike.pipeline.home import Home
from volspike.pipeline.promotion import roll_back
from volspike.pipeline.served_models import on_shelf
from volspike.pipeline.standing_watch import LOOKS_BETWEEN, LOOKS_FOR_CHALLENGER
from volspike.records import Alert, Outcome, Prediction
from whole_runs import ORIGIN_NS, logged, settings_for

ALERTS = {"alert_open": 1e-9, "alert_close": 1e-9, "alert_cooldown_s": 5.0}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "data")


def crown(home: Home, seed: int, **changes: object) -> Bundle:
    bundle = make_bundle(home.models, seed, **changes)
    crown_champion(home.models, bundle.manifest.name, bundle.manifest.version)
    return bundle


def place(home: Home, seed: int, **changes: object) -> Bundle:
    bundle = make_bundle(home.models, seed, **changes)
    place_challenger(home.models, bundle.manifest.name, bundle.manifest.version)
    return bundle


class Run:
    """A live job in this process; ``until`` feeds it frames, ``look`` has it see to the standings."""

    def __init__(self, home: Home, **given: object) -> None:
        self.home = home
        self.job: LiveJob = open_live(settings_for(home.root, **{**ALERTS, **given}), SimulatedClock(), ())
        self.job.pipeline.begin("s")
        self._at_s = 0

    def until(self, second: int) -> None:
        for receive_ns, raw in frames_from(self._at_s, second):
            self.job.pipeline.frame("s", receive_ns, raw, 0)
        self._at_s = second

    def look(self) -> int:
        swaps = self.job._watch.poll()
        for swap in swaps:
            asyncio.run(self.job.serve(swap))
        return len(swaps)

    def end(self) -> tuple[list[Prediction], list[Outcome], list[Alert]]:
        self.job.pipeline.end("s", "stop")
        self.job.pipeline.finish()
        self.job.close()
        found = [logged(self.home.root, f"ticks.{name}") for name in ("predictions", "outcomes", "alerts")]
        return found[0], found[1], found[2]  # type: ignore[return-value]


@pytest.fixture
def run(home: Home) -> Iterator[Run]:
    running: list[Run] = []

    def begin(**given: object) -> Run:
        running.append(Run(home, **given))
        return running[-1]

    yield begin  # type: ignore[misc]
    for each in running:
        each.job.close()


def versions(predictions: list[Prediction]) -> list[tuple[str, str | None]]:
    """Return champion and challenger in the order in which they came, each pair once."""
    return list(dict.fromkeys((made.model_version, made.challenger_version) for made in predictions))


def test_a_live_job_follows_trial_promotion_and_rollback_without_a_restart(home: Home, run) -> None:
    one = crown(home, 1).manifest.version
    job = run()
    job.until(90)
    assert job.look() == 0
    two = place(home, 2).manifest.version
    assert job.look() == 1
    assert job.look() == 0
    job.until(120)
    crown_champion(home.models, "logistic", two)
    assert job.look() == 1
    assert job.job.bundles[PRODUCT].manifest.version == two
    job.until(150)
    roll_back(home, settings_for(home.root), PRODUCT, FEED, "user", "", ORIGIN_NS)
    assert job.look() == 1
    job.until(240)
    predictions, outcomes, alerts = job.end()
    assert versions(predictions) == [(one, None), (one, two), (two, None)]
    assert predictions[-1].model_version == one
    assert len({made.identity for made in predictions}) == len(predictions)
    assert sorted(each.prediction_id for each in outcomes) == sorted(made.id for made in predictions)
    by_id = {made.id: made for made in predictions}
    assert all(by_id[each.prediction_id].p_spike == each.p_spike for each in outcomes)
    (opened, closed) = alerts
    assert (opened.id, opened.state, closed.id, closed.state) == (opened.id, "opened", opened.id, "closed")


def test_a_challenger_in_the_shadow_changes_no_prediction(home: Home, run, tmp_path: Path) -> None:
    one = crown(home, 1)
    place(home, 2)
    job = run()
    job.until(150)
    beside, _, _ = job.end()
    other = Home(tmp_path / "alone")
    crown(other, 1)
    lone = Run(other)
    lone.until(150)
    alone, _, _ = lone.end()
    shadow = ("challenger", "challenger_version", "challenger_p_spike", "challenger_sigma_bps")
    plain = [msgspec.structs.replace(m, **dict.fromkeys(shadow), latency_ns=0) for m in beside]
    assert plain == [msgspec.structs.replace(made, latency_ns=0) for made in alone]
    assert {made.model_version for made in beside} == {one.manifest.version}
    assert all(made.challenger_p_spike == made.p_spike for made in beside), "the same weights by another name"


def other_tau() -> dict[str, object]:
    known = default_model(PRODUCT)
    assert known is not None
    return {"tau": msgspec.structs.replace(known.manifest.tau, quantile=0.5)}


@pytest.mark.parametrize("kind", ["tau", "increment", "spoilt", "no standing"])
def test_a_champion_that_can_not_take_over_is_left_with_a_line_in_the_log(
    kind: str, home: Home, run, capsys: pytest.CaptureFixture[str]
) -> None:
    one = crown(home, 1).manifest.version
    job = run()
    job.until(70)
    if kind == "no standing":
        (home.models / "champions" / f"{PRODUCT}-{FEED}.json").write_text("{")
    elif kind == "spoilt":
        spoil(home.models, entry_of(crown(home, 2)))
    else:
        crown(home, 2, **(other_tau() if kind == "tau" else {"increment": 0.5}))
    capsys.readouterr()
    assert job.look() == 0
    said = capsys.readouterr()
    wanted = "the models stay as they are" if kind in ("spoilt", "no standing") else "after a restart only"
    assert (said.out + said.err).count(wanted) == 1
    assert job.look() == 0
    job.until(120)
    predictions, _, _ = job.end()
    assert versions(predictions) == [(one, None)]
    assert len(predictions) > 20


def test_what_could_not_be_read_once_is_tried_again_and_told_once(
    home: Home, run, capsys: pytest.CaptureFixture[str]
) -> None:
    crown(home, 1)
    job = run()
    two = crown(home, 2)
    weights = entry_of(two).path(home.models) / WEIGHTS_FILE
    sound = weights.read_bytes()
    spoil(home.models, entry_of(two))
    capsys.readouterr()
    assert [job.look() for _ in range(2 * LOOKS_BETWEEN)] == [0] * (2 * LOOKS_BETWEEN)
    said = capsys.readouterr()
    assert (said.out + said.err).count("the models stay as they are") == 1
    weights.write_bytes(sound)
    assert sum(job.look() for _ in range(LOOKS_BETWEEN)) == 1
    assert job.job.bundles[PRODUCT].manifest.version == two.manifest.version
    # A standing that changes is looked at without waiting.
    spoil(home.models, entry_of(crown(home, 3)))
    assert job.look() == 0
    four = crown(home, 4)
    assert job.look() == 1
    assert job.job.bundles[PRODUCT].manifest.version == four.manifest.version


@pytest.mark.parametrize("when", ["before the start", "later"])
def test_a_challenger_that_could_not_be_read_once_is_tried_again_and_told_once(
    when: str, home: Home, run, capsys: pytest.CaptureFixture[str]
) -> None:
    crown(home, 1)
    job = run() if when == "later" else None
    two = place(home, 2)
    weights = entry_of(two).path(home.models) / WEIGHTS_FILE
    sound = weights.read_bytes()
    spoil(home.models, entry_of(two))
    capsys.readouterr()
    job = job or run()
    looks = LOOKS_FOR_CHALLENGER + 1
    assert [job.look() for _ in range(looks)] == [0] * looks
    said = capsys.readouterr()
    assert (said.out + said.err).count("the challenger can't be tried") == 1
    weights.write_bytes(sound)
    assert sum(job.look() for _ in range(LOOKS_FOR_CHALLENGER)) == 1
    assert job.job._watch._served.challengers[PRODUCT].manifest.version == two.manifest.version


def test_a_champion_that_can_not_take_over_is_told_once_while_its_challenger_is_tried_again(
    home: Home, run, capsys: pytest.CaptureFixture[str]
) -> None:
    crown(home, 1)
    job = run()
    crown(home, 2, increment=0.5)
    spoil(home.models, entry_of(place(home, 3)))
    capsys.readouterr()
    for _ in range(LOOKS_FOR_CHALLENGER + 1):
        assert job.look() == 0
    said = capsys.readouterr()
    assert (said.out + said.err).count("after a restart only") == 1


def test_a_challenger_that_is_loaded_stays_where_its_files_can_not_be_read_again(home: Home, run) -> None:
    crown(home, 1)
    two = place(home, 2)
    job = run()
    spoil(home.models, entry_of(two))
    crown(home, 3)
    assert job.look() == 1
    challenger = job.job._watch._served.challengers[PRODUCT]
    assert challenger.manifest.version == two.manifest.version


def test_a_promotion_while_the_job_was_starting_is_followed(home: Home, run, monkeypatch) -> None:
    """A watch that looked for changes alone missed it: it begins long after the models were chosen."""
    crown(home, 1)
    real = assembly.recover

    def recover(*given: object) -> object:
        crown(home, 2)
        return real(*given)

    monkeypatch.setattr(assembly, "recover", recover)
    job = run()
    assert job.look() == 1
    assert job.look() == 0


def test_a_disk_that_refuses_ends_no_following(
    home: Home, run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As when no file can be opened any more: the look ended with the task that follows, and nobody heard."""
    crown(home, 1)
    job = run()
    two = crown(home, 2)
    capsys.readouterr()

    def refuse(_self: Path) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", refuse)
        assert [job.look(), job.look()] == [0, 0]
    said = capsys.readouterr()
    assert (said.out + said.err).count("Too many open files") == 1
    assert job.look() == 1
    assert job.job.bundles[PRODUCT].manifest.version == two.manifest.version


def test_a_challenger_that_does_not_fit_is_not_tried(home: Home, run) -> None:
    one = crown(home, 1).manifest.version
    place(home, 2, **other_tau())
    job = run()
    job.until(90)
    spoil(home.models, entry_of(place(home, 3)))
    assert job.look() == 0
    job.until(120)
    predictions, _, _ = job.end()
    assert versions(predictions) == [(one, None)]


def test_a_first_model_serves_without_a_restart_and_remembers_what_came_before(
    home: Home, run, tmp_path: Path
) -> None:
    job = run(default_model=False)
    job.until(100)
    assert job.look() == 0
    one = crown(home, 1).manifest.version
    assert job.look() == 1
    two = place(home, 2).manifest.version
    job.until(120)
    assert job.look() == 1
    job.until(240)
    predictions, outcomes, alerts = job.end()
    assert versions(predictions) == [(one, None), (one, two)]
    assert ORIGIN_NS + 100 * 10**9 < predictions[0].event_ns < ORIGIN_NS + 102 * 10**9
    assert sorted(each.prediction_id for each in outcomes) == sorted(made.id for made in predictions)
    assert [each.state for each in alerts] == ["opened", "closed"]
    # It says what the same model would have said, had it served from the begin.
    other = Home(tmp_path / "from the begin")
    crown(other, 1)
    lone = Run(other)
    lone.until(240)
    said = {made.identity: _said(made) for made in lone.end()[0]}
    assert [_said(made) for made in predictions] == [said[made.identity] for made in predictions]


def _said(made: Prediction) -> tuple[float, ...]:
    return made.p_spike, made.sigma_bps, made.tau_bps, made.sigma_now_bps


@pytest.mark.parametrize("damage", ["standing", "bundle"])
def test_what_is_damaged_of_one_product_keeps_nothing_from_another(
    damage: str, home: Home, run, capsys: pytest.CaptureFixture[str]
) -> None:
    crown(home, 1)
    job = run(products=(PRODUCT, "ETH-USD"))
    if damage == "bundle":
        spoil(home.models, entry_of(crown(home, 2, product="ETH-USD")))
    else:
        (home.models / "champions" / f"ETH-USD-{FEED}.json").write_text("{")
    two = crown(home, 3)
    capsys.readouterr()
    assert [job.look() for _ in range(2 * LOOKS_BETWEEN)] == [1] + [0] * (2 * LOOKS_BETWEEN - 1)
    assert job.job.bundles[PRODUCT].manifest.version == two.manifest.version
    said = capsys.readouterr()
    assert (said.out + said.err).count("the models stay as they are") == 1


def test_a_first_model_of_other_rows_waits_for_a_restart(
    home: Home, run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = run(default_model=False, feature_set="core")
    job.until(70)
    one = crown(home, 1)
    of_flow = replace(one, manifest=msgspec.structs.replace(one.manifest, feature_set="flow"))
    real = standing_watch.choose_models
    monkeypatch.setattr(
        standing_watch, "choose_models", lambda *given: replace(real(*given), bundles={PRODUCT: of_flow})
    )
    capsys.readouterr()
    assert [job.look(), job.look()] == [0, 0]
    said = capsys.readouterr()
    assert (said.out + said.err).count("it takes rows of flow, here are rows of core") == 1
    job.until(90)
    assert job.end()[0] == []


def test_a_job_that_was_told_its_model_keeps_it(home: Home, run) -> None:
    one = crown(home, 1).manifest.version
    job = run(model=f"{home.models}/logistic/{one}")
    crown(home, 2)
    assert job.look() == 0
    job.until(90)
    assert versions(job.end()[0]) == [(one, None)]


def test_predictions_of_a_model_past_its_expiry_are_marked_stale_until_another_serves(
    home: Home, run
) -> None:
    day_ns = 86_400 * 10**9
    old = (1, ORIGIN_NS + 80 * 10**9 - day_ns)
    crown(home, 1, span_ns=old)
    job = run(model_expiry_days=1.0)
    job.until(100)
    crown(home, 2, span_ns=(1, ORIGIN_NS))
    assert job.look() == 1
    job.until(120)
    predictions, _, _ = job.end()
    stale = [(made.event_ns - ORIGIN_NS) // 10**9 for made in predictions if made.stale]
    assert min(stale) >= 80
    assert max(stale) <= 100
    fresh = [made for made in predictions if not made.stale]
    assert {made.event_ns < ORIGIN_NS + 80 * 10**9 for made in fresh} == {True, False}


def test_a_state_is_gone_on_with_by_the_model_of_the_package_too(home: Home) -> None:
    known = default_model(PRODUCT)
    assert known is not None
    name, version = known.manifest.name, known.manifest.version
    found = on_shelf(home, name, version)
    assert found is not None
    assert found.manifest == known.manifest
    assert on_shelf(home, name, "0" * 12) is None
    one = make_bundle(home.models, 1).manifest
    again = on_shelf(home, one.name, one.version)
    assert again is not None
    assert again.manifest == one
    spoil(home.models, entry_of(again))
    assert on_shelf(home, one.name, one.version) is None


def test_back_to_the_model_of_the_package_and_forth(home: Home, run) -> None:
    one = crown(home, 1)
    job = run(default_model=True)
    job.until(80)
    settings = settings_for(home.root, default_model=True)
    after = roll_back(home, settings, PRODUCT, FEED, "user", "", 1)
    assert (after.champion, after.previous) == (None, entry_of(one))
    assert job.look() == 1
    job.until(100)
    again = roll_back(home, settings, PRODUCT, FEED, "user", "", 2)
    assert (again.champion, again.previous) == (entry_of(one), None)
    assert job.look() == 1
    job.until(120)
    known = default_model(PRODUCT)
    assert known is not None
    made = versions(job.end()[0])
    assert made == [(one.manifest.version, None), (known.manifest.version, None)]
