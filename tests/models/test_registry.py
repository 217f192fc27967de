from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from volspike.errors import ModelError
from volspike.evaluation.report import Evaluation, evaluate
from volspike.models.bundle import load_bundle, new_bundle
from volspike.models.inputs import CONTEXT_COLUMNS
from volspike.models.mlflow_aliases import alias_of
from volspike.models.mlflow_client import open_mlflow
from volspike.models.mlflow_run import Registered
from volspike.models.registry import register
from volspike.models.resolving import resolve_model
from volspike.models.shelf import save_bundle
from volspike.models.standing import crown_champion
from volspike.models.train import TrainResult


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def evaluation(dataset, split, trained, data_dir: Path) -> Evaluation:
    return evaluate(trained.bundles, dataset, split, trained.champion, data_dir / "reports")


@pytest.fixture(scope="module")
def registered(trained: TrainResult, evaluation: Evaluation, data_dir: Path):
    saved = {name: save_bundle(bundle, data_dir / "models") for name, bundle in trained.bundles.items()}
    return register(trained, evaluation, saved, data_dir).models


def test_every_model_is_registered_and_resolves_to_an_equal_bundle(
    dataset, trained, registered, data_dir: Path
) -> None:
    assert {name: entry.version for name, entry in registered.items()} == dict.fromkeys(trained.bundles, 1)
    for name, bundle in trained.bundles.items():
        path = resolve_model(registered[name].uri, data_dir)
        loaded = load_bundle(path)
        assert loaded.manifest.version == bundle.manifest.version
        ours, theirs = (b.predictor.predict_batch(dataset) for b in (bundle, loaded))
        np.testing.assert_allclose(ours, theirs, atol=1e-6, rtol=0.0)


def test_registering_is_quiet(trained, evaluation, tmp_path: Path, capfd) -> None:
    saved = {"zscore": save_bundle(trained.bundles["zscore"], tmp_path / "models")}
    alone = replace(trained, bundles={"zscore": trained.bundles["zscore"]}, champion="zscore")
    register(alone, evaluation, saved, tmp_path)
    assert capfd.readouterr() == ("", "")


def test_the_champion_alias_is_on_the_champion_alone(trained, registered, data_dir: Path) -> None:
    uri = f"models:/{trained.champion}@champion"
    assert resolve_model(uri, data_dir) == resolve_model(registered[trained.champion].uri, data_dir)
    for name in set(trained.bundles) - {trained.champion}:
        with pytest.raises(ModelError, match="champion"):
            resolve_model(f"models:/{name}@champion", data_dir)


def test_a_run_holds_params_metrics_hashes_and_pictures(
    dataset, trained, registered, evaluation: Evaluation, data_dir: Path
) -> None:
    with open_mlflow(data_dir) as client:
        run = client.get_run(registered["xgboost"].run_id)
        pictures = {f.path for f in client.list_artifacts(run.info.run_id, "plots")}
        report = Path(client.download_artifacts(run.info.run_id, "report.json")).read_text()
    manifest = trained.bundles["xgboost"].manifest
    assert run.data.params["class_weight"] == "none"
    assert run.data.params["tau_mode"] == "adaptive"
    assert run.data.tags["dataset_sha256"] == dataset.sha256
    assert run.data.tags["feature_set_hash"] == manifest.feature_set_hash
    assert run.data.tags["bundle_version"] == manifest.version
    test = evaluation.models["xgboost"]["test"]
    assert run.data.metrics["test.pr_auc"] == pytest.approx(test.pr_auc)
    assert run.data.metrics["test.enough_data"] == float(test.enough_data)
    assert pictures == {"plots/xgboost-test-confusion.png", "plots/xgboost-test-pr.png"}
    assert json.loads(report)["champion"] == trained.champion


def test_pyfunc_from_code_predicts_the_same_without_a_pickle(
    dataset, trained, registered, data_dir: Path
) -> None:
    rows = dataset.rows(np.arange(0, len(dataset), 500))
    with open_mlflow(data_dir):
        import mlflow
        import pandas as pd

        frame = pd.DataFrame(
            np.column_stack((rows.features, rows.rv_bps, rows.tau_bps, rows.har_bps, rows.z, rows.mid)),
            columns=[*rows.columns, *CONTEXT_COLUMNS],
        )
        model = mlflow.pyfunc.load_model(registered["xgboost"].uri)
        scored = model.predict(frame)
        with pytest.raises(mlflow.exceptions.MlflowException, match="missing"):
            model.predict(frame.drop(columns="tau_bps"))
    expected = trained.bundles["xgboost"].predictor.predict_batch(rows)
    np.testing.assert_allclose(scored["p_spike"], expected.p_spike, atol=1e-6, rtol=0.0)
    files = [p for p in (data_dir / "mlartifacts").rglob("*") if p.is_file()]
    assert files
    assert not [p for p in files if p.suffix in {".pkl", ".pickle", ".joblib"}]


