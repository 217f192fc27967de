"""One trained model in MLflow: a run, the model with its bundle, and a version of the registered model.

Telling is idempotent: the run carries the key of what is told, the version its run. What was half told when
the process died is found again and completed; until then the tag ``volspike.state`` of the run is ``half``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from volspike import __version__
from volspike.errors import RegistryError
from volspike.features.sets import get_feature_set
from volspike.models.calibration import ScoredRows
from volspike.models.inputs import CONTEXT_COLUMNS
from volspike.models.manifest import Manifest
from volspike.models.mlflow_client import NEVER

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_CODE = Path(__file__).with_name("pyfunc_model.py")
BUNDLE_VERSION = "bundle_version"
KEY = "volspike.key"
STATE = "volspike.state"
OURS = "volspike"


@dataclass(frozen=True)
class Registered:
    """A registered model version."""

    name: str
    version: int
    run_id: str

    @property
    def uri(self) -> str:
        """Return the ``models:/`` URI of this version."""
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True)
class ToldModel:
    """What is told of one model.

    Attributes
    ----------
    key : str
        Tells this telling from any other on the server.
    manifest : Manifest
        Of the bundle, which has been checked.
    bundle : Path
        Its directory.
    metrics : dict of str to float
        Scores as ``<part>.<metric>``.
    files : dict of Path to str
        Files of the run, with their folder there.
    """

    key: str
    manifest: Manifest
    bundle: Path
    metrics: dict[str, float]
    files: dict[Path, str]


def tell_model(
    client: MlflowClient, experiment_id: str, told: ToldModel, step: Callable[[str], None]
) -> Registered:
    """Log a model and register it, or complete what was begun; return its version.

    Parameters
    ----------
    step : callable
        Called with the name of each step that is reached.

    Raises
    ------
    RegistryError
        When the registered model of that name is somebody else's.
    MlflowException
        When MLflow refuses.
    """
    name = told.manifest.name
    run = _run(client, experiment_id, told)
    run_id = run.info.run_id
    version = _version(client, name, run_id)
    if version is not None and run.data.tags.get(STATE) == "whole":
        return Registered(name, version, run_id)
    step("run.created")
    model_id = _logged_model(client, experiment_id, run_id, told, step)
    _log_values(client, run_id, model_id, told)
    step("run.values")
    for path, folder in told.files.items():
        client.log_artifact(run_id, str(path), folder or None)
    step("run.files")
    own_name(client, name)
    if version is None:
        tags = tags_of(told.manifest)
        source = f"models:/{model_id}"
        version = int(client.create_model_version(name, source, run_id, tags=tags, model_id=model_id).version)
    step("version.created")
    client.set_tag(run_id, STATE, "whole")
    client.set_terminated(run_id, "FINISHED")
    step("run.finished")
    return Registered(name, version, run_id)


def _run(client: MlflowClient, experiment_id: str, told: ToldModel) -> Any:
    found = client.search_runs([experiment_id], f"tags.`{KEY}` = '{told.key}'", max_results=1)
    if found:
        return found[0]
    tags = {**tags_of(told.manifest), KEY: told.key, STATE: "half"}
    return client.create_run(
        experiment_id, tags=tags, run_name=f"{told.manifest.name} {told.manifest.version}"
    )


def _logged_model(
    client: MlflowClient, experiment_id: str, run_id: str, told: ToldModel, step: Callable[[str], None]
) -> str:
    """Return the id of the run's model, uploaded whole; one that was begun is taken away."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    for found in client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'"):
        if found.status == LoggedModelStatus.READY:
            return str(found.model_id)
        client.delete_logged_model(found.model_id)
    model = client.create_logged_model(
        experiment_id, told.manifest.name, run_id, tags_of(told.manifest), _params(told.manifest)
    )
    step("model.created")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    with TemporaryDirectory(prefix="volspike-") as temporary:
        directory = Path(temporary) / "model"
        _save(directory, model, run_id, told)
        client.log_model_artifacts(model.model_id, str(directory))
    step("model.uploaded")
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def _save(directory: Path, model: Any, run_id: str, told: ToldModel) -> None:
    """Write the model as MLflow's pyfunc loads it: our code and the bundle, nothing pickled."""
    from mlflow.models import Model
    from mlflow.pyfunc import save_model

    save_model(
        path=str(directory),
        mlflow_model=Model(
            artifact_path=model.artifact_location,
            model_uuid=model.model_id,
            run_id=run_id,
            model_id=model.model_id,
        ),
        python_model=str(MODEL_CODE),
        artifacts={"bundle": str(told.bundle.resolve())},
        signature=_signature(told.manifest),
        pip_requirements=_requirements(told.manifest),
    )
    for compiled in list(directory.rglob("__pycache__")):
        shutil.rmtree(compiled)


