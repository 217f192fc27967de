"""The caretaker on made ledgers: what is better is promoted, once; all else is not, and it says why."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from caretaker_models import BEGIN_S, DAY_S, END_S, EVERY_S, ROWS, TRUE, WEAK, Models, lines

from kept_models import NS, Kept, graded_rows, write_ledger
from made_bundles import FEED, PRODUCT, entry_of, make_bundle, spoil
from volspike.errors import ModelError
from volspike.models.standing import (
    Standing,
    change_standing,
    crown_champion,
    place_challenger,
)
from volspike.monitoring.graded import GradedRows
from volspike.monitoring.journal import (
    CHALLENGER,
    NOT_PROMOTED,
    PROMOTED,
    RETIRED,
    RETRAIN_STARTED,
    ROLLED_BACK,
    JournalEntry,
    append_entry,
)
from volspike.pipeline import caretaker
from volspike.pipeline.caretaker import trial_report
from volspike.pipeline.home import Home
from volspike.pipeline.promotion import roll_back
from whole_runs import settings_for


@pytest.mark.parametrize("market_ns", [2**62, 99_999_999_999_999_999_999_999])
def test_a_start_that_a_wrong_clock_has_told_puts_off_none_that_follow(
    market_ns: int, models: Models
) -> None:
    champion = entry_of(make_bundle(models.home.models, 1))
    crown_champion(models.home.models, champion.name, champion.version)
    change_standing(
        models.home.models, PRODUCT, FEED, lambda now: msgspec.structs.replace(now, challenger=None)
    )
    append_entry(
        models.home.journal,
        JournalEntry(market_ns=market_ns, event=RETRAIN_STARTED, product=PRODUCT, feed=FEED, by="user"),
    )
    with Kept(models.home.root, retrain_every_hours=24.0) as kept:
        kept.at(BEGIN_S + DAY_S - 1)
        kept.caretaker().step()
        assert not kept.asked
        kept.at(BEGIN_S + DAY_S)
        kept.caretaker().step()
        assert [each.by for each in kept.asked] == ["schedule"]


def test_the_journal_is_mended_once_for_each_standing(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    mended: list[Standing] = []
    real = caretaker.mend_journal

    def noted(home: Home, standing: Standing, market_ns: int) -> None:
        mended.append(standing)
        real(home, standing, market_ns)

    monkeypatch.setattr(caretaker, "mend_journal", noted)
    rows = models.rows(TRUE, WEAK)
    half_hour = rows.second // 1_800
    first, second, third = np.unique(half_hour)[:3].tolist()
    write_ledger(models.home, rows.where(half_hour == first))
    with Kept(models.home.root, retrain_every_hours=8_000.0) as kept:
        kept.at(BEGIN_S + 3_600)
        one = kept.caretaker()
        one.step()
        one.step()
        write_ledger(models.home, rows.where(half_hour == second))
        one.step()
        assert mended == [models.standing]
        # Another process promotes it, and dies before it has told.
        crown_champion(models.home.models, models.challenger.name, models.challenger.version)
        write_ledger(models.home, rows.where(half_hour == third))
        one.step()
        assert mended[1:] == [models.standing]
        assert (PROMOTED, models.challenger.version, "found") in kept.events()


def test_a_better_challenger_is_promoted_once_and_a_second_caretaker_does_nothing(models: Models) -> None:
    write_ledger(models.home, models.rows())
    with Kept(models.home.root, retrain_every_hours=8_000.0) as kept:
        kept.at(END_S)
        first = kept.caretaker()
        first.step()
        first.step()
        kept.caretaker().step()
        (told,) = lines(kept)
        assert not kept.asked
    assert (told.event, told.version, told.by) == (PROMOTED, models.challenger.version, "trial")
    assert told.reason.startswith("promoted: ")
    assert told.market_ns == END_S * NS
    assert told.detail["clusters"] >= 20
    assert told.detail["log_loss_gain_low"] > 0.0
    after = models.standing
    assert (after.champion, after.previous, after.challenger) == (models.challenger, models.champion, None)


ONE = np.arange(len(TRUE)) == 7
NOT_BETTER = {
    "worse": (TRUE, WEAK, "nats higher"),
    "equal": (WEAK, WEAK, "its mean log-loss is the same"),
    "constant": (WEAK, np.full(len(TRUE), 0.05), "predicts a constant"),
    "no number": (WEAK, np.full(len(TRUE), np.nan), "no probability from 0 to 1 in"),
    "no number once": (WEAK, np.where(ONE, np.nan, TRUE), "no probability from 0 to 1 in 1 of"),
    "beyond one": (WEAK, np.where(ONE, 1.5, TRUE), "no probability from 0 to 1 in 1 of"),
}


@pytest.mark.parametrize("name", NOT_BETTER)
def test_fault_41_what_is_not_better_stays_in_the_shadow_and_is_retired_with_the_reason(
    name: str, models: Models
) -> None:
    champion, challenger, words = NOT_BETTER[name]
    write_ledger(models.home, models.rows(champion, challenger))
    before = models.standing
    with Kept(models.home.root, trial_days=5.0) as kept:
        kept.at(END_S)
        kept.caretaker().step()
        assert lines(kept) == []
        assert models.standing == before
        report = json.loads(trial_report(models.home, before).read_bytes())
        assert not report["promote"]
        assert words in report["words"]
        kept.at(BEGIN_S + 5 * DAY_S)
        kept.caretaker().step()
        (told,) = lines(kept)
    assert (told.event, told.version) == (RETIRED, models.challenger.version)
    assert told.reason.startswith("not promoted: ")
    assert words in told.reason
    assert (models.standing.champion, models.standing.challenger) == (models.champion, None)


@pytest.mark.parametrize(
    "kind", ["all calm", "all spikes", "few clusters", "few rows", "in sample", "of others"]
)
def test_fault_41_rows_that_prove_nothing_promote_nobody(kind: str, models: Models) -> None:
    rows = models.rows(WEAK, np.where(ROWS.spike == 1, 0.97, 0.01))
    if kind.startswith("all"):
        rows = replace(rows, spike=np.full(len(rows), kind == "all spikes", np.int8))
    elif kind == "few clusters":
        rows = replace(
            rows, spike=np.where(np.arange(len(rows)) < 5 * 3_600 // EVERY_S, rows.spike, -1).astype(np.int8)
        )
    elif kind == "few rows":
        rows = rows.where(np.arange(len(rows)) < 3_600 // EVERY_S)
    elif kind == "in sample":
        rows = replace(rows, in_sample=np.ones(len(rows), np.bool_))
    else:
        rows = replace(rows, challenger_version=np.full(len(rows), "f" * 12))
    write_ledger(models.home, rows)
    before = models.standing
    with Kept(models.home.root) as kept:
        kept.at(END_S)
        kept.caretaker().step()
        assert not [each for each in lines(kept) if each.event == PROMOTED]
    assert models.standing == before
    found = json.loads(trial_report(models.home, before).read_bytes())
    wanted = {"all calm": "has no spike", "all spikes": "nothing but spikes"}
    assert wanted.get(kind, "not enough data") in found["words"]


def test_a_trial_is_not_over_before_its_time_and_over_once(models: Models) -> None:
    write_ledger(models.home, models.rows(WEAK, WEAK))
    with Kept(models.home.root, trial_days=3.0, retrain_every_hours=8_000.0) as kept:
        for second, expected in ((3 * DAY_S - 1, []), (3 * DAY_S, [RETIRED]), (4 * DAY_S, [RETIRED])):
            kept.at(BEGIN_S + second)
            kept.caretaker().step()
            assert [each.event for each in lines(kept)] == expected


def test_rows_that_the_challenger_was_trained_on_do_not_speak_for_it(models: Models) -> None:
    later = entry_of(make_bundle(models.home.models, 3, span_ns=(BEGIN_S * NS, END_S * NS)))
    place_challenger(models.home.models, later.name, later.version)
    models.tell(CHALLENGER, later)
    rows = graded_rows(ROWS, WEAK, TRUE, models.champion.version, later.version)
    write_ledger(models.home, rows)
    with Kept(models.home.root) as kept:
        kept.at(END_S)
        kept.caretaker().step()
        assert not [each for each in lines(kept) if each.event == PROMOTED]
    assert models.standing.challenger == later


def test_with_the_setting_never_it_is_told_once_and_a_person_decides(models: Models) -> None:
    write_ledger(models.home, models.rows())
    before = models.standing
    with Kept(models.home.root, promote="never") as kept:
        kept.at(END_S)
        for _ in range(2):
            kept.caretaker().step()
        (told,) = lines(kept)
    assert (told.event, told.version) == (NOT_PROMOTED, models.challenger.version)
    assert "proven better, and the setting promote is never" in told.reason
    assert models.standing == before


def test_one_that_nobody_promotes_makes_room_when_its_trial_is_over(models: Models) -> None:
    write_ledger(models.home, models.rows())
    with Kept(models.home.root, promote="never", trial_days=5.0) as kept:
        for at_s in (BEGIN_S + 5 * DAY_S - 1, BEGIN_S + 5 * DAY_S):
            kept.at(at_s)
            kept.caretaker().step()
        assert [each.event for each in lines(kept)] == [NOT_PROMOTED, RETIRED]
        assert lines(kept)[-1].reason.endswith("nobody promoted it")
        assert kept.asked
    assert (models.standing.champion, models.standing.challenger) == (models.champion, None)


@pytest.mark.parametrize("damage", ["spoilt", "gone"])
def test_fault_37_a_challenger_that_is_corrupt_is_retired_and_the_champion_stays(
    damage: str, models: Models
) -> None:
    write_ledger(models.home, models.rows())
    if damage == "spoilt":
        spoil(models.home.models, models.challenger)
    else:
        models.challenger.path(models.home.models).rename(models.home.root / "gone")
    with Kept(models.home.root) as kept:
        kept.at(END_S)
        for _ in range(2):
            kept.caretaker().step()
        (told,) = lines(kept)
    assert (told.event, told.version) == (RETIRED, models.challenger.version)
    assert str(models.challenger.path(models.home.models)) in told.reason
    assert (models.standing.champion, models.standing.challenger) == (models.champion, None)


def test_a_challenger_that_the_disk_refuses_stays_on_trial_and_is_judged_when_it_can_be_read(
    models: Models, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = models.rows()
    last = rows.second >= rows.second[-1] // 1_800 * 1_800
    write_ledger(models.home, rows.where(~last))
    real = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.parent == models.challenger.path(models.home.models):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path)

    with Kept(models.home.root, retrain_every_hours=8_000.0) as kept:
        kept.at(END_S)
        caretaker = kept.caretaker()
        with monkeypatch.context() as patched:
            patched.setattr(Path, "read_bytes", refuse)
            caretaker.step()
            caretaker.step()
        said = capsys.readouterr()
        assert (said.out + said.err).count("Input/output error") == 1
        assert lines(kept) == []
        assert models.standing.challenger == models.challenger
        write_ledger(models.home, rows.where(last))
        caretaker.step()
        assert [each.event for each in lines(kept)] == [PROMOTED]


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:60] + content[40:]])
def test_a_damaged_block_of_the_ledger_is_set_aside_and_the_trial_goes_on(
    damage, models: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    write_ledger(models.home, models.rows())
    block = sorted((models.home.ledger / PRODUCT).glob("*.parquet"))[5]
    block.write_bytes(damage(block.read_bytes()))
    with Kept(models.home.root, retrain_every_hours=8_000.0) as kept:
        kept.at(END_S)
        caretaker = kept.caretaker()
        caretaker.step()
        caretaker.step()
        assert [each.event for each in lines(kept)] == [PROMOTED]
    said = capsys.readouterr()
    assert (said.out + said.err).count("is set aside") == 1
    assert not block.exists()
    assert block.with_name(block.name + ".damaged").exists()


def test_whatever_keeps_the_models_from_being_judged_a_retraining_is_asked_for(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    crown_champion(models.home.models, models.challenger.name, models.challenger.version)
    write_ledger(models.home, models.rows())

    def refused(*_given: object, **_named: object) -> GradedRows:
        raise ModelError("the ledger", "can't be read (Input/output error)", "check the disk")

    with Kept(models.home.root) as kept:
        kept.at(BEGIN_S + 3 * DAY_S)
        monkeypatch.setattr(kept._ledger, "rows", refused)
        with pytest.raises(ModelError, match="Input/output"):
            kept.caretaker().step()
        assert [each.by for each in kept.asked] == ["schedule"]


@pytest.mark.parametrize("step", [PROMOTED, RETIRED])
def test_a_report_that_can_not_be_written_holds_up_no_decision(
    step: str, models: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    write_ledger(models.home, models.rows() if step == PROMOTED else models.rows(TRUE, WEAK))
    if models.home.reports.exists():
        models.home.reports.rmdir()
    models.home.reports.write_text("")
    with Kept(models.home.root, trial_days=1.0, retrain_every_hours=8_000.0) as kept:
        kept.at(END_S)
        kept.caretaker().step()
        assert [each.event for each in lines(kept)] == [step]
    said = capsys.readouterr()
    assert "the comparison is not written" in said.out + said.err


def test_with_retraining_off_none_is_asked_for(models: Models) -> None:
    crown_champion(models.home.models, models.challenger.name, models.challenger.version)
    with Kept(models.home.root, retrain_every_hours=0.0) as kept:
        kept.at(BEGIN_S + 300 * DAY_S)
        kept.caretaker().step()
        assert not kept.asked


def test_a_product_that_can_not_be_looked_after_keeps_no_other_from_it(models: Models) -> None:
    write_ledger(models.home, models.rows())
    other = "ETH-USD"
    bad = entry_of(make_bundle(models.home.models, 5, product=other))
    crown_champion(models.home.models, bad.name, bad.version)
    spoil(models.home.models, bad)
    write_ledger(models.home, models.rows(), other)
    with Kept(models.home.root, products=(other, PRODUCT)) as kept:
        kept.at(END_S)
        with pytest.raises(ModelError, match=bad.version):
            kept.caretaker().step()
        assert [each.event for each in lines(kept)] == [PROMOTED]
    assert models.standing.champion == models.challenger


_KILLED = """
import os, signal, sys
from pathlib import Path
import volspike.pipeline.promotion as promotion
sys.path[:0] = sys.argv[2:]
from kept_models import Kept
def die(*_given):
    os.kill(os.getpid(), signal.SIGKILL)
