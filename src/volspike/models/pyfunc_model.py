"""The model as MLflow's pyfunc loads it ("models from code": MLflow copies this file, nothing is pickled).

volspike itself never loads a model this way: it resolves the URI to the bundle and reads that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.pyfunc.model import PythonModel

from volspike.features.sets import get_feature_set
from volspike.models.bundle import Bundle, load_bundle
from volspike.models.inputs import CONTEXT_COLUMNS

F8 = npt.NDArray[np.float64]

BUNDLE = "bundle"


@dataclass(frozen=True)
class FrameRows:
    """The columns of a data frame that prediction reads."""

    features: F8
    rv_bps: F8
    tau_bps: F8
    har_bps: F8
    z: F8
    mid: F8

    @classmethod
    def of(cls, frame: pd.DataFrame, names: tuple[str, ...]) -> FrameRows:
        """Take the feature columns ``names`` and the context columns of a frame."""
        context = frame[list(CONTEXT_COLUMNS)].to_numpy(dtype=np.float64)
        return cls(
            features=frame[list(names)].to_numpy(dtype=np.float64),
            rv_bps=context[:, 0],
            tau_bps=context[:, 1],
            har_bps=context[:, 2:6],
            z=context[:, 6],
            mid=context[:, 7],
        )


class BundleModel(PythonModel):
    """Predict with the bundle among the artifacts."""

    def load_context(self, context: Any) -> None:
        """Load and verify the bundle."""
        self._bundle: Bundle = load_bundle(Path(context.artifacts[BUNDLE]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return p_spike and sigma with its interval (bps) for each row of a frame."""
        names = get_feature_set(self._bundle.manifest.feature_set).names
        scored = self._bundle.predictor.predict_batch(FrameRows.of(model_input, names))
        return pd.DataFrame(scored._asdict())


mlflow.models.set_model(BundleModel())
