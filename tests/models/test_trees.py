from __future__ import annotations

import json

import numpy as np
import pytest
import xgboost

from volspike.errors import ModelError
from volspike.models.kernels import twice, walk
from volspike.models.trees import MAX_DEPTH, booster_json, parse_booster


def rows(n: int, columns: int, missing: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, columns))
    y = x[:, 0] + np.where(x[:, 1] > 0.3, 1.0, -1.0) + rng.normal(size=n)
    x[rng.random(x.shape) < missing] = np.nan
    return x, y


def boosted(objective: str, depth: int, trees: int, missing: float, **more: object) -> tuple:
    x, y = rows(3000, 5, missing, depth)
    label = (y > 1.0).astype(float) if objective == "binary:logistic" else y
    if objective == "reg:gamma":
        label = np.exp(y)
    data = xgboost.DMatrix(x, label=label)
    parameters = {"objective": objective, "max_depth": depth, "tree_method": "hist", "nthread": 1, **more}
    return xgboost.train(parameters, data, trees), data, x


def margins(flat, x: np.ndarray) -> np.ndarray:
    row = np.empty(2 * flat.inputs, np.float32)

    def margin(inputs: np.ndarray) -> float:
        twice(inputs, flat.inputs, row)
        return walk(row, flat.feature, flat.threshold, flat.leaf, flat.depth, flat.base)

    return np.array([margin(inputs) for inputs in np.asarray(x, dtype=np.float64)])


@pytest.mark.parametrize("objective", ["binary:logistic", "reg:squarederror", "reg:gamma"])
@pytest.mark.parametrize(("depth", "missing"), [(1, 0.0), (3, 0.2), (4, 0.2), (7, 0.05)])
def test_margins_equal_xgboost_with_missing_values(objective: str, depth: int, missing: float) -> None:
    booster, data, x = boosted(objective, depth, 40, missing)
    flat = parse_booster(booster_json(booster), "trees")
    theirs = booster.predict(data, output_margin=True)
    if objective == "reg:gamma":
        theirs = theirs / 2.0  # of log variance, log sigma is half
    assert flat.leaf.size == 40 << flat.depth
    np.testing.assert_allclose(margins(flat, x), theirs, rtol=0.0, atol=1e-6)
    assert len(np.unique(theirs)) > 1


def test_log_sigma_is_half_of_the_log_variance_to_the_bit() -> None:
    booster, _, x = boosted("reg:gamma", 5, 40, 0.2)
    document = json.loads(booster_json(booster))
    halved = parse_booster(json.dumps(document).encode(), "trees")
    # The same trees read as a plain regression whose base is the log of the gamma's.
    learner = document["learner"]
    learner["objective"]["name"] = "reg:squarederror"
    base = np.log(np.float32(learner["learner_model_param"]["base_score"].strip("[]")))
    learner["learner_model_param"]["base_score"] = f"[{base!s}]"
    whole = parse_booster(json.dumps(document).encode(), "trees")
    assert (margins(halved, x) == np.float32(0.5) * margins(whole, x)).all()
    assert halved.base == np.float32(0.5) * base


@pytest.mark.parametrize("base", ["[0E0]", "[-1E0]", "[INF]"])
def test_a_mean_variance_that_is_none_is_refused(base: str) -> None:
    booster, _, _ = boosted("reg:gamma", 2, 1, 0.0)
    document = json.loads(booster_json(booster))
    document["learner"]["learner_model_param"]["base_score"] = base
    with pytest.raises(ModelError, match="not a finite number"):
        parse_booster(json.dumps(document).encode(), "trees")


def test_both_directions_of_missing_values_occur_and_agree() -> None:
    booster, _, x = boosted("binary:logistic", 4, 60, 0.3)
    directions = {
        bool(d)
        for tree in json.loads(booster_json(booster))["learner"]["gradient_booster"]["model"]["trees"]
        for d, left in zip(tree["default_left"], tree["left_children"], strict=True)
        if left != -1
    }
    assert directions == {True, False}
    flat = parse_booster(booster_json(booster), "trees")
    holes = np.full_like(x[:1], np.nan)
    theirs = booster.predict(xgboost.DMatrix(holes), output_margin=True)
    assert margins(flat, holes) == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("base", ["[2.5E-1]", "2.5E-1"])
def test_base_score_in_both_spellings(base: str) -> None:
    booster, _, _ = boosted("binary:logistic", 2, 1, 0.0)
    document = json.loads(booster_json(booster))
    document["learner"]["learner_model_param"]["base_score"] = base
    flat = parse_booster(json.dumps(document).encode(), "trees")
    assert float(flat.base) == pytest.approx(np.log(0.25 / 0.75), abs=1e-6)


def test_a_model_without_a_split_is_its_base() -> None:
    booster, data, x = boosted("reg:squarederror", 4, 3, 0.0, min_child_weight=1e9)
    flat = parse_booster(booster_json(booster), "trees")
    np.testing.assert_allclose(margins(flat, x), booster.predict(data), atol=1e-6)


def altered(change) -> bytes:
    booster, _, _ = boosted("binary:logistic", 2, 2, 0.0)
    document = json.loads(booster_json(booster))
    change(document["learner"])
    return json.dumps(document).encode()


def tree(learner: dict) -> dict:
    return learner["gradient_booster"]["model"]["trees"][0]


def set_leaf(value: object):
    def change(learner: dict) -> None:
        first = tree(learner)
        first["split_conditions"][first["left_children"].index(-1)] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_leaf(1e300),
        set_leaf(None),
        lambda learner: learner["learner_model_param"].update(base_score="[NAN]"),
        lambda learner: learner["learner_model_param"].update(base_score="half"),
        lambda learner: learner["objective"].update(name="multi:softprob"),
        lambda learner: learner["gradient_booster"].update(name="dart"),
        lambda learner: tree(learner)["split_type"].__setitem__(0, 1),
        lambda learner: tree(learner)["split_indices"].__setitem__(0, 99),
        lambda learner: tree(learner)["left_children"].__setitem__(0, 0),
        lambda learner: tree(learner)["left_children"].__setitem__(0, 10**6),
        lambda learner: tree(learner).pop("split_conditions"),
    ],
)
def test_a_broken_ensemble_is_refused_in_one_line(change) -> None:
    with pytest.raises(ModelError) as caught:
        parse_booster(altered(change), "model x")
    assert "\n" not in str(caught.value)


def test_trees_deeper_than_the_limit_are_refused() -> None:
    booster, _, _ = boosted("reg:squarederror", MAX_DEPTH + 2, 1, 0.0, min_child_weight=0, reg_lambda=0)
    with pytest.raises(ModelError, match="deeper"):
        parse_booster(booster_json(booster), "model x")


def test_no_json_is_refused() -> None:
    with pytest.raises(ModelError):
        parse_booster(b"\x80\x04K\x01.", "model x")