def _log_values(client: MlflowClient, run_id: str, model_id: str, told: ToldModel) -> None:
    """Log parameters and scores; told again with the same stamp, they are kept once."""
    from mlflow.entities import Metric, Param

    stamp_ms = told.manifest.training.last_ns // 1_000_000
    client.log_batch(
        run_id,
        [Metric(key, value, stamp_ms, 0, model_id=model_id) for key, value in told.metrics.items()],
        [Param(key, value) for key, value in _params(told.manifest).items()],
    )


def own_name(client: MlflowClient, name: str) -> None:
    """Make the registered model, or see that it is ours: a server may be shared with anybody.

    Raises
    ------
    RegistryError
        When it is somebody else's.
    """
    found = client.search_registered_models(f"name = '{name}'")
    if not found:
        client.create_registered_model(name, tags={OURS: "true"})
        return
    if OURS in found[0].tags:
        return
    versions = client.search_model_versions(f"name = '{name}'", max_results=1)
    if versions and BUNDLE_VERSION not in versions[0].tags:
        remedy = "rename it there, or use another server"
        raise RegistryError(f"registered model {name}", "it is not of volspike", remedy)
    client.set_registered_model_tag(name, OURS, "true")


def _version(client: MlflowClient, name: str, run_id: str) -> int | None:
    found = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    return max((int(each.version) for each in found), default=None)


def find_version(client: MlflowClient, name: str, bundle_version: str) -> Registered | None:
    """Return the newest registered version of a bundle, or None."""
    wanted = f"name = '{name}' and tags.{BUNDLE_VERSION} = '{bundle_version}'"
    found = client.search_model_versions(wanted)
    newest = max(found, key=lambda each: int(each.version), default=None)
    return None if newest is None else Registered(name, int(newest.version), newest.run_id or "")


def is_final(error: Exception) -> bool:
    """Tell whether MLflow would refuse the same for ever."""
    return getattr(error, "error_code", "") == NEVER


def _params(manifest: Manifest) -> dict[str, str]:
    params = {
        "kind": manifest.kind,
        "product": manifest.product,
        "feed": manifest.feed,
        "feature_set": f"{manifest.feature_set} {manifest.feature_set_version}",
        "inputs": " ".join(manifest.input_names),
        "target": manifest.target,
        "tau_mode": manifest.tau.mode,
        "tau_quantile": manifest.tau.quantile,
        "tau_floor_bps": manifest.tau.floor_bps,
        "tau_fixed_bps": manifest.tau.fixed_bps,
        "alert_open_at": manifest.alert.open_at,
        "seed": manifest.training.seed,
        "class_weight": manifest.training.class_weight,
        "fit_rows": manifest.training.fit_rows,
        "tune_rows": manifest.training.tune_rows,
        "calibrate_rows": manifest.training.calibrate_rows,
        "calibrated": manifest.calibration.calibrated,
        "reference": manifest.reference,
        **manifest.training.settings,
    }
    return {key: str(value) for key, value in params.items()}


def tags_of(manifest: Manifest) -> dict[str, str]:
    """Return the tags of a model's run, model and version: which bundle, of what."""
    return {
        BUNDLE_VERSION: manifest.version,
        "dataset_sha256": manifest.provenance.dataset_sha256,
        "feature_set_hash": manifest.feature_set_hash,
        "code_version": manifest.provenance.code_version,
        "enough_data": str(manifest.scored_on_enough),
        "train_start_ns": str(manifest.training.first_ns),
        "train_end_ns": str(manifest.training.last_ns),
        "horizon_s": "60",
    }


def _signature(manifest: Manifest) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    names = (*get_feature_set(manifest.feature_set).names, *CONTEXT_COLUMNS)
    return ModelSignature(
        inputs=Schema([ColSpec("double", name) for name in names]),
        outputs=Schema([ColSpec("double", name) for name in ScoredRows._fields]),
    )


def _requirements(manifest: Manifest) -> list[str]:
    libraries = [f"{name}=={version}" for name, version in manifest.provenance.libraries.items()]
    return [f"volspike=={__version__}", *libraries]
