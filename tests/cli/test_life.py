"""The verbs of the models' life: promote, rollback, retrain, tend."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kept_models import Kept
from made_bundles import FEED, PRODUCT, entry_of, make_bundle, spoil
from volspike.models.defaults import default_model
from volspike.models.standing import (
    Entry,
    Standing,
    crown_champion,
    place_challenger,
    standing_of,
)
from volspike.monitoring.journal import (
    CHALLENGER,
    DRIFT_ALARM,
    PROMOTED,
    RETRAIN_FAILED,
    RETRAIN_STARTED,
    ROLLED_BACK,
    JournalEntry,
    append_entry,
    read_journal,
)
from volspike.pipeline.home import Home
from volspike.pipeline.stored_data import newest_kind
from whole_runs import finished, one_line_failure, start, tree, volspike, wait_until

OTHER = "ETH-USD"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where no volspike.toml lies."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a data directory with a champion and a challenger."""
    home = Home(tmp_path / "data")
    champion, challenger = (make_bundle(home.models, seed).manifest for seed in (1, 2))
    crown_champion(home.models, champion.name, champion.version)
    place_challenger(home.models, challenger.name, challenger.version)
    return home


def standing(home: Home, product: str = PRODUCT) -> Standing:
    return standing_of(home.models, product, FEED)


def run(home: Home, verb: str, *arguments: object) -> dict[str, object]:
    ran = volspike(verb, *arguments, "--data-dir", home.root, "--json")
    assert ran.code == 0, ran.err
    found: dict[str, object] = ran.report
    return found


def refused(home: Home, verb: str, *arguments: object) -> str:
    """Run a verb that has to fail in one line and change nothing; return the line."""
    before = tree(home.root)
    ran = volspike(verb, *arguments, "--data-dir", home.root, "--json")
    line = one_line_failure(ran)
    assert {"error", "subject", "remedy"} <= set(ran.report)
    assert {**tree(home.root), **before} == tree(home.root)
    return line


def test_an_unproven_challenger_is_not_promoted_unless_it_is_forced(home: Home) -> None:
    before = standing(home)
    line = refused(home, "promote")
    assert "not promoted: " in line
    assert "not enough data" in line
    assert "use --force" in line
    assert read_journal(home.journal) == []
    after = run(home, "promote", "--force", "--reason", "a try")
    assert (after["version"], after["previous"], after["challenger"]) == (
        before.challenger.version,
        {"name": before.name, "version": before.version},
        None,
    )
    (told,) = read_journal(home.journal)
    assert (told.event, told.version, told.by) == (PROMOTED, before.challenger.version, "user")
    assert told.reason.startswith("forced over: ")
    assert "not enough data" in told.reason
    assert told.reason.endswith(": a try")


def test_a_promotion_by_force_says_what_it_overrides(home: Home) -> None:
    ran = volspike("promote", "--force", "--data-dir", home.root)
    assert ran.code == 0, ran.err
    assert "is forced over: " in ran.err
    assert "there is no finished block to compare" in ran.err
    third = entry_of(make_bundle(home.models, 3))
    ran = volspike("promote", f"{third.name}/{third.version}", "--force", "--data-dir", home.root)
    assert f"{third} is forced over: it is not on trial, so nothing was compared" in ran.err


def test_a_champion_that_is_damaged_is_no_hindrance_to_force(home: Home) -> None:
    champion, challenger = standing(home).champion, standing(home).challenger
    assert champion is not None
    spoil(home.models, champion)
    run(home, "promote", "--force")
    assert standing(home).champion == challenger
    assert "nothing was compared: " in read_journal(home.journal)[-1].reason


def test_a_model_by_its_name_needs_force_and_a_proven_challenger_does_not_exist_twice(home: Home) -> None:
    third = entry_of(make_bundle(home.models, 3))
    named = f"{third.name}/{third.version}"
    assert "it is not on trial" in refused(home, "promote", named)
    challenger = standing(home).challenger
    assert run(home, "promote", named, "--force")["version"] == third.version
    assert standing(home).challenger == challenger
    assert "it is the champion already" in refused(home, "promote", named, "--force")


@pytest.mark.parametrize(
    "content", [b"", b'{"product":"BTC-', b'{"product":"BTC-USD","feed":"exchange","x":1}']
)
def test_the_remedy_of_a_damaged_standing_works(content: bytes, home: Home) -> None:
    champion = standing(home).champion
    assert champion is not None
    path = home.models / "champions" / f"{PRODUCT}-{FEED}.json"
    path.write_bytes(content)
    named = f"{champion.name}/{champion.version}"
    line = refused(home, "promote", named, "--force")
    assert f"remove {path} and volspike promote NAME/VERSION --force" in line
    path.unlink()
    assert run(home, "promote", named, "--force")["version"] == champion.version
    assert standing(home).champion == champion


