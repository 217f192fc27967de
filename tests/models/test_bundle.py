from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from volspike.errors import ModelError
from volspike.models import bundle as bundle_module
from volspike.models import shelf
from volspike.models.bundle import check_fits, load_bundle, new_bundle
from volspike.models.manifest import content_version, pretty
from volspike.models.settings import KINDS
from volspike.models.shelf import bundle_paths, save_bundle
from volspike.models.standing import champion_path, crown_champion


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def rewrite(directory: Path, change) -> None:
    """Alter the manifest and give it the version of its new content, as a forger would."""
    path = directory / "manifest.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=bundle_module.Manifest)
    except msgspec.MsgspecError:
        return
    document["version"] = content_version(manifest)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("name", KINDS)
def test_a_saved_bundle_loads_and_predicts_the_same(dataset, trained, models: Path, name: str) -> None:
    bundle = trained.bundles[name]
    path = save_bundle(bundle, models)
    assert path == models / name / bundle.manifest.version
    loaded = load_bundle(path)
    assert loaded.manifest == bundle.manifest
    for ours, theirs in (
        (bundle.predictor, loaded.predictor),
        (bundle.reference, loaded.reference),
    ):
        np.testing.assert_array_equal(ours.predict_batch(dataset), theirs.predict_batch(dataset))
    assert loaded.predictor.version == bundle.manifest.version
    assert sorted(p.name for p in path.parent.iterdir()) == [bundle.manifest.version]
    assert bundle_paths(models) == [path]


@pytest.mark.parametrize("name", KINDS)
def test_invariant_08_any_altered_byte_is_refused(trained, models: Path, name: str) -> None:
    path = save_bundle(trained.bundles[name], models)
    for file in sorted(path.iterdir()):
        whole = file.read_bytes()
        altered = whole.replace(b"0.", b"1.", 1) if file.suffix == ".json" else whole[:-9] + b"X" + whole[-8:]
        assert altered != whole
        for content in (altered, whole[:-1], whole + b" ", b""):
            if file.name == "manifest.json" and content == whole + b" ":
                continue
            file.write_bytes(content)
            if json_equal(content, whole):
                continue
            with pytest.raises(ModelError) as caught:
                load_bundle(path)
            assert "\n" not in str(caught.value)
        file.write_bytes(whole)
    load_bundle(path)


def json_equal(one: bytes, other: bytes) -> bool:
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


def test_invariant_08_a_missing_file_and_a_missing_directory_are_refused(trained, models: Path) -> None:
    path = save_bundle(trained.bundles["xgboost"], models)
    (path / "sigma.ubj").unlink()
    with pytest.raises(ModelError, match=r"sigma\.ubj is missing"):
        load_bundle(path)
    with pytest.raises(ModelError, match=r"manifest\.json is missing"):
        load_bundle(models / "nowhere")


