"""The verb ``models``: what it says of scores, trials and the audit log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from made_bundles import FEED, PRODUCT, make_bundle
from volspike.cli import output
from volspike.models.bundle import Bundle, load_bundle
from volspike.models.defaults import default_model
from volspike.models.mlflow_run import tags_of
from volspike.models.mlflow_send import flat_metrics
from volspike.models.registry import queue_standing
from volspike.models.resolving import resolve_model
from volspike.models.standing import champion_path, crown_champion, place_challenger, standing_of
from volspike.monitoring.journal import JournalEntry, append_entry
from volspike.pipeline.home import Home
from whole_runs import one_line_failure, volspike

HOUR_NS = 3_600_000_000_000
CANDLES = "candles"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return an empty data directory, and work where no volspike.toml lies."""
    monkeypatch.chdir(tmp_path)
    home = Home(tmp_path / "data")
    home.create()
    return home


def scored(home: Home, seed: int, *, enough: bool, begin_h: int = 500_000, **changes: object) -> Bundle:
    """Put a model on the shelf whose test part begins at this hour and lasts two."""
    known = default_model(PRODUCT)
    assert known is not None
    test = {
        "pr_auc": 0.5,
        "reference_pr_auc": 0.4,
        "base_rate": 0.1,
        "lift": 5.0,
        "enough_data": enough,
        "first_ns": begin_h * HOUR_NS,
        "last_ns": (begin_h + 2) * HOUR_NS,
    }
    provenance = msgspec.structs.replace(known.manifest.provenance, scores={"test": test})
    return make_bundle(home.models, seed, provenance=provenance, **changes)


def test_whether_scores_are_enough_for_a_claim_is_said_of_the_test_part(home: Home) -> None:
    thin = scored(home, 1, enough=False, enough_data=True).manifest
    sound = scored(home, 2, enough=True, enough_data=False, begin_h=500_100).manifest
    found = {
        each["version"]: each
        for each in volspike("models", "--data-dir", home.root, "--json").report["models"]
    }
    assert found[thin.version]["enough_data"] is False
    assert found[sound.version]["enough_data"] is True
    assert found[sound.version]["test_from_ns"] == 500_100 * HOUR_NS
    assert (found[thin.version]["test_lift"], found[thin.version]["test_base_rate"]) == (5.0, 0.1)
    lines = volspike("models", "--data-dir", home.root).out.partition("Scores on")[2].splitlines()
    (of_thin,) = (line.rstrip() for line in lines if thin.version in line)
    (of_sound,) = (line.rstrip() for line in lines if sound.version in line)
    assert of_thin.endswith("!")
    assert not of_sound.endswith("!")
    assert "01-15 08:00, 2.0 h" in of_thin


def test_mlflow_is_told_of_the_test_part_whether_it_is_enough_and_no_times_as_scores(home: Home) -> None:
    thin = scored(home, 1, enough=False, enough_data=True).manifest
    assert tags_of(thin)["enough_data"] == "False"
    assert tags_of(scored(home, 2, enough=True, enough_data=False).manifest)["enough_data"] == "True"
    told = flat_metrics(thin.provenance.scores)
    assert told["test.pr_auc"] == 0.5
    assert not any(name.endswith("_ns") for name in told)


def test_models_of_candles_have_no_trial_and_that_is_said(home: Home) -> None:
    champion, challenger = (make_bundle(home.models, seed, feed=CANDLES).manifest for seed in (1, 2))
    crown_champion(home.models, champion.name, champion.version)
    place_challenger(home.models, challenger.name, challenger.version)
    (trial,) = volspike("models", "--data-dir", home.root, "--json").report["trials"]
    assert "never served live" in trial["words"]
    line = one_line_failure(volspike("promote", "--data-dir", home.root, "--json"))
    assert "never served live" in line
    assert "--force" in line
    assert "wait for more outcomes" not in line
    assert volspike("promote", "--force", "--data-dir", home.root, "--json").code == 0
    assert standing_of(home.models, PRODUCT, CANDLES).version == challenger.version


def test_the_models_of_the_package_are_found_by_the_names_that_they_are_shown_under(home: Home) -> None:
    known = default_model(PRODUCT)
    assert known is not None
    assert resolve_model(known.manifest.name, home.root) == resolve_model("default", home.root)
    candles = resolve_model("default-candles", home.root)
    assert load_bundle(candles).manifest.name == "default-candles"


def test_an_alias_that_mlflow_may_not_have_been_told_yet_is_read_from_the_standing(home: Home) -> None:
    champion, challenger = (make_bundle(home.models, seed).manifest for seed in (1, 2))
    crown_champion(home.models, champion.name, champion.version)
    place_challenger(home.models, challenger.name, challenger.version)
    (home.root / "mlflow.db").touch()  # as told of the champion before
    assert volspike("promote", "--force", "--data-dir", home.root, "--json").code == 0
    for alias in ("champion", f"champion-{PRODUCT.lower()}-{FEED}"):
        assert resolve_model(f"models:/logistic@{alias}", home.root).name == challenger.version


@pytest.mark.parametrize("name", ["foo/bar", "foo/0123456789ab", "logistic/0123456789ab"])
@pytest.mark.parametrize("flags", [(), ("--force",)])
def test_a_bundle_that_is_not_there_is_named_with_where_to_find_those_that_are(
    home: Home, name: str, flags: tuple[str, ...]
) -> None:
    made = make_bundle(home.models, 1).manifest
    line = one_line_failure(volspike("promote", name, *flags, "--data-dir", home.root))
    assert line.startswith(f"volspike: model {name}: there is no such bundle in {home.models}; ")
    assert "volspike models lists them" in line
    joined = f"{made.name}/{made.version}"
    assert volspike("promote", joined, "--force", "--data-dir", home.root, "--json").code == 0