def test_a_damaged_standing_of_another_product_holds_up_no_promotion(home: Home) -> None:
    (home.models / "champions" / f"{OTHER}-{FEED}.json").write_text("{")
    champion, challenger = standing(home).champion, standing(home).challenger
    assert run(home, "promote", "--product", PRODUCT, "--force")["version"] == challenger.version
    assert (
        run(home, "promote", f"{champion.name}/{champion.version}", "--force")["version"] == champion.version
    )
    assert run(home, "rollback", "--product", PRODUCT)["version"] == challenger.version


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("nonsense", "it is not NAME/VERSION"),
        ("../../etc/passwd", "it is not NAME/VERSION"),
        ("logistic/" + "0" * 12, "0" * 12),
    ],
)
def test_what_names_no_model_is_told(named: str, words: str, home: Home) -> None:
    assert words in refused(home, "promote", named, "--force")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"product": OTHER}, f"it was trained on {OTHER}, not {PRODUCT}"),
        ({"feed": "advanced"}, "it was trained on advanced, not exchange"),
        ({"target": "std"}, "its target std is for study"),
    ],
)
def test_a_model_that_could_not_serve_is_not_promoted_even_by_force(
    changes: dict[str, str], words: str, home: Home
) -> None:
    other = entry_of(make_bundle(home.models, 4, **changes))
    named = f"{other.name}/{other.version}"
    assert words in refused(home, "promote", named, "--product", PRODUCT, "--feed", FEED, "--force")


def test_a_challenger_that_is_spoilt_is_not_promoted_even_by_force(home: Home) -> None:
    challenger = standing(home).challenger
    assert challenger is not None
    spoil(home.models, challenger)
    for force in ((), ("--force",)):
        assert challenger.version in refused(home, "promote", *force)


def test_of_several_products_one_is_chosen(home: Home) -> None:
    other = make_bundle(home.models, 5, product=OTHER).manifest
    crown_champion(home.models, other.name, other.version)
    for verb in ("promote", "rollback"):
        line = refused(home, verb)
        assert f"there are several: {PRODUCT} on {FEED}, {OTHER} on {FEED}" in line
        assert "--product" in line
        assert "names no champion" in refused(home, verb, "--product", "SOL-USD")
    assert "no challenger is on trial" in refused(home, "promote", "--product", OTHER)
    before = standing(home, OTHER)
    run(home, "promote", "--product", PRODUCT, "--force")
    assert standing(home, OTHER) == before


def test_rollback_goes_back_and_forth_and_to_the_model_of_the_package(home: Home) -> None:
    first, second = standing(home).champion, standing(home).challenger
    run(home, "promote", "--force")
    for expected in (first, second, first):
        run(home, "rollback", "--reason", "noisy")
        assert standing(home).champion == expected
    assert [each.event for each in read_journal(home.journal)] == [PROMOTED, *[ROLLED_BACK] * 3]
    assert read_journal(home.journal)[-1].reason == f"in place of {second}: noisy"
    assert read_journal(home.journal)[-1].detail == {"gone": str(second)}
    alone = Home(home.root.parent / "alone")
    one = entry_of(make_bundle(alone.models, 1))
    crown_champion(alone.models, one.name, one.version)
    assert default_model(PRODUCT) is not None
    packed = default_model(PRODUCT).manifest
    ran = volspike("rollback", "--data-dir", alone.root)
    assert f"the package's model {packed.name} {packed.version} serves again" in ran.out
    assert (standing(alone).champion, standing(alone).previous) == (None, one)
    assert read_journal(alone.journal)[-1].reason == f"in place of {one}"
    shown = volspike("models", "--data-dir", alone.root)
    serving = f"the package's model {packed.name} {packed.version} serves"
    assert f"{PRODUCT} has no champion of its own: {serving}" in shown.out
    (serves,) = run(alone, "models")["package"]
    assert (serves["product"], serves["version"]) == (PRODUCT, packed.version)
    run(alone, "rollback")
    assert standing(alone).champion == one
    assert run(alone, "models")["package"] == []


def test_from_the_model_of_the_package_to_another_the_one_of_before_is_kept(tmp_path: Path) -> None:
    home = Home(tmp_path / "data")
    one, two = (entry_of(make_bundle(home.models, seed)) for seed in (1, 2))
    crown_champion(home.models, one.name, one.version)
    run(home, "rollback")
    run(home, "promote", f"{two.name}/{two.version}", "--force")
    assert (standing(home).champion, standing(home).previous) == (two, one)
    run(home, "rollback")
    assert (standing(home).champion, standing(home).previous) == (one, two)