promotion.append_entry = die
with Kept(Path(sys.argv[1]), trial_days=1.0) as kept:
    kept.caretaker().step()
"""


@pytest.mark.parametrize("step", [PROMOTED, RETIRED])
def test_invariant_06_killed_between_the_rename_and_its_line_the_next_adds_the_line(
    step: str, models: Models
) -> None:
    write_ledger(models.home, models.rows() if step == PROMOTED else models.rows(TRUE, WEAK))
    with Kept(models.home.root) as kept:
        kept.at(END_S)
    here = Path(__file__).parents[1]
    ran = subprocess.run([sys.executable, "-c", _KILLED, str(models.home.root), str(here)], timeout=60)
    assert ran.returncode == -9
    with Kept(models.home.root, retrain_every_hours=8_000.0) as kept:
        assert lines(kept) == []
        assert models.standing.challenger is None
        for _ in range(2):
            kept.caretaker().step()
        (told,) = lines(kept)
    assert (told.event, told.version, told.by) == (step, models.challenger.version, "found")


def test_invariant_06_what_was_placed_or_taken_back_and_not_told_is_told_by_the_next(models: Models) -> None:
    write_ledger(models.home, models.rows(TRUE, WEAK))
    untold = entry_of(make_bundle(models.home.models, 6, span_ns=(1, BEGIN_S * NS - 1)))
    place_challenger(models.home.models, untold.name, untold.version)
    with Kept(models.home.root, trial_days=2.0) as kept:
        kept.at(END_S)
        kept.caretaker().step()
        found = [(each.event, each.version) for each in lines(kept)]
        assert found == [(RETIRED, models.challenger.version), (CHALLENGER, untold.version)]
        # So its trial has a beginning, and an end.
        kept.at(END_S + 2 * DAY_S)
        kept.caretaker().step()
        assert lines(kept)[-1].event == RETIRED
        assert models.standing.challenger is None
    settings = settings_for(models.home.root, default_model=True)
    crown_champion(models.home.models, untold.name, untold.version)
    models.tell(PROMOTED, untold)
    for expected in (models.champion, untold, models.champion):
        assert roll_back(models.home, settings, PRODUCT, FEED, "user", "", 1).champion == expected
    journal = models.home.journal.read_bytes().splitlines(keepends=True)
    models.home.journal.write_bytes(b"".join(journal[:-1]))
    with Kept(models.home.root) as kept:
        kept.at(END_S + 2 * DAY_S)
        kept.caretaker().step()
        assert lines(kept)[-1].event == PROMOTED
        assert lines(kept)[-1].version == models.champion.version
        assert [each.event for each in lines(kept)].count(ROLLED_BACK) == 2


def test_a_first_champion_that_training_made_is_no_news(tmp_path: Path) -> None:
    home = Home(tmp_path)
    champion = entry_of(make_bundle(home.models, 1))
    crown_champion(home.models, champion.name, champion.version)
    write_ledger(home, graded_rows(ROWS, TRUE, TRUE, champion.version, ""))
    with Kept(home.root, retrain_every_hours=0.0) as kept:
        kept.at(END_S)
        kept.caretaker().step()
        assert kept.journal() == []


def test_old_blocks_are_forgotten(models: Models) -> None:
    write_ledger(models.home, models.rows(TRUE, WEAK))
    with Kept(models.home.root, trial_days=1.0) as kept:
        kept.at(BEGIN_S + 28 * DAY_S + 7_200)
        kept.caretaker().step()
        assert kept._ledger.oldest_s(PRODUCT) == BEGIN_S + 7_200
