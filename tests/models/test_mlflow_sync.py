"""Telling MLflow on sqlite: once, whole, in order, whatever comes between."""

from __future__ import annotations

import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from told_mlflow import FEED, PRODUCT, Seen, model, seen, tell_standing, trained

from volspike.cli.mlflow_outbox import look_at_outbox
from volspike.models.bundle import load_bundle
from volspike.models.mlflow_aliases import alias_of
from volspike.models.mlflow_client import DATABASE, open_mlflow
from volspike.models.mlflow_items import Aliases
from volspike.models.mlflow_outbox import OUTBOX, Outbox
from volspike.models.mlflow_send import send_waiting
from volspike.models.mlflow_sync import sync
from volspike.models.registry import queue_report, queue_standing
from volspike.models.resolving import resolve_model
from volspike.models.standing import Entry, change_standing, crown_champion, place_challenger, standing_of
from volspike.testing.crash_point import CrashError, CrashPoint

WHOLE = Seen(["whole"], ["FINISHED"], [0], ["READY"], {"report.json", "card.md", "plots"})
STEPS = [
    "run.created",
    "model.created",
    "model.uploaded",
    "run.values",
    "run.files",
    "version.created",
    "run.finished",
    "outbox.renamed_away",
]
KILLED = """
import sys
from pathlib import Path
from volspike.models.mlflow_send import send_waiting
from volspike.testing.crash_point import CrashPoint
send_waiting(Path(sys.argv[1]), None, CrashPoint(sys.argv[2], kill=True))
"""


