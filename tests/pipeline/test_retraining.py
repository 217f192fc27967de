"""A retraining: whatever ends it, the champion stays, the journal tells, and the next begins clean."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

import killed_retraining
from killed_retraining import REQUEST, SEED
from made_bundles import FEED, PRODUCT, entry_of, make_bundle
from volspike.clock import SystemClock
from volspike.errors import LeakError, ModelError
from volspike.exchange.candles import FEED as CANDLES
from volspike.models.bundle import load_bundle
from volspike.models.manifest import TauEntry
from volspike.models.standing import (
    Entry,
    Standing,
    change_standing,
    crown_champion,
    place_challenger,
    standing_of,
)
from volspike.monitoring.journal import (
    BY_ALARM,
    BY_OUTCOMES,
    CHALLENGER,
    DRIFT_ALARM,
    PROMOTED,
    RETIRED,
    RETRAIN_ABANDONED,
    RETRAIN_FAILED,
    RETRAIN_STARTED,
    JournalEntry,
    append_entry,
    read_journal,
)
from volspike.pipeline import retraining
from volspike.pipeline.beside import Beside
from volspike.pipeline.home import Home
from volspike.pipeline.retraining import Request, retrain
from volspike.pipeline.served_models import unfit
from volspike.pipeline.stored_data import newest_kind
from whole_runs import LIMIT_S, finished, one_line_failure, settings_for, start, tree, volspike, wait_until

SCRIPT = Path(killed_retraining.__file__)
DAYS = 0.065  # of two hours of history: other rows than the champion's


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a data directory with a champion and nothing else."""
    home = Home(tmp_path / "data")
    champion = make_bundle(home.models, 1).manifest
    crown_champion(home.models, champion.name, champion.version)
    return home


