"""A real tracking server: told when it is there, missed when it is not, and shared with others."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from told_mlflow import MlflowServer, mlflow_server, model, seen, tell_standing, trained

from volspike.bus.local_broker import free_port
from volspike.errors import ModelError, RegistryError
from volspike.models.bundle import load_bundle
from volspike.models.mlflow_client import Server, open_mlflow
from volspike.models.mlflow_outbox import Outbox
from volspike.models.mlflow_send import send_waiting
from volspike.models.mlflow_sync import sync
from volspike.models.registry import queue_report
from volspike.models.resolving import resolve_model
from volspike.models.standing import crown_champion
from volspike.testing.crash_point import CrashError, CrashPoint
from whole_runs import one_line_failure, volspike


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """Return a server that has been away while a training, its champion and a report were told."""
    with mlflow_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def test_fault_43_told_while_the_server_is_away_all_waits_and_syncs_in_order_later(
    place: MlflowServer, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(place.uri)
    (entry,) = trained(data_dir, "away", model("away"))
    crown_champion(data_dir / "models", entry.name, entry.version)
    began = time.monotonic()
    assert tell_standing(data_dir, server).items == 2
    (data_dir / "drift.html").write_text("<p>")
    queue_report(data_dir, entry, [data_dir / "drift.html"], "drift")
    assert sync(data_dir, server).waiting.items == 3
    assert time.monotonic() - began < 5
    monkeypatch.setenv("VOLSPIKE_MLFLOW_URI", place.uri)
    told = volspike("models", "--data-dir", data_dir)
    assert told.code == 0
    assert "3 items wait for MLflow" in told.out
    assert "does not answer" in " ".join(told.out.split())
    assert "3 items wait" in one_line_failure(volspike("models", "--sync", "--data-dir", data_dir))
    # The champion's place is known without any server; what only the server knows is not guessed.
    assert resolve_model("models:/zscore@champion", data_dir, server=server) == entry.path(
        data_dir / "models"
    )
    with pytest.raises(RegistryError, match="does not answer"):
        resolve_model("models:/zscore/1", data_dir, server=server)

    place.start()
    synced = volspike("models", "--sync", "--data-dir", data_dir, "--json")
    assert (synced.code, synced.report["mlflow"]) == (0, {"items": 0, "refused": 0, "reason": "", "sent": 3})
    with open_mlflow(data_dir, server) as client:
        found = seen(client, "away")
        version = client.get_model_version_by_alias("zscore", "champion-btc-usd-exchange")
        drift = [f.path for f in client.list_artifacts(version.run_id, "drift")]
    assert (found.states, found.statuses, found.versions) == (["whole"], ["FINISHED"], [1])
    assert found.artifacts == {"report.json", "card.md", "plots", "drift"}
    assert (version.tags["bundle_version"], drift) == (entry.version, ["drift/drift.html"])
    assert not (data_dir / "mlflow.db").exists()
    assert not (data_dir / "mlartifacts").exists()


def test_a_bundle_that_is_only_on_the_server_is_fetched_checked_and_put_on_the_shelf(
    place: MlflowServer, data_dir: Path, tmp_path: Path
) -> None:
    server = Server(place.uri)
    found = resolve_model("models:/zscore@champion", tmp_path, server=server)
    assert found.is_relative_to(tmp_path / "models" / "zscore")
    ours, theirs = load_bundle(found), load_bundle(resolve_model("models:/zscore/1", data_dir, server=server))
    assert ours.manifest == theirs.manifest
    assert (found / "card.md").read_text() == "a card"
    with pytest.raises(ModelError, match="challenger"):
        resolve_model("models:/zscore@challenger", tmp_path, server=server)


def test_invariant_08_a_bundle_altered_on_the_server_is_refused(place: MlflowServer, tmp_path: Path) -> None:
    server = Server(place.uri)
    (entry,) = trained(tmp_path, "altered", model("altered"))
    registered = sync(tmp_path, server).registered
    ((uri,),) = ([each.uri for each in models.values()] for models in registered.values())
    shutil.rmtree(entry.path(tmp_path / "models"))
    stored = [
        path.with_name("weights.json")
        for path in (place._directory / "artifacts").rglob("manifest.json")
        if json.loads(path.read_text())["version"] == entry.version
    ]
    (weights,) = stored
    weights.write_bytes(weights.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(ModelError, match=r"weights\.json was altered"):
        resolve_model(uri, tmp_path, server=server)
    assert not entry.path(tmp_path / "models").exists()


def test_invariant_06_told_again_after_a_crash_nothing_is_on_the_server_twice(
    place: MlflowServer, tmp_path: Path
) -> None:
    server = Server(place.uri)
    trained(tmp_path, "crashed", model("crashed"))
    for step in ("model.created", "version.created"):
        with pytest.raises(CrashError):
            send_waiting(tmp_path, server, CrashPoint(step))
    assert sync(tmp_path, server).waiting.words == ""
    with open_mlflow(tmp_path, server) as client:
        found = seen(client, "crashed")
    assert (found.states, found.models, len(found.versions)) == (["whole"], ["READY"], 1)


def test_models_of_others_on_the_server_are_left_alone(place: MlflowServer, tmp_path: Path) -> None:
    server = Server(place.uri)
    with open_mlflow(tmp_path, server) as client:
        run = client.create_run(client.create_experiment("others")).info
        for name in ("fraud", "logistic"):
            client.create_registered_model(name)
            client.create_model_version(name, f"{run.artifact_uri}/model", run.run_id)
            client.set_registered_model_alias(name, "champion", "1")
    (entry,) = trained(tmp_path, "ours", model("ours"))
    crown_champion(tmp_path / "models", entry.name, entry.version)
    assert tell_standing(tmp_path, server).words == ""
    trained(tmp_path, "theirs", model("theirs", "logistic"))
    waiting = sync(tmp_path, server).waiting
    assert (waiting.items, "it is not of volspike" in waiting.reason) == (1, True)
    with open_mlflow(tmp_path, server) as client:
        held = {each.name: dict(each.aliases) for each in client.search_registered_models()}
        assert len(client.search_model_versions("name = 'logistic'")) == 1
    assert {name: set(held[name]) for name in ("fraud", "logistic")} == {
        "fraud": {"champion"},
        "logistic": {"champion"},
    }


class _Slow(BaseHTTPRequestHandler):
    """Says that it is well, and answers everything else a byte at a time, for ever."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        while self.path != "/health":
            try:
                self.wfile.write(b" ")
                time.sleep(0.2)
            except OSError:
                return

    def log_message(self, *_said: Any) -> None:
        pass


@pytest.fixture
def slow() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Slow) as server:
        server.daemon_threads = True
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        serving.join()


def test_fault_43_a_server_that_never_comes_to_an_end_is_left_in_time(slow: str, tmp_path: Path) -> None:
    trained(tmp_path, "slow", model("slow"))
    began = time.monotonic()
    waiting = sync(tmp_path, Server(slow, limit_s=8.0)).waiting
    assert time.monotonic() - began < 12
    assert (waiting.items, waiting.reason) == (1, f"{slow}: not done within 8 s")
    with Outbox(tmp_path).sending():  # the process is gone, and with it its lock
        assert len(Outbox(tmp_path).items()) == 1


def test_an_address_where_nobody_is_costs_nothing(tmp_path: Path) -> None:
    trained(tmp_path, "nobody", model("nobody"))
    began = time.monotonic()
    waiting = sync(tmp_path, Server(f"http://127.0.0.1:{free_port()}")).waiting
    assert time.monotonic() - began < 2
    assert "Connection refused" in waiting.reason
