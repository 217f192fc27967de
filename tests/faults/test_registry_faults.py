"""Row 43 of the fault table: MLflow is away, and predictions, training and promotion go on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from volspike.bus.local_broker import free_port
from volspike.models.resolving import resolve_model
from whole_runs import volspike

SERVED = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from whole_runs import SEED, START_NS, market_after_history, settings_for
from volspike.clock import SimulatedClock
from volspike.pipeline.assembly import open_live
from volspike.simulation.scripted import exchange_frames
root, model, uri = sys.argv[2:]
job = open_live(settings_for(Path(root), model=model, mlflow_uri=uri), SimulatedClock(), ())
job.pipeline.begin("one")
for receive_ns, raw in exchange_frames(market_after_history(), SEED, START_NS + 200 * 10**9):
    job.pipeline.frame("one", receive_ns, raw, 0)
job.pipeline.end("one", "stop")
job.pipeline.finish()
job.close()
print(json.dumps({**job.as_dict(), "loaded": "mlflow" in sys.modules}))
"""


def served(root: Path, model: str, uri: str) -> dict[str, Any]:
    command = [sys.executable, "-c", SERVED, str(Path(__file__).parents[1]), str(root), model, uri]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
    assert ran.returncode == 0, ran.stderr[-2_000:]
    report: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return report


def test_fault_43_predictions_are_the_same_without_mlflow_which_is_not_even_loaded(
    trained: Callable[[], Path],
) -> None:
    away, sound = trained(), trained()
    pointer = json.loads(next((away / "models" / "champions").glob("*.json")).read_text())
    down = served(away, f"models:/{pointer['name']}@champion", f"http://127.0.0.1:{free_port()}")
    usual = served(sound, "", "")
    assert down["predictions"] == usual["predictions"] > 0
    assert (down["loaded"], usual["loaded"]) == (False, False)


def test_fault_43_training_promotion_and_rollback_go_on_and_mlflow_is_told_later(
    trained: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = trained()
    rows = volspike("models", "--data-dir", root, "--json").report["models"]
    champion = next(row for row in rows if row["state"] == "champion")
    other = next(row for row in rows if row["state"] == "whole")
    monkeypatch.setenv("VOLSPIKE_MLFLOW_URI", f"http://127.0.0.1:{free_port()}")
    for verb in (("promote", f"{other['model']}/{other['version']}", "--force"), ("rollback",), ("train",)):
        ran = volspike(*verb, "--data-dir", root, "--json")
        assert ran.code == 0, ran.err
        assert ran.report
    (warning,) = [line for line in ran.err.splitlines() if "WARNING" in line]
    assert "does not answer" in warning
    assert set(ran.report["mlflow"].values()) == {None}
    told = volspike("models", "--data-dir", root, "--json").report
    assert told["mlflow"]["items"] == 4  # two changes of the standing, a training and its champion
    monkeypatch.delenv("VOLSPIKE_MLFLOW_URI")
    assert volspike("models", "--sync", "--data-dir", root, "--json").report["mlflow"]["items"] == 0
    found = resolve_model(f"models:/{champion['model']}@champion", root)
    assert found == root / "models" / champion["model"] / champion["version"]