def begin(home: Home, what: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(home.root), what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def standing(home: Home) -> Standing:
    return standing_of(home.models, PRODUCT, FEED)


def events(home: Home) -> list[str]:
    return [each.event for each in read_journal(home.journal)]


def last(home: Home) -> JournalEntry:
    return read_journal(home.journal)[-1]


BEGUN_AGAIN = [RETRAIN_STARTED, RETRAIN_ABANDONED, RETRAIN_STARTED, CHALLENGER]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("leased", [RETRAIN_STARTED, CHALLENGER]),
        ("started", BEGUN_AGAIN),
        ("saved", BEGUN_AGAIN),
        ("placed", BEGUN_AGAIN),
        ("told", [RETRAIN_STARTED, CHALLENGER, RETRAIN_STARTED, CHALLENGER]),
    ],
)
def test_invariant_06_killed_at_each_step_the_next_begins_clean(
    step: str, expected: list[str], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = standing(home).champion
    killed = begin(home, step)
    killed.communicate(timeout=LIMIT_S)
    assert killed.returncode == -9
    assert standing(home).champion == champion
    assert home.retrain_lock.exists()
    retrained(home, monkeypatch)
    assert events(home) == expected
    made = entry_of(make_bundle(home.models, SEED))
    assert (standing(home).champion, standing(home).challenger) == (champion, made)
    assert last(home).version == made.version
    assert not home.retrain_lock.exists()
    assert not list(home.root.rglob(".tmp-*"))


def test_fault_42_of_two_at_once_the_second_is_told_so_in_a_line(trained: Callable[[], Path]) -> None:
    home = Home(trained())
    first = begin(home, "wait")
    assert first.stdout is not None
    assert first.stdout.readline() == "started\n"
    ran = finished(start("retrain", "--data-dir", home.root, "--json"))
    line = one_line_failure(ran)
    assert f"retraining: process {first.pid} on " in line
    assert ran.report["remedy"].startswith("wait for it")
    assert events(home) == [RETRAIN_STARTED]
    first.communicate("", timeout=LIMIT_S)
    assert first.returncode == 0
    assert events(home) == [RETRAIN_STARTED, CHALLENGER]


def test_fault_42_out_of_memory_it_is_told_and_the_models_stay(home: Home) -> None:
    before = tree(home.models)
    process = begin(home, "memory")
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1
    assert "ModelError: retraining: out of memory; raise retrain_memory_mb" in err.splitlines()[-1]
    assert events(home) == [RETRAIN_STARTED, RETRAIN_FAILED]
    assert last(home).reason == "out of memory"
    assert tree(home.models) == before
    assert not home.retrain_lock.exists()


def unheard(*_report: object) -> None:
    raise AssertionError("no report of drift was asked for")


def ended(process: Beside) -> None:
    def is_over() -> bool:
        process.look(unheard)
        return process._verb._running is None

    wait_until(is_over)


@pytest.mark.parametrize("setting", [("RETRAIN_MEMORY_MB", "256"), ("RETRAIN_LIMIT_S", "0.5")])
def test_fault_42_a_process_that_dies_of_its_bounds_is_told_of_by_who_began_it(
    setting: tuple[str, str], trained: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(trained())
    before = tree(home.models)
    monkeypatch.setenv(f"VOLSPIKE_{setting[0]}", setting[1])
    process = Beside(home, 60.0, lambda: 0.0)
    newest_ns = newest_kind(home, PRODUCT, FEED).newest_ns
    process.retrain(Request(PRODUCT, FEED, "drift alarm", newest_ns))
    ended(process)
    assert events(home)[0] == RETRAIN_STARTED
    assert events(home)[1:] in ([RETRAIN_ABANDONED], [RETRAIN_FAILED])
    assert last(home).by == "drift alarm"
    assert last(home).reason
    assert tree(home.models) == before


def test_one_over_its_time_is_killed_and_told_of(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, str(SCRIPT), str(home.root), "stall"]
    monkeypatch.setattr("volspike.pipeline.background._command", lambda *_given: command)
    now_s = 0.0
    process = Beside(home, 100.0, lambda: now_s)
    process.retrain(REQUEST)
    wait_until(lambda: events(home) == [RETRAIN_STARTED])
    process.look(unheard)
    assert events(home) == [RETRAIN_STARTED]
    now_s = 131.0
    process.look(unheard)
    assert events(home) == [RETRAIN_STARTED, RETRAIN_ABANDONED]
    assert "code -9" in last(home).reason
    assert standing(home).challenger is None


def test_one_at_a_time_and_after_a_failure_not_at_once_again(home: Home) -> None:
    """No rows are stored, so every one fails."""
    now_s = 0.0
    process = Beside(home, 60.0, lambda: now_s)
    process.retrain(REQUEST)
    first = process._verb._running
    process.retrain(REQUEST)
    assert process._verb._running is first is not None
    ended(process)
    assert events(home) == [RETRAIN_STARTED, RETRAIN_FAILED]
    assert "there are no features" in last(home).reason
    process.retrain(REQUEST)
    assert process._verb._running is None
    process.retrain(Request("ETH-USD", FEED, "schedule", 1))
    assert process._verb._running is not None, "another product has its turn"
    process.close()
    assert process._verb._running is None
    now_s = 301.0
    process.retrain(REQUEST)
    assert process._verb._running is not None
    process.close()


@pytest.mark.parametrize("stores", [True, False])
def test_where_no_job_stores_rows_a_verb_is_told_to(
    stores: bool, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[str, ...]] = []
    process = Beside(home, 60.0, lambda: 0.0, lambda: stores)
    monkeypatch.setattr(process._verb, "begin", begun.append)
    process.retrain(REQUEST)
    process.report_drift(standing(home))
    assert [(words[0], "--replay" in words) for words in begun] == [("retrain", stores), ("drift", stores)]


def test_a_full_disk_is_told_and_the_models_stay(trained: Callable[[], Path]) -> None:
    """A process that may write no file beyond 20 kB, as if the disk were full."""
    home = Home(trained())
    before = {path: content for path, content in tree(home.models).items() if content != "directory"}
    ran = subprocess.run(
        [sys.executable, "-m", "volspike", "retrain", "--data-dir", str(home.root), "--days", str(DAYS)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert ran.stderr.splitlines()[-1].startswith("volspike: ")
    assert "can't be written" in ran.stderr.splitlines()[-1]
    assert events(home) == [RETRAIN_STARTED, RETRAIN_FAILED]
    assert "can't be written" in last(home).reason
    after = tree(home.models)
    assert {path: after.get(path) for path in before} == before
    assert standing(home).challenger is None


def test_a_leak_places_nothing(trained: Callable[[], Path]) -> None:
    home = Home(trained())
    before = tree(home.models)
    settings = settings_for(home.root, target="next-row", tau_mode="fixed")
    with pytest.raises(LeakError):
        retrain(home, settings, REQUEST_OF_HISTORY, SystemClock(), lambda _words: None)
    assert events(home) == [RETRAIN_STARTED, RETRAIN_FAILED]
    assert last(home).reason.startswith("leak audit: it found ")
    assert tree(home.models) == before


REQUEST_OF_HISTORY = Request(PRODUCT, FEED, "user", 1_893_463_200 * 10**9)


def test_with_a_fixed_tau_the_challenger_keeps_that_of_the_champion(trained: Callable[[], Path]) -> None:
    """Fitted anew each time, it would mean something else by a spike, and no trial could compare the two."""
    home = Home(trained())
    tau = TauEntry(mode="fixed", quantile=0.95, floor_bps=4.0, fixed_bps=5.125)
    champion = make_bundle(home.models, 1, tau=tau).manifest
    crown_champion(home.models, champion.name, champion.version)
    settings = settings_for(home.root, tau_mode="fixed")
    made = retrain(home, settings, REQUEST_OF_HISTORY, SystemClock(), lambda _words: None)
    challenger = load_bundle(home.models / made.model / made.version).manifest
    assert made.place == "challenger"
    assert challenger.tau == tau
    assert unfit(champion, challenger, keeps_regime=True) == ""
    assert "is that of the champion" in made.report["audit"]["checks"]["tau"]["detail"]


def retrained(home: Home, monkeypatch: pytest.MonkeyPatch, **given: object) -> retraining.Retrained:
    monkeypatch.setattr(retraining, "train_models", killed_retraining.train_at_once)
    settings = settings_for(home.root, **given)
    return retrain(home, settings, REQUEST, SystemClock(), lambda _words: None)


UNFIT = {
    "tau": {"tau": TauEntry(mode="fixed", quantile=0.5, floor_bps=4.0, fixed_bps=5.125)},
    "increment": {"increment": 0.5},
}


@pytest.mark.parametrize("changed", UNFIT)
def test_what_can_not_be_tried_beside_the_champion_takes_no_place_and_the_way_out_is_told(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings changed since the champion was made: such a trial graded nothing and held its place."""
    home = Home(tmp_path / "data")
    champion = make_bundle(home.models, 1, **UNFIT[changed]).manifest
    before = crown_champion(home.models, champion.name, champion.version)
    made = entry_of(make_bundle(home.models, SEED))
    with pytest.raises(ModelError, match="it can't be tried beside") as refused:
        retrained(home, monkeypatch)
    assert f"volspike promote {made.name}/{made.version} --force" in refused.value.remedy
    assert standing(home) == before
    assert events(home) == [RETRAIN_STARTED, RETRAIN_FAILED]
    assert "it can't be tried beside" in last(home).reason


def test_what_comes_out_as_the_champion_again_is_no_challenger(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = entry_of(make_bundle(home.models, SEED))
    before = crown_champion(home.models, same.name, same.version)
    with pytest.raises(ModelError, match="it is the champion"):
        retrained(home, monkeypatch)
    assert standing(home) == before
    assert last(home).event == RETRAIN_FAILED
    assert "it is the champion" in last(home).reason


def test_the_same_rows_make_nothing_new_which_is_told_before_anything_is_scored(
    trained: Callable[[], Path],
) -> None:
    home = Home(trained())
    before, said = tree(home.models), list[str]()
    with pytest.raises(ModelError, match="nothing new: the same rows make the same model"):
        retrain(home, settings_for(home.root), REQUEST_OF_HISTORY, SystemClock(), said.append)
    assert events(home) == [RETRAIN_STARTED, RETRAIN_FAILED]
    assert last(home).reason.startswith(f"{PRODUCT} on {FEED}: nothing new")
    assert tree(home.models) == before
    assert not any(words.startswith("scoring") for words in said)


def test_a_scheduled_step_says_why(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    retrained(home, monkeypatch, retrain_every_hours=6.0)
    assert [each.reason for each in read_journal(home.journal)] == ["schedule: every 6 h"] * 2


def test_of_candles_the_first_is_the_champion_whatever_the_package_serves_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_candles(home: Home, *given: Any, **_named: object) -> object:
        manifest = make_bundle(home.models, SEED, feed=CANDLES).manifest
        given[-1](home.models, manifest.name, manifest.version)
        return SimpleNamespace(
            result=SimpleNamespace(bundles={"best": SimpleNamespace(manifest=manifest)}, champion="best"),
            as_dict=dict,
        )

    monkeypatch.setattr(retraining, "train_models", train_candles)
    home = Home(tmp_path / "candles")
    request = Request(PRODUCT, CANDLES, "user", 10**18)
    settings = settings_for(home.root, default_model=True)
    assert retrain(home, settings, request, SystemClock(), lambda _words: None).place == "champion"


def test_without_a_champion_it_is_the_first_unless_another_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, beside, other_feed = (Home(tmp_path / name) for name in ("first", "beside", "other"))
    assert retrained(first, monkeypatch).place == "champion"
    assert (last(first).event, last(first).reason) == (PROMOTED, "the first champion")
    assert retrained(beside, monkeypatch, default_model=True).place == "challenger"
    free = make_bundle(other_feed.models, 5, feed="advanced").manifest
    crown_champion(other_feed.models, free.name, free.version)
    assert retrained(other_feed, monkeypatch).place == "challenger"
    assert last(other_feed).event == CHALLENGER


def test_a_first_champion_takes_no_throne_that_was_given_away_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)
    other = make_bundle(home.models, 5).manifest
    real = retraining.change_standing

    def too_late(*given: Any) -> Standing:
        crown_champion(home.models, other.name, other.version)
        return real(*given)

    monkeypatch.setattr(retraining, "change_standing", too_late)
    with pytest.raises(ModelError, match=f"{other.version} has become champion meanwhile"):
        retrained(home, monkeypatch)
    assert standing(home).version == other.version
    assert last(home).event == RETRAIN_FAILED


def test_another_challenger_takes_the_place_of_the_one_before(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = entry_of(make_bundle(home.models, 2))
    place_challenger(home.models, before.name, before.version)
    made = retrained(home, monkeypatch)
    assert standing(home).challenger == Entry(made.model, made.version) != before
    told = [(each.event, each.version) for each in read_journal(home.journal)]
    assert told == [(RETRAIN_STARTED, ""), (RETIRED, before.version), (CHALLENGER, made.version)]
    assert read_journal(home.journal)[1].reason == f"replaced by {made.model} {made.version}"


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        (BY_ALARM, "drift alarm on outcomes of logistic {} at 2001-09-09T01:29:59Z"),
        ("user", ""),
    ],
)
def test_one_that_an_alarm_has_begun_says_which(
    by: str, reason: str, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = standing(home).version
    for market_s, version in ((999_998_999, champion), (999_999_998, "0" * 12), (3_000_000_000, champion)):
        alarm = JournalEntry(
            market_ns=market_s * 10**9,
            event=DRIFT_ALARM,
            product=PRODUCT,
            feed=FEED,
            model="logistic",
            version=version,
            by=BY_OUTCOMES,
        )
        append_entry(home.journal, alarm)
    monkeypatch.setattr(retraining, "train_models", killed_retraining.train_at_once)
    request = replace(REQUEST, by=by)
    retrain(home, settings_for(home.root), request, SystemClock(), lambda _words: None)
    told = [(each.event, each.reason) for each in read_journal(home.journal)[3:]]
    reason = reason.format(champion)
    assert told == [(RETRAIN_STARTED, reason), (CHALLENGER, reason)]


@pytest.mark.parametrize("is_another", [True, False])
def test_what_it_replaces_is_what_stands_there_when_it_is_placed(
    is_another: bool, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has put another on trial since, or ended the trial."""
    before, other = (entry_of(make_bundle(home.models, seed)) for seed in (2, 3))
    if not is_another:
        place_challenger(home.models, before.name, before.version)

    def meanwhile(*_given: object) -> None:
        challenger = other if is_another else None
        change_standing(
            home.models, PRODUCT, FEED, lambda now: msgspec.structs.replace(now, challenger=challenger)
        )

    monkeypatch.setattr(retraining, "_check_comparable", meanwhile)
    retrained(home, monkeypatch)
    retired = [each.version for each in read_journal(home.journal) if each.event == RETIRED]
    assert retired == ([other.version] if is_another else [])


def test_a_retraining_of_minutes_is_refused_and_the_challenger_stays(trained: Callable[[], Path]) -> None:
    home = Home(trained())
    on_trial = entry_of(make_bundle(home.models, 2))
    place_challenger(home.models, on_trial.name, on_trial.version)
    before = standing(home)
    line = one_line_failure(volspike("retrain", "--data-dir", home.root, "--days", 0.01))
    assert "too little to learn from: fit has 5 separate labelled minutes" in line
    assert events(home) == [RETRAIN_STARTED, RETRAIN_FAILED]
    assert "too little to learn from" in last(home).reason
    assert standing(home) == before


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), ImportError("no memory\nfor it")])
def test_what_a_library_raises_is_told_too(
    error: Exception, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: object, **_named: object) -> None:
        raise error

    monkeypatch.setattr(retraining, "train_models", fail)
    with pytest.raises(ModelError, match=type(error).__name__):
        retrain(home, settings_for(home.root), REQUEST, SystemClock(), lambda _words: None)
    assert last(home).event == RETRAIN_FAILED
    assert last(home).reason.startswith(type(error).__name__)
    assert "\n" not in last(home).reason