def test_a_first_champion_of_candles_has_nobody_behind_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "data")
    one = entry_of(make_bundle(home.models, 1, feed="candles"))
    crown_champion(home.models, one.name, one.version)
    assert default_model(PRODUCT) is not None
    assert "there is no champion before this one" in refused(home, "rollback")


def test_a_rollback_takes_a_challenger_that_comes_to_serve_out_of_the_shadow(home: Home) -> None:
    first = standing(home).champion
    assert first is not None
    run(home, "promote", "--force")
    place_challenger(home.models, first.name, first.version)
    run(home, "rollback")
    assert (standing(home).champion, standing(home).challenger) == (first, None)


def test_without_anything_to_go_back_to_it_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLSPIKE_DEFAULT_MODEL", "false")
    assert "there is no champion before this one" in refused(home, "rollback")
    empty = Home(home.root.parent / "empty")
    empty.create()
    assert "it names no champion" in refused(empty, "rollback")
    assert "it names no champion" in refused(empty, "promote")


def test_a_previous_champion_that_is_spoilt_is_not_gone_back_to(home: Home) -> None:
    first = standing(home).champion
    assert first is not None
    run(home, "promote", "--force")
    spoil(home.models, first)
    before = standing(home)
    assert first.version in refused(home, "rollback")
    assert standing(home) == before


@pytest.mark.parametrize("verb", ["promote", "rollback", "retrain", "tend"])
def test_a_data_directory_that_is_not_there_is_told(verb: str) -> None:
    ran = volspike(verb, "--data-dir", "nowhere", "--json")
    assert "no such data directory" in one_line_failure(ran)


def test_the_tables_of_people_name_all_three_places(home: Home) -> None:
    ran = volspike("promote", "--force", "--data-dir", home.root)
    assert ran.code == 0
    for place in ("champion", "previous", "challenger"):
        assert f"{place} of {PRODUCT} on {FEED}: " in ran.out
    assert str(home.journal) in ran.out


def test_retrain_puts_a_challenger_into_the_shadow(trained: Callable[[], Path]) -> None:
    home = Home(trained())
    champion = standing(home).champion
    ran = finished(
        start("retrain", "--data-dir", home.root, "--days", 0.065, "--by", "drift alarm", "--json")
    )
    assert ran.code == 0, ran.err
    assert ran.report["place"] == "challenger"
    made = Entry(ran.report["model"], ran.report["version"])
    assert (standing(home).champion, standing(home).challenger) == (champion, made)
    assert [(each.event, each.version, each.by) for each in read_journal(home.journal)] == [
        (RETRAIN_STARTED, "", "drift alarm"),
        (CHALLENGER, made.version, "drift alarm"),
    ]
    assert (made.path(home.models) / "card.md").exists()
    assert made.name in ran.report["mlflow"]