def test_a_trial_is_named_with_its_product_and_feed(home: Home) -> None:
    champion, challenger = (make_bundle(home.models, seed).manifest for seed in (1, 2))
    crown_champion(home.models, champion.name, champion.version)
    place_challenger(home.models, challenger.name, challenger.version)
    out = volspike("models", "--data-dir", home.root).out
    assert f"trial of logistic {challenger.version}, {PRODUCT} on {FEED}: not promoted" in out


@pytest.mark.parametrize(
    ("entries", "title"),
    [(10, "Audit log, in market time"), (12, "Audit log, in market time: the last 10 of 12;")],
)
def test_what_is_left_out_of_the_audit_log_is_said(home: Home, entries: int, title: str) -> None:
    make_bundle(home.models, 1)
    for at in range(entries):
        append_entry(
            home.journal,
            JournalEntry(market_ns=at, event=f"event {at}.", product=PRODUCT, feed=FEED, by="user"),
        )
    out = volspike("models", "--data-dir", home.root).out
    (heading,) = (line for line in out.splitlines() if line.startswith("Audit log"))
    assert heading.startswith(title)
    assert ("event 1." in out) is (entries == 10)
    whole = volspike("models", "--all", "--data-dir", home.root).out
    assert "event 1." in whole
    assert "the last" not in whole


@pytest.mark.parametrize("width", [80, 100])
def test_the_audit_log_is_read_in_lines_and_nothing_is_wider_than_was_asked_for(
    home: Home, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion, challenger = (scored(home, seed, enough=False).manifest for seed in (1, 2))
    crown_champion(home.models, champion.name, champion.version)
    place_challenger(home.models, challenger.name, challenger.version)
    why = "forced over: 12 clusters of spikes, 20 are needed"
    of = {"product": PRODUCT, "feed": FEED, "model": "logistic", "version": champion.version}
    append_entry(home.journal, JournalEntry(market_ns=0, event="promoted", by="user", reason=why, **of))
    monkeypatch.setattr(output, "PLAIN_WIDTH", width)
    lines = volspike("models", "--all", "--data-dir", home.root).out.splitlines()
    log = [line.rstrip() for line in lines[lines.index("Audit log, in market time") + 1 :]]
    assert log[-1] == f"{'':18}{why}"
    told = f"1970-01-01 00:00 {PRODUCT} on {FEED}: promoted, logistic {champion.version} (by user)"
    assert " ".join(" ".join(log[:-1]).split()) == told
    assert max(map(len, lines[1:])) <= width  # the first names the directory, in one piece


def test_a_sync_says_what_it_has_sent_or_that_nothing_waited(home: Home) -> None:
    champion = make_bundle(home.models, 1).manifest
    crown_champion(home.models, champion.name, champion.version)

    def last_line(*flags: str) -> str:
        return volspike("models", "--data-dir", home.root, *flags).out.splitlines()[-1]

    where = "mlflow.db of the data directory, as no server is set (mlflow_uri)"
    assert last_line("--sync") == f"MLflow: nothing waited for {where}"
    queue_standing(home.root, PRODUCT, FEED)
    assert last_line().startswith("MLflow: 1 item waits")
    assert last_line("--sync") == f"MLflow: 1 item sent to {where}"
    told = volspike("models", "--sync", "--data-dir", home.root, "--json").report["mlflow"]
    assert told == {"items": 0, "refused": 0, "reason": "", "sent": 0}
    assert volspike("models", "--data-dir", home.root, "--json").report["mlflow"]["sent"] is None


def test_where_a_product_has_ticks_and_candles_ticks_are_meant_unless_somebody_chose(home: Home) -> None:
    for seed, feed in ((1, FEED), (3, CANDLES)):
        champion, challenger = (make_bundle(home.models, seed + more, feed=feed).manifest for more in (0, 1))
        crown_champion(home.models, champion.name, champion.version)
        place_challenger(home.models, challenger.name, challenger.version)
    ticks, candles = (standing_of(home.models, PRODUCT, feed) for feed in (FEED, CANDLES))
    assert champion_path(home.models).name == champion_path(home.models, PRODUCT).name == ticks.version
    assert champion_path(home.models, feed=CANDLES).name == candles.version
    assert volspike("promote", "--force", "--data-dir", home.root, "--json").report["feed"] == FEED
    assert standing_of(home.models, PRODUCT, CANDLES) == candles
    ran = volspike("rollback", "--feed", CANDLES, "--data-dir", home.root, "--json")
    assert "there is no champion before this one" in one_line_failure(ran)
    other = make_bundle(home.models, 9, product="ETH-USD", feed=CANDLES).manifest
    crown_champion(home.models, other.name, other.version)
    line = one_line_failure(volspike("promote", "--data-dir", home.root, "--json"))
    assert f"there are several: {PRODUCT} on {FEED}, ETH-USD on {CANDLES}" in line


def test_who_only_promotes_waits_for_no_library_of_training() -> None:
    """They took six seconds of processor, most of it imports."""
    heavy = {"mlflow", "sklearn", "xgboost", "pandas", "volspike.labels.dataset", "volspike.models.train"}
    script = (
        f"import sys, volspike.pipeline.promoting_by_hand as _; print(sorted({heavy} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