class Bomb:
    """What a poisoned pickle runs when it is opened."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (self.target,)


def test_invariant_08_a_poisoned_pickle_in_the_directory_is_not_opened(trained, models: Path) -> None:
    path = save_bundle(trained.bundles["xgboost"], models)
    proof = models / "owned"
    poison = pickle.dumps(Bomb(str(proof)))
    (path / "model.pkl").write_bytes(poison)
    load_bundle(path)
    for name in ("classifier.ubj", "reference.json", "manifest.json"):
        whole = (path / name).read_bytes()
        (path / name).write_bytes(poison)
        with pytest.raises(ModelError):
            load_bundle(path)
        (path / name).write_bytes(whole)
    assert not proof.exists()
    pickle.loads(poison)
    assert proof.exists()


def test_invariant_08_a_pickle_with_a_right_hash_is_refused(trained, models: Path) -> None:
    proof = models / "owned"
    poison = pickle.dumps(Bomb(str(proof)))
    for name, file in (("xgboost", "classifier.ubj"), ("logistic", "weights.json")):
        bundle = trained.bundles[name]
        with pytest.raises(ModelError):
            new_bundle(bundle.manifest, {**bundle.files, file: poison})
    assert not proof.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(feature_set_hash="0" * 64), "definition has changed"),
        (lambda m: m.update(feature_set="unheard-of"), "no such set"),
        (lambda m: m.update(format=3), "format 3"),
        (lambda m: m.update(kind="forest"), "does not consist"),
        (lambda m: m.update(kind="xgboost"), "does not consist"),
        (lambda m: m.update(surprise=1), "malformed"),
        (lambda m: m.pop("tau"), "malformed"),
        (lambda m: m.update(fixed="x", product=7), "malformed"),
        (lambda m: m.update(name="../../etc"), "not allowed"),
        (lambda m: m["files"][0].update(path="../secret.json"), "does not consist"),
        (lambda m: m["files"].append({"path": "x.pkl", "sha256": "0", "bytes": 1}), "does not consist"),
        (lambda m: m["files"][0].update(sha256="0" * 64), "was altered"),
        (lambda m: m["calibration"].update(slope=None), "malformed"),
        (lambda m: m["inputs"].update(increment=0.0), "malformed"),
        (lambda m: m["inputs"]["columns"].__setitem__(0, 40), "not those of feature set core"),
        (lambda m: m["inputs"]["steps"].__setitem__(0, 200), "not those of feature set core"),
        (lambda m: m["inputs"].update(width=10**9), "not those of feature set core"),
        (lambda m: m["inputs"]["names"].append("moon_phase"), "malformed"),
        (lambda m: m.update(increment=1e308), "malformed"),
        (lambda m: m.update(product="../../x"), "malformed"),
        (lambda m: m.update(feed="../x"), "malformed"),
        (lambda m: m["notes"].append("\x1b]0;owned\x07"), "malformed"),
        (lambda m: m["tau"].update(fixed_bps=-1.0), "malformed"),
        (lambda m: m["alert"].update(open_at=0.1, close_at=0.9), "malformed"),
        (lambda m: m["sigma_band"].update(low=2.0, high=-2.0), "malformed"),
        (lambda m: m["sigma_band"].update(high=0.0), "malformed"),
        (lambda m: m["sigma_band"].update(least=1e9), "malformed"),
        (lambda m: m["sigma_band"].update(least=None), "malformed"),
        (lambda m: m["tau"].update(fixed_bps=0.0), "malformed"),
        (lambda m: m["tau"].update(fixed_bps=None), "malformed"),
        (lambda m: m["tau"].update(quantile=2.0), "malformed"),
        (lambda m: m["tau"].update(quantile=1.0), "malformed"),
        (lambda m: m["tau"].update(floor_bps=-1.0), "malformed"),
        (lambda m: m["tau"].update(mode="guess"), "malformed"),
        (lambda m: m["calibration"].update(slope=0.0), "malformed"),
        (lambda m: m["calibration"].update(slope=-1.0), "malformed"),
        (lambda m: m.update(increment=0.0), "malformed"),
        (lambda m: m.update(increment=-0.01), "malformed"),
        (lambda m: m["alert"].update(open_at=2.0), "malformed"),
        (lambda m: m["alert"].update(open_at=None), "malformed"),
        (lambda m: m["alert"].update(close_at=-0.1), "malformed"),
        (lambda m: m["training"].update(last_ns=m["training"]["first_ns"] - 1), "malformed"),
        (lambda m: m["training"].update(fit_rows=-1), "malformed"),
    ],
)
def test_invariant_08_a_forged_manifest_is_refused(trained, models: Path, change, words: str) -> None:
    path = save_bundle(trained.bundles["logistic"], models)
    rewrite(path, change)
    with pytest.raises(ModelError, match=words) as caught:
        load_bundle(path)
    assert "\n" not in str(caught.value)


NAN = float("nan")


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("tau", {"fixed_bps": NAN}),
        ("tau", {"quantile": NAN}),
        ("alert", {"open_at": NAN}),
        ("calibration", {"slope": NAN}),
        ("sigma_band", {"least": NAN}),
        ("training", {"last_ns": 0}),
        ("", {"increment": NAN}),
    ],
)
def test_invariant_08_no_manifest_is_made_of_numbers_that_are_none(trained, part: str, values: dict) -> None:
    manifest = trained.bundles["logistic"].manifest
    with pytest.raises(ValueError, match=r"a |alerts|the |tau "):
        msgspec.structs.replace(getattr(manifest, part) if part else manifest, **values)


@pytest.mark.parametrize("number", ["null", "NaN", "Infinity", '"1"'])
def test_invariant_08_a_weight_that_is_no_finite_number_is_refused(trained, number: str) -> None:
    for name, file in (
        ("logistic", "weights.json"),
        ("zscore", "weights.json"),
        ("zscore", "reference.json"),
    ):
        bundle = trained.bundles[name]
        document = json.loads(bundle.files[file])
        weights = document.get("weights", document)
        weights["margin_intercept"] = "HERE"
        content = json.dumps(document).replace('"HERE"', number).encode()
        with pytest.raises(ModelError, match="malformed"):
            new_bundle(bundle.manifest, {**bundle.files, file: content})


def test_invariant_08_weights_for_other_inputs_are_refused(trained) -> None:
    bundle = trained.bundles["logistic"]
    weights = json.loads(bundle.files["weights.json"])
    for key in ("margin", "sigma", "missing"):
        weights[key] = weights[key][:-1]
    with pytest.raises(ModelError, match="weights"):
        new_bundle(bundle.manifest, {**bundle.files, "weights.json": json.dumps(weights).encode()})


def test_invariant_08_a_symlink_is_refused(trained, models: Path) -> None:
    path = save_bundle(trained.bundles["zscore"], models)
    outside = models / "outside.json"
    shutil.move(path / "weights.json", outside)
    (path / "weights.json").symlink_to(outside)
    with pytest.raises(ModelError, match="no regular file"):
        load_bundle(path)


def test_invariant_08_another_feed_set_or_product_is_refused(trained) -> None:
    boosted, rule = trained.bundles["xgboost"].manifest, trained.bundles["zscore"].manifest
    check_fits(boosted, "exchange", "BTC-USD", "core")
    check_fits(rule, "advanced", "BTC-USD", "core")
    with pytest.raises(ModelError, match="depend on the feed"):
        check_fits(boosted, "advanced", "BTC-USD", "core")
    with pytest.raises(ModelError, match="feature set"):
        check_fits(rule, "exchange", "BTC-USD", "core-sized")
    with pytest.raises(ModelError, match="ETH-USD"):
        check_fits(rule, "exchange", "ETH-USD", "core")


def test_a_crash_while_saving_leaves_nothing_half_written(trained, models: Path, monkeypatch) -> None:
    class CrashError(BaseException):
        pass

    def crash(path: Path, content: bytes) -> None:
        path.write_bytes(content[: len(content) // 2])
        raise CrashError

    monkeypatch.setattr(shelf, "write_synced", crash)
    with pytest.raises(CrashError):
        save_bundle(trained.bundles["zscore"], models)
    assert list((models / "zscore").iterdir()) == []


def test_saving_again_repairs_a_broken_copy_and_renews_the_provenance(trained, models: Path) -> None:
    bundle = trained.bundles["zscore"]
    path = save_bundle(bundle, models)
    (path / "weights.json").write_text("{}")
    save_bundle(bundle, models)
    load_bundle(path)
    provenance = msgspec.structs.replace(bundle.manifest.provenance, code_version="next")
    manifest = msgspec.structs.replace(bundle.manifest, provenance=provenance)
    save_bundle(bundle_module.Bundle(manifest, bundle.files, bundle.predictor, bundle.reference), models)
    assert load_bundle(path).manifest.provenance.code_version == "next"
    assert sorted(p.name for p in path.iterdir()) == ["manifest.json", "reference.json", "weights.json"]


def test_a_file_in_the_way_is_a_model_error(trained, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(ModelError, match="can't be written"):
        save_bundle(trained.bundles["zscore"], tmp_path / "models")


@pytest.mark.parametrize("name", ["", "Upper", "a/b", "..", "a_b", "-a", "a" * 65])
def test_names_are_restricted(trained, models: Path, name: str) -> None:
    bundle = trained.bundles["zscore"]
    named = new_bundle(msgspec.structs.replace(bundle.manifest, name=name), bundle.files)
    with pytest.raises(ModelError, match="not allowed"):
        save_bundle(named, models)
    assert not models.exists()


def test_champion_pointer(trained, models: Path) -> None:
    with pytest.raises(ModelError, match="no champion"):
        champion_path(models)
    bundle = trained.bundles["zscore"]
    path = save_bundle(bundle, models)
    crown_champion(models, "zscore", bundle.manifest.version)
    assert champion_path(models) == path
    with pytest.raises(ModelError, match="missing"):
        crown_champion(models, "zscore", "0" * 12)
    assert champion_path(models) == path
    for content in (b"{", b'{"name": "../..", "version": "000000000000"}', pickle.dumps(1)):
        next((models / "champions").glob("*.json")).write_bytes(content)
        with pytest.raises(ModelError):
            champion_path(models)


def test_the_manifest_is_readable_json(trained) -> None:
    text = pretty(trained.bundles["xgboost"].manifest)
    document = json.loads(text)
    assert {f["path"] for f in document["files"]} == {"classifier.ubj", "reference.json", "sigma.ubj"}
    assert document["inputs"]["names"][0] == "asinh_midprice_return_mean"