@pytest.mark.parametrize("market_ns", [-1, 2**62, 99_999_999_999_999_999_999_999])
def test_a_market_time_that_can_not_be_is_wrong_usage(
    market_ns: int, trained: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(trained())
    monkeypatch.setattr("volspike.pipeline.limits.one_thread", lambda: None)  # it is for a process
    ran = volspike("retrain", "--data-dir", home.root, "--market-ns", market_ns)
    assert ran.code == 2
    assert "--market-ns" in ran.err
    assert read_journal(home.journal) == []


def test_days_that_hold_no_row_are_told_and_not_ignored(trained: Callable[[], Path]) -> None:
    """The market is a day ahead of what is stored: its last minutes hold nothing."""
    home = Home(trained())
    day_ns = 86_400 * 10**9
    market_ns = newest_kind(home, PRODUCT, FEED).newest_ns + day_ns
    ran = finished(start("retrain", "--data-dir", home.root, "--days", 0.065, "--market-ns", market_ns))
    assert f"{PRODUCT} on {FEED}: no row is of " in one_line_failure(ran)
    assert [each.event for each in read_journal(home.journal)] == [RETRAIN_STARTED, RETRAIN_FAILED]


def test_retrain_without_rows_is_told(home: Home) -> None:
    before = tree(home.models)
    ran = finished(start("retrain", "--data-dir", home.root, "--json"))
    one_line_failure(ran)
    assert tree(home.models) == before
    assert read_journal(home.journal) == []


def test_tend_tells_what_the_journal_has_new_and_ends_in_time(home: Home) -> None:
    old = JournalEntry(market_ns=1, event="old", product=PRODUCT, feed=FEED, by="user")
    append_entry(home.journal, old)
    with Kept(home.root) as kept:
        kept.at(1_800 * 900_000)
    ran = finished(start("tend", "--data-dir", home.root, "--exit-after", 1, "--every", 0.2, "--json"))
    assert ran.code == 0, ran.err
    assert ran.report["rounds"] >= 1
    assert f"looks after the models of {PRODUCT} on {FEED}, by the log of {home.root}; nothing" in " ".join(
        ran.err.split()
    )
    assert all(each["event"] != "old" for each in ran.report["journal"])


def test_tend_ends_in_order_when_it_is_told_to(home: Home) -> None:
    process = start("tend", "--data-dir", home.root, "--every", 60, "--json")
    wait_until(lambda: (home.root / "log.db").exists())
    process.send_signal(signal.SIGTERM)
    ran = finished(process)
    assert ran.code in (0, -signal.SIGTERM), ran.err


def test_of_two_that_would_look_after_one_directory_the_second_is_told(home: Home) -> None:
    first = start("tend", "--data-dir", home.root, "--every", 60, "--json")
    wait_until(lambda: (home.root / "log.db").exists())
    line = one_line_failure(finished(start("tend", "--data-dir", home.root, "--json")))
    assert "another process looks after these models" in line
    first.send_signal(signal.SIGTERM)
    finished(first)
    ran = finished(start("tend", "--data-dir", home.root, "--exit-after", 0.1, "--json"))
    assert ran.code == 0, ran.err


def test_tend_beside_stages_writes_alarms_into_the_file_of_the_alerts(home: Home) -> None:
    process = start("tend", "--data-dir", home.root, "--every", 0.1, "--json")
    wait_until(lambda: home.alerts.exists())
    alarm = JournalEntry(
        market_ns=5, event=DRIFT_ALARM, product=PRODUCT, feed=FEED, version="a1", by="outcomes", reason="why"
    )
    append_entry(home.journal, alarm)
    wait_until(lambda: b"why" in home.alerts.read_bytes())
    process.send_signal(signal.SIGTERM)
    finished(process)
    (line,) = home.alerts.read_text().splitlines()
    assert json.loads(line)["kind"] == "drift"


def test_tend_delivers_alarms_that_were_raised_before_it_and_outlives_a_file_that_can_not_be_written(
    home: Home,
) -> None:
    alarm = JournalEntry(
        market_ns=5, event=DRIFT_ALARM, product=PRODUCT, feed=FEED, version="a1", by="outcomes", reason="why"
    )
    append_entry(home.journal, alarm)
    home.alerts.mkdir()
    process = start("tend", "--data-dir", home.root, "--every", 0.1, "--json")
    wait_until(lambda: (home.root / "log.db").exists())
    assert process.poll() is None
    home.alerts.rmdir()
    wait_until(lambda: home.alerts.is_file() and b"why" in home.alerts.read_bytes())
    process.send_signal(signal.SIGTERM)
    ran = finished(process)
    assert (ran.code, ran.report["trouble"]) == (0, None)


@pytest.mark.parametrize("verb", ["retrain", "drift"])
def test_a_verb_that_a_caretaker_began_ends_with_it(verb: str, home: Home) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    own = start(verb, "--data-dir", home.root, "--with-parent", os.getpid(), "--json")
    ran = finished(start(verb, "--data-dir", home.root, "--with-parent", gone.pid, "--json"))
    assert ran.code == -signal.SIGKILL
    one_line_failure(finished(own))  # nothing is stored


def test_tend_with_its_parent_ends_when_that_is_killed(home: Home, tmp_path: Path) -> None:
    """As beside a job that dies by kill -9: nobody is left to look after its models."""
    script = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([*sys.argv[2:], '--with-parent', str(os.getpid())])\n"
        "open(sys.argv[1], 'w').write(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    tend = [sys.executable, "-m", "volspike", "tend", "--data-dir", str(home.root), "--every", "0.1"]
    told = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", script, str(told), *tend])
    wait_until(lambda: (home.root / "log.db").exists() and told.exists() and bool(told.read_text()))
    child = int(told.read_text())

    def is_there() -> bool:
        try:
            return Path(f"/proc/{child}/stat").read_text().split()[2] != "Z"
        except FileNotFoundError:
            return False

    assert is_there()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not is_there(), 30.0)


def test_tend_whose_parent_was_gone_before_it_looked_ends_too(home: Home) -> None:
    """A job killed while its caretaker starts: the caretakers of a test once stayed for good."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    process = start("tend", "--data-dir", home.root, "--every", 0.1, "--with-parent", gone.pid, "--json")
    ran = finished(process)
    assert ran.code == 0, ran.err


def test_the_journal_is_one_object_a_line(home: Home) -> None:
    run(home, "promote", "--force")
    run(home, "rollback")
    lines = home.journal.read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == [PROMOTED, ROLLED_BACK]
