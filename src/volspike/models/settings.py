"""Settings of a training run."""

from __future__ import annotations

from dataclasses import dataclass

from volspike.errors import ConfigError

KINDS = ("zscore", "logistic", "xgboost", "blend")
ON_REQUEST = ("online",)
CLASS_WEIGHTS = ("none", "balanced")


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How models are fitted.

    Parameters
    ----------
    seed : int
        Of XGBoost's row and column samples.
    class_weight : {"none", "balanced"}
        ``balanced`` gives spikes and the rest the same total weight; the calibration puts the probability
        right again.
    models : tuple of str
        Any of ``zscore``, ``logistic``, ``xgboost`` and ``blend``, which is made of the two before it; and
        ``online``, which goes on learning while it serves.
    har_inputs : bool
        Whether logistic and xgboost see the 5, 30 and 240 minute lags too.
    l2 : float
        Ridge penalty of the linear models, on scaled inputs, against the loss of so many windows of 60 rows.
    rounds, depth, learning_rate, patience : int, int, float, int
        Of XGBoost: most trees, their depth, their step, and trees without gain before it stops.
    threads : int
        XGBoost threads; fixed, because sums of floats depend on it.

    Raises
    ------
    ConfigError
        If a value is out of range.
    """

    seed: int = 0
    class_weight: str = "none"
    models: tuple[str, ...] = KINDS
    har_inputs: bool = True
    l2: float = 50.0
    rounds: int = 200
    depth: int = 4
    learning_rate: float = 0.05
    patience: int = 30
    threads: int = 1

    def __post_init__(self) -> None:
        known = KINDS + ON_REQUEST
        unknown = [name for name in self.models if name not in known]
        if unknown or not self.models:
            raise ConfigError("models", f"{unknown or 'none'} asked for", f"use any of {', '.join(known)}")
        if self.class_weight not in CLASS_WEIGHTS:
            raise ConfigError("class weight", f"{self.class_weight!r} is unknown", "use none or balanced")
        if not 1 <= self.depth <= 12:
            raise ConfigError("tree depth", f"{self.depth} is not between 1 and 12", "use 3, say")
        if min(self.rounds, self.patience, self.threads) < 1 or not 0.0 < self.learning_rate <= 1.0:
            raise ConfigError("xgboost settings", "a count below 1 or a step outside (0, 1]", "use defaults")
        if self.l2 <= 0.0:
            raise ConfigError("l2", f"{self.l2} is not above 0", "use 50, say")
