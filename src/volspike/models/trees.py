"""Boosted trees as flat arrays, walked by a compiled loop: one row costs a few microseconds.

Each tree is laid out complete to the depth of the deepest one (at least four), so that a step down is
arithmetic instead of a branch: the children of node ``i`` are ``2 i + 1`` and ``2 i + 2``. A leaf above that
depth fills its whole subtree. A row is given twice, with missing values once as -inf and once as +inf; a node
reads the copy that sends a missing value its way. Comparisons and the sum over trees are in float32, in tree
order, as XGBoost does them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from volspike.errors import ModelError

Floats = npt.NDArray[np.float32]

MAX_DEPTH = 12
WRITTEN_OUT = 4
NO_CHILD = -1
VARIANCE_OBJECTIVE = "reg:gamma"  # its margin is the log of the variance; half of that is log sigma
HALF = np.float32(0.5)


class TreeJson(msgspec.Struct):
    """One tree of the XGBoost JSON model format (version 3), the fields that prediction needs."""

    left_children: list[int]
    right_children: list[int]
    split_indices: list[int]
    split_conditions: list[float]
    default_left: list[int]
    split_type: list[int]


class _Trees(msgspec.Struct):
    trees: list[TreeJson]


class _GradientBooster(msgspec.Struct):
    name: str
    model: _Trees


class _ModelParam(msgspec.Struct):
    base_score: str
    num_feature: str


class _Objective(msgspec.Struct):
    name: str


class _Learner(msgspec.Struct):
    gradient_booster: _GradientBooster
    learner_model_param: _ModelParam
    objective: _Objective


class _Document(msgspec.Struct):
    learner: _Learner


@dataclass(frozen=True)
class FlatTrees:
    """An ensemble of complete binary trees of ``depth`` levels.

    ``feature`` and ``threshold`` hold 2**depth - 1 nodes a tree, ``leaf`` 2**depth values a tree; ``base`` is
    the margin before the first tree. A ``feature`` of ``inputs`` or more reads the copy of the row in which
    missing values are +inf.
    """

    inputs: int
    depth: int
    base: np.float32
    feature: npt.NDArray[np.int32]
    threshold: Floats
    leaf: Floats


def parse_booster(document: bytes, subject: str) -> FlatTrees:
    """Flatten a booster saved in the XGBoost JSON format.

    Parameters
    ----------
    document : bytes
        The output of ``Booster.save_raw("json")``.
    subject : str
        What to name in an error.

    Raises
    ------
    ModelError
        When it is no ``gbtree`` of numerical splits, is too deep, or holds a number that is not finite.
    """
    try:
        learner = msgspec.json.decode(document, type=_Document).learner
        trees = learner.gradient_booster.model.trees
        inputs = int(learner.learner_model_param.num_feature)
        depth = max((_depth(tree, 0) for tree in trees), default=0)
        with np.errstate(all="ignore"):  # what is not finite is refused below
            objective = learner.objective.name
            base = _base_margin(learner.learner_model_param.base_score, objective)
            flat = _flatten(trees, max(depth, WRITTEN_OUT), inputs, base)
            if objective == VARIANCE_OBJECTIVE:
                flat = replace(flat, base=flat.base * HALF, leaf=flat.leaf * HALF)
    except (msgspec.MsgspecError, ValueError, IndexError, RecursionError) as error:
        raise _broken(subject, f"its trees can't be read ({error})") from error
    if learner.gradient_booster.name != "gbtree" or any(any(tree.split_type) for tree in trees):
        raise _broken(subject, "only gbtree boosters with numerical splits are supported")
    if not (np.isfinite(flat.leaf).all() and np.isfinite(flat.base) and not np.isnan(flat.threshold).any()):
        raise _broken(subject, "its trees hold a value that is not a finite number")
    return flat


def _broken(subject: str, reason: str) -> ModelError:
    return ModelError(subject, reason, "train the model again")


def _base_margin(text: str, objective: str) -> np.float32:
    """Return the intercept as a margin; XGBoost 3 writes ``[5E-1]``, earlier ones ``5E-1``."""
    score = np.float32(text.strip("[]"))
    if objective == "reg:squarederror":
        return score
    if objective == VARIANCE_OBJECTIVE:
        return np.float32(np.log(score))
    if objective == "binary:logistic":
        return np.float32(-np.log(np.float32(1.0) / score - np.float32(1.0)))
    raise ValueError(f"objective {objective}")


def _depth(tree: TreeJson, node: int, level: int = 0) -> int:
    if level > MAX_DEPTH:
        raise ValueError(f"deeper than {MAX_DEPTH} levels")
    left, right = tree.left_children[node], tree.right_children[node]
    if left == NO_CHILD:
        return level
    if min(left, right) <= node:
        raise ValueError("a tree is not a tree")
    return max(_depth(tree, left, level + 1), _depth(tree, right, level + 1))


def _flatten(trees: list[TreeJson], depth: int, inputs: int, base: np.float32) -> FlatTrees:
    inner, leaves = 2**depth - 1, 2**depth
    flat = FlatTrees(
        inputs=inputs,
        depth=depth,
        base=base,
        feature=np.zeros(len(trees) * inner, dtype=np.int32),
        threshold=np.full(len(trees) * inner, np.inf, dtype=np.float32),
        leaf=np.zeros(len(trees) * leaves, dtype=np.float32),
    )
    for index, tree in enumerate(trees):
        _place(flat, index * inner, index * leaves - inner, tree, 0, 0)
    return flat


def _place(flat: FlatTrees, nodes_at: int, leaves_at: int, tree: TreeJson, source: int, node: int) -> None:
    """Copy the subtree at ``source`` to ``node`` of the complete layout; a leaf is copied down to the end."""
    left, right = tree.left_children[source], tree.right_children[source]
    is_leaf = left == NO_CHILD
    if node >= 2**flat.depth - 1:
        flat.leaf[leaves_at + node] = tree.split_conditions[source]
        return
    if not is_leaf:
        column = tree.split_indices[source]
        if not 0 <= column < flat.inputs:
            raise ValueError(f"a split on input {column}")
        flat.feature[nodes_at + node] = column if tree.default_left[source] else column + flat.inputs
        flat.threshold[nodes_at + node] = tree.split_conditions[source]
    _place(flat, nodes_at, leaves_at, tree, source if is_leaf else left, 2 * node + 1)
    _place(flat, nodes_at, leaves_at, tree, source if is_leaf else right, 2 * node + 2)


def booster_json(booster: Any) -> bytes:
    """Return a booster in the JSON format that ``parse_booster`` reads."""
    return bytes(booster.save_raw("json"))