def test_a_second_run_moves_the_aliases(trained, registered, evaluation, data_dir: Path) -> None:
    champion = trained.champion
    other = next(name for name in trained.bundles if name != champion)
    saved = {name: save_bundle(bundle, data_dir / "models") for name, bundle in trained.bundles.items()}
    again = register(replace(trained, champion=other), evaluation, saved, data_dir).models
    assert again[other].version == 2
    assert resolve_model(f"models:/{other}@champion", data_dir) == resolve_model(again[other].uri, data_dir)
    assert resolve_model(f"models:/{champion}@previous", data_dir) == resolve_model(
        registered[champion].uri, data_dir
    )
    with pytest.raises(ModelError):
        resolve_model(f"models:/{champion}@champion", data_dir)


@pytest.mark.parametrize(
    "uri",
    [
        "models:/",
        "models:/x",
        "models:/x/0",
        "models:/X@y",
        "models:/../x@y",
        "models:/none@champion",
        "models:/none/3",
    ],
)
def test_an_unknown_uri_is_a_model_error_in_one_line(registered, data_dir: Path, uri: str) -> None:
    with pytest.raises(ModelError) as caught:
        resolve_model(uri, data_dir)
    assert "\n" not in str(caught.value)


def test_paths_and_the_champion_pointer_resolve(trained, registered, data_dir: Path, tmp_path: Path) -> None:
    bundle = trained.bundles["zscore"]
    path = data_dir / "models" / "zscore" / bundle.manifest.version
    assert resolve_model(path, data_dir) == path
    assert resolve_model(str(path), data_dir) == path
    crown_champion(data_dir / "models", "zscore", bundle.manifest.version)
    assert resolve_model("champion", data_dir) == path
    for missing in ("nowhere", tmp_path / "nowhere"):
        with pytest.raises(ModelError, match="no such directory"):
            resolve_model(missing, data_dir)
    with pytest.raises(ModelError, match=r"no mlflow\.db"):
        resolve_model("models:/zscore@champion", tmp_path)


def test_an_unwritable_place_is_a_model_error_at_once(trained, evaluation, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="missing or can't be written"):
        register(trained, evaluation, {}, tmp_path / "missing")


def changed(trained: TrainResult, **changes: object) -> TrainResult:
    """Return the same models as if their manifests said something else."""
    bundles = {
        name: new_bundle(msgspec.structs.replace(bundle.manifest, **changes), bundle.files)
        for name, bundle in trained.bundles.items()
    }
    return replace(trained, bundles=bundles)


def registered_in(root: Path, trained: TrainResult, evaluation: Evaluation) -> dict[str, Registered]:
    """Save, register and crown a training run of the champion alone."""
    champion = trained.champion
    alone = replace(trained, bundles={champion: trained.bundles[champion]})
    saved = {champion: save_bundle(trained.bundles[champion], root / "models")}
    crown_champion(root / "models", champion, trained.bundles[champion].manifest.version)
    return register(alone, evaluation, saved, root).models


def test_each_product_has_a_champion_of_its_own(trained, evaluation, tmp_path: Path) -> None:
    other = changed(trained, product="ETH-USD")
    name, product, feed = trained.champion, *_kind(trained)
    registered_in(tmp_path, trained, evaluation)
    plain = resolve_model(f"models:/{name}@champion", tmp_path)
    assert resolve_model("champion", tmp_path) == resolve_model("champion", tmp_path, product)
    registered_in(tmp_path, other, evaluation)
    for each, bundle in ((product, trained.bundles[name]), ("ETH-USD", other.bundles[name])):
        for found in (
            resolve_model("champion", tmp_path, each),
            resolve_model(f"models:/{name}@{alias_of('champion', each, feed)}", tmp_path),
        ):
            assert load_bundle(found).manifest.version == bundle.manifest.version
    assert resolve_model(f"models:/{name}@{alias_of('champion', product, feed)}", tmp_path) == plain
    with pytest.raises(ModelError, match=r"several champions: .*ETH-USD on exchange; choose one"):
        resolve_model("champion", tmp_path)
    with pytest.raises(ModelError, match=r"write @champion-.* or @champion-eth-usd-exchange"):
        resolve_model(f"models:/{name}@champion", tmp_path)
    registered_in(tmp_path, changed(trained, notes=("another",)), evaluation)
    assert resolve_model(f"models:/{name}@{alias_of('previous', product, feed)}", tmp_path) == plain


def _kind(trained: TrainResult) -> tuple[str, str]:
    manifest = trained.bundles[trained.champion].manifest
    return manifest.product, manifest.feed


def test_a_copied_directory_reads_and_writes_its_own_artifacts(trained, evaluation, tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copied to" / "a new place"
    original.mkdir()
    registered_in(original, trained, evaluation)
    uri = f"models:/{trained.champion}@champion"
    assert original in resolve_model(uri, original).parents
    shutil.copytree(original, copy)
    assert copy in resolve_model(uri, copy).parents
    files = sorted((original / "mlartifacts").rglob("*"))
    again = registered_in(copy, changed(trained, notes=("another",)), evaluation)
    assert copy in resolve_model(again[trained.champion].uri, copy).parents
    assert sorted((original / "mlartifacts").rglob("*")) == files
    shutil.rmtree(original)
    load_bundle(resolve_model(uri, copy))
    load_bundle(resolve_model(f"models:/{trained.champion}@previous", copy))
