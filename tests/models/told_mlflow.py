"""What tests tell MLflow: the small model of the package, as if it had been trained, and a server to tell."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from volspike.bus.local_broker import free_port
from volspike.models.bundle import Bundle, load_bundle, new_bundle
from volspike.models.defaults import default_path
from volspike.models.mlflow_client import Server
from volspike.models.mlflow_items import ModelRun, Training
from volspike.models.mlflow_outbox import Outbox, Waiting
from volspike.models.mlflow_run import KEY, STATE
from volspike.models.mlflow_sync import sync
from volspike.models.registry import queue_standing
from volspike.models.shelf import save_bundle
from volspike.models.standing import Entry

PRODUCT, FEED = "BTC-USD", "exchange"
LONGEST_S = 90.0


def model(note: str = "", name: str = "zscore") -> Bundle:
    """Return a small model; another note makes another version."""
    path = default_path("default")
    assert path is not None
    known = load_bundle(path)
    changes = {"name": name, "product": PRODUCT, "feed": FEED, "notes": (note,) if note else ()}
    return new_bundle(msgspec.structs.replace(known.manifest, **changes), known.files)


def trained(data_dir: Path, key: str, *bundles: Bundle) -> list[Entry]:
    """Save models and have a training of them wait."""
    files: dict[str, bytes | Path] = {"report.json": b"{}"}
    for bundle in bundles:
        name = bundle.manifest.name
        saved = save_bundle(bundle, data_dir / "models", "a card")
        files |= {f"{name}/bundle/{path.name}": path for path in saved.iterdir()}
        files[f"{name}/plots/{name}.png"] = b"no picture"
    runs = [ModelRun(b.manifest.name, b.manifest.version, {"test.pr_auc": 0.25}) for b in bundles]
    Outbox(data_dir).put("training", Training(key, tuple(runs)), files)
    return [Entry(run.name, run.version) for run in runs]


def tell_standing(data_dir: Path, server: Server | None = None) -> Waiting:
    """Have the aliases follow the standing, and return what waits."""
    queue_standing(data_dir, PRODUCT, FEED)
    return sync(data_dir, server).waiting


@dataclass(frozen=True)
class Seen:
    """What MLflow holds of one telling."""

    states: list[str]
    statuses: list[str]
    versions: list[int]
    models: list[str]
    artifacts: set[str]


def seen(client: Any, key: str, name: str = "zscore") -> Seen:
    """Return what MLflow holds of the training ``key``."""
    experiment_id = client.get_experiment_by_name("volspike").experiment_id
    runs = client.search_runs([experiment_id], f"tags.`{KEY}` = '{key}/{name}'")
    ids = [run.info.run_id for run in runs]
    return Seen(
        [run.data.tags[STATE] for run in runs],
        [run.info.status for run in runs],
        [int(v.version) for v in client.search_model_versions(f"name = '{name}'") if v.run_id in ids],
        [
            str(m.status)
            for run_id in ids
            for m in client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
        ],
        {f.path for run_id in ids for f in client.list_artifacts(run_id)},
    )


class MlflowServer:
    """A real tracking server on loopback; its data stay while it is away."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.uri = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self._directory}/server.db"]
        command += ["--artifacts-destination", str(self._directory / "artifacts")]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self._directory / "server.log").open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **quiet},
                cwd=self._directory,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + LONGEST_S
        while not self._answers():
            assert self._process.poll() is None, (self._directory / "server.log").read_text()[-2_000:]
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2):
                return True
        except OSError:
            return False

    def stop(self) -> None:
        """End it and its workers, which are of its own process group."""
        if self._process is not None:
            os.killpg(self._process.pid, 15)
            self._process.wait(30)
            self._process = None


@contextmanager
def mlflow_server(directory: Path) -> Iterator[MlflowServer]:
    """Have a server for a while; it is not started yet."""
    server = MlflowServer(directory)
    try:
        yield server
    finally:
        server.stop()