FULL = """
import sys
from pathlib import Path
from volspike.models.mlflow_sync import sync
print(sync(Path(sys.argv[1]), None).waiting.words)
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def client(data_dir: Path) -> Iterator[Any]:
    with open_mlflow(data_dir) as client:
        yield client


def told(data_dir: Path, key: str) -> Seen:
    with open_mlflow(data_dir) as client:
        found = seen(client, key)
    assert len(found.versions) == 1, found
    return Seen(found.states, found.statuses, [0], found.models, found.artifacts)


@pytest.mark.parametrize("step", STEPS)
def test_invariant_06_told_again_after_each_step_all_is_there_once(step: str, data_dir: Path) -> None:
    trained(data_dir, step, model(step))
    with pytest.raises(CrashError):
        send_waiting(data_dir, None, CrashPoint(step))
    with open_mlflow(data_dir) as client:
        half = seen(client, step)
    assert half.states == ["whole" if step in STEPS[-2:] else "half"]
    assert len(half.versions) == (1 if step in STEPS[-3:] else 0)
    assert sync(data_dir, None).waiting.words == ""
    assert told(data_dir, step) == WHOLE


def test_invariant_06_killed_in_the_middle_nothing_is_there_twice(data_dir: Path) -> None:
    trained(data_dir, "killed", model("killed"))
    command = [sys.executable, "-c", KILLED, str(data_dir), "version.created"]
    assert subprocess.run(command, check=False, timeout=90).returncode == -signal.SIGKILL
    assert Outbox(data_dir).waiting().items == 1
    synced = sync(data_dir, None, apart=True)  # as the caretaker does
    assert synced.waiting.words == ""
    assert [list(models) for models in synced.registered.values()] == [["zscore"]]
    assert told(data_dir, "killed") == WHOLE


def test_fault_43_while_the_database_is_locked_all_waits_and_nothing_fails(data_dir: Path) -> None:
    assert sync(data_dir, None).registered == {}
    trained(data_dir, "locked", model("locked"))
    with closing(sqlite3.connect(data_dir / DATABASE)) as other:
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        waiting = tell_standing(data_dir)
        assert time.monotonic() - began < 10
    assert (waiting.items, waiting.refused) == (2, 0)
    assert "database is locked" in waiting.reason
    assert Outbox(data_dir).waiting() == waiting
    assert sync(data_dir, None).waiting.words == ""
    assert told(data_dir, "locked") == WHOLE


def test_fault_43_while_the_disk_of_the_database_is_full_all_waits_and_nothing_fails(data_dir: Path) -> None:
    trained(data_dir, "full", model("full"))
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(data_dir)],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("1 item waits for MLflow, as ")
    assert sync(data_dir, None).waiting.words == ""
    assert told(data_dir, "full") == WHOLE


def test_an_experiment_that_was_deleted_is_restored_and_what_follows_is_told(data_dir: Path) -> None:
    trained(data_dir, "before it", model("before it"))
    assert sync(data_dir, None).waiting.words == ""
    with open_mlflow(data_dir) as client:
        client.delete_experiment(client.get_experiment_by_name("volspike").experiment_id)
    trained(data_dir, "behind it", model("behind it"))
    assert sync(data_dir, None).waiting.words == ""
    assert told(data_dir, "before it") == told(data_dir, "behind it") == WHOLE


def test_what_was_refused_is_told_by_the_verb_that_tries_again(data_dir: Path) -> None:
    trained(data_dir, "refused", model("refused"))
    outbox = Outbox(data_dir)
    outbox.refuse(outbox.items()[0], "the experiment was deleted")
    assert look_at_outbox(data_dir, "", sync=True).refused == 1
    assert look_at_outbox(data_dir, "", sync=True, again=True).words == ""
    assert told(data_dir, "refused") == WHOLE


def test_the_aliases_follow_the_standing(data_dir: Path, client: Any) -> None:
    first, second, third = (
        trained(data_dir, f"standing {name}", model("standing", name))[0] for name in ("one", "two", "three")
    )
    models = data_dir / "models"
    crown_champion(models, first.name, first.version)
    crown_champion(models, second.name, second.version)
    change_standing(models, PRODUCT, FEED, lambda now: _with_challenger(now, third))
    assert tell_standing(data_dir).words == ""
    assert aliases(client) == {"champion": second.name, "previous": first.name, "challenger": third.name}
    uri = f"models:/{second.name}@{alias_of('champion', PRODUCT, FEED)}"
    assert resolve_model(uri, data_dir) == second.path(models)
    # Promoted, and told twice: the second time changes nothing.
    crown_champion(models, third.name, third.version)
    for _ in range(2):
        assert tell_standing(data_dir).words == ""
        assert aliases(client) == {"champion": third.name, "previous": second.name}


def test_a_standing_that_changes_while_it_waits_is_told_as_it_is_then(data_dir: Path, client: Any) -> None:
    models = data_dir / "models"
    before, after = (trained(data_dir, f"late {n}", model(f"late {n}"))[0] for n in range(2))
    outbox = Outbox(data_dir)
    for entry in (before, after):
        crown_champion(models, entry.name, entry.version)
        outbox.put("aliases", Aliases(PRODUCT, FEED), {})
    with pytest.raises(CrashError):
        send_waiting(data_dir, None, CrashPoint("aliases.known"))
    sync(data_dir, None)
    assert aliases(client)["champion"] == "zscore"
    assert resolve_model("models:/zscore@champion", data_dir) == after.path(models)


def _with_challenger(now: Any, entry: Entry) -> Any:
    import msgspec

    return msgspec.structs.replace(now, challenger=entry)


def aliases(client: Any) -> dict[str, str]:
    """Return the model of each alias; those with product and feed say the same as the plain ones."""
    plain, own = {}, {}
    for each in client.search_registered_models():
        for alias in each.aliases:
            kind, _, of = alias.partition("-")
            assert (own if of else plain).setdefault(kind, each.name) == each.name
    assert plain == own
    return plain


def test_a_champion_that_mlflow_has_never_heard_of_is_told_from_the_shelf(
    tmp_path: Path, client: Any
) -> None:
    data_dir = Path(client.tracking_uri.removeprefix("sqlite:///")).parent
    trained(tmp_path, "elsewhere", model("from the shelf"))
    (saved,) = (tmp_path / "models" / "zscore").iterdir()
    saved.rename(data_dir / "models" / "zscore" / saved.name)
    crown_champion(data_dir / "models", "zscore", saved.name)
    assert tell_standing(data_dir).words == ""
    version = client.get_model_version_by_alias("zscore", "champion")
    assert version.tags["bundle_version"] == saved.name
    assert len(client.search_model_versions(f"tags.bundle_version = '{saved.name}'")) == 1


def test_a_report_is_attached_to_the_run_of_its_model(data_dir: Path, client: Any, tmp_path: Path) -> None:
    (entry,) = trained(data_dir, "reported", model("reported"))
    report = tmp_path / "drift.html"
    report.write_text("<p>nothing has drifted</p>")
    queue_report(data_dir, entry, [report], "drift", {"drift": "no drift"})
    assert sync(data_dir, None).waiting.words == ""
    (version,) = client.search_model_versions(f"tags.bundle_version = '{entry.version}'")
    assert [f.path for f in client.list_artifacts(version.run_id, "drift")] == ["drift/drift.html"]
    experiment_id = client.get_run(version.run_id).info.experiment_id
    (found,) = client.search_runs([experiment_id], "tags.drift = 'no drift'")
    assert found.info.run_id == version.run_id


def test_a_report_of_a_copied_directory_stays_in_it(data_dir: Path, tmp_path: Path) -> None:
    (entry,) = trained(data_dir, "copied", model("copied"))
    assert sync(data_dir, None).waiting.words == ""
    copy = tmp_path / "copy"
    shutil.copytree(data_dir, copy)
    before = sorted((data_dir / "mlartifacts").rglob("*"))
    (copy / "copied.html").write_text("<p>")
    queue_report(copy, entry, [copy / "copied.html"], "drift")
    assert sync(copy, None).waiting.words == ""
    assert sorted((data_dir / "mlartifacts").rglob("*")) == before
    (found,) = set((copy / "mlartifacts").rglob("copied.html"))
    assert found.parent.name == "drift"


def test_what_can_never_be_told_is_set_aside_and_the_rest_goes_on(data_dir: Path) -> None:
    trained(data_dir, "spoiled", model("spoiled"))
    trained(data_dir, "sound", model("sound"))
    (weights,) = sorted((data_dir / OUTBOX).glob("*-training/zscore/bundle/weights.json"))[:1]
    weights.write_bytes(weights.read_bytes()[:-9])
    waiting = sync(data_dir, None).waiting
    assert (waiting.items, waiting.refused) == (0, 1)
    (refused,) = Outbox(data_dir).refused()
    assert "weights.json was altered" in (refused / "reason.txt").read_text()
    assert told(data_dir, "sound") == WHOLE


def test_there_is_no_pickle(data_dir: Path) -> None:
    files = [path for path in (data_dir / "mlartifacts").rglob("*") if path.is_file()]
    assert any(path.name == "manifest.json" for path in files)
    assert not [path for path in files if path.suffix in {".pkl", ".pickle", ".joblib"}]
    assert standing_of(data_dir / "models", PRODUCT, FEED).champion is not None


def test_a_model_on_trial_is_told_once_though_an_older_change_of_the_standing_still_waits(
    tmp_path: Path,
) -> None:
    """The waiting change would otherwise tell the new model from the shelf, in front of its training."""
    (old,) = trained(tmp_path, "before", model("before"))
    crown_champion(tmp_path / "models", old.name, old.version)
    queue_standing(tmp_path, PRODUCT, FEED)
    (new,) = trained(tmp_path, "behind", model("behind"))
    place_challenger(tmp_path / "models", new.name, new.version)
    assert tell_standing(tmp_path).words == ""
    assert told(tmp_path, "behind") == WHOLE
    with open_mlflow(tmp_path) as client:
        found = client.search_model_versions(f"tags.bundle_version = '{new.version}'")
    assert len(found) == 1


def test_a_waiting_change_of_the_standing_is_told_where_the_item_behind_it_is_damaged(tmp_path: Path) -> None:
    (model_of,) = trained(tmp_path, "sound", model("sound"))
    crown_champion(tmp_path / "models", model_of.name, model_of.version)
    queue_standing(tmp_path, PRODUCT, FEED)
    name = Outbox(tmp_path).put("aliases", Aliases(PRODUCT, FEED), {})
    (tmp_path / OUTBOX / name / "item.json").write_bytes(b"{")
    sync(tmp_path, None)
    assert not Outbox(tmp_path).items()
    assert [path.name for path in Outbox(tmp_path).refused()] == [name]
    shutil.rmtree(Outbox(tmp_path).refused()[0])
    address = f"models:/{model_of.name}@{alias_of('champion', PRODUCT, FEED)}"
    assert load_bundle(resolve_model(address, tmp_path)).manifest.version == model_of.version
