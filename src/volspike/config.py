"""Settings: ``volspike.toml`` < environment ``VOLSPIKE_...`` < command-line flags, one typed model."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from volspike.errors import ConfigError

ENV_PREFIX = "VOLSPIKE_"
CONFIG_FILE = "volspike.toml"


class Settings(BaseSettings):
    """Everything a user can set; each field's description is what ``volspike config`` prints."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, extra="forbid", frozen=True, nested_model_default_partial_update=True
    )

    data_dir: Path = Field(Path("volspike-data"), description="where everything is kept")
    products: Annotated[tuple[str, ...], NoDecode] = Field(
        ("BTC-USD",), min_length=1, description="products to watch"
    )
    dialect: Literal["auto", "exchange", "advanced"] = Field(
        "auto", description="which Coinbase feed; auto: the champion's, else exchange"
    )
    exchange_url: str = Field("", description="WebSocket address; empty: the dialect's production address")
    feature_set: str = Field("core", description="feature set of new features and models")
    target: Literal["rv", "std", "next-row"] = Field("rv", description="what a label measures")
    tau_mode: Literal["adaptive", "fixed"] = Field("adaptive", description="how the spike threshold is set")
    tau_quantile: float = Field(0.95, gt=0, lt=1, description="quantile of volatility that makes a spike")
    tau_floor_bps: float = Field(4.0, ge=0, description="adaptive tau is never below this (bps a minute)")
    class_weight: Literal["none", "balanced"] = Field("none", description="weight of spikes in training")
    seed: int = Field(7, ge=0, description="seed of everything random")
    model: str = Field("", description="bundle directory or models:/NAME@alias; empty: the champion")
    alert_open: float | None = Field(
        None, gt=0, le=1, description="open at this p(spike); empty: the model's"
    )
    alert_close: float | None = Field(None, ge=0, le=1, description="close below it; empty: the model's")
    alert_cooldown_s: float = Field(60.0, ge=0, description="event-time pause after an alert closed")
    log_retention_hours: float = Field(168.0, gt=0, description="how long the log keeps records")
    price_decimals: dict[str, int] = Field(default_factory=dict, description="price scale per product")
    log_level: Literal["debug", "info", "warning", "error"] = Field("warning", description="log detail")

    @field_validator("products", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Read the environment's ``BTC-USD,ETH-USD``."""
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: flags, environment, file."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, _read_file())


def load_settings(flags: Mapping[str, Any] | None = None) -> Settings:
    """Return the effective settings.

    Parameters
    ----------
    flags : mapping, optional
        Command-line values; those that are None count as not given.

    Raises
    ------
    ConfigError
        An unknown key, or a value of the wrong type or range, with the name of its source.
    """
    given = _given(flags)
    _refuse_unknown_environment()
    try:
        return Settings(**given)
    except ValidationError as error:
        raise _explain(error, given) from None
    except SettingsError as error:
        raise ConfigError("environment", str(error), 'mappings are written as JSON: {"BTC-USD": 8}') from None


def sources(flags: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return, for every setting, where its value came from: flag, environment, file or default."""
    given, file = _given(flags), _read_file()
    return {name: _source_of(name, given, file) for name in Settings.model_fields}


def _given(flags: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (flags or {}).items() if value is not None}


def _source_of(name: str, given: Mapping[str, Any], file: Mapping[str, Any]) -> str:
    if name in given:
        return "flag"
    if _variable(name) in os.environ:
        return f"environment {_variable(name)}"
    return f"file {_config_path()}" if name in file else "default"


def _variable(name: str) -> str:
    return ENV_PREFIX + name.upper()


def _config_path() -> Path:
    return Path(os.environ.get(ENV_PREFIX + "CONFIG", CONFIG_FILE))


def _read_file() -> dict[str, Any]:
    path = _config_path()
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if ENV_PREFIX + "CONFIG" in os.environ:
            raise ConfigError(str(path), "no such file", f"correct {ENV_PREFIX}CONFIG") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(str(path), str(error), "correct the file") from None


def _refuse_unknown_environment() -> None:
    known = {_variable(name) for name in Settings.model_fields} | {ENV_PREFIX + "CONFIG"}
    for name in os.environ:
        if name.upper().startswith(ENV_PREFIX) and name.upper() not in known:
            raise ConfigError(name, "no such setting", "volspike config lists them all")


def _explain(error: ValidationError, given: Mapping[str, Any]) -> ConfigError:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    if name not in Settings.model_fields:
        return ConfigError(name, f"no such setting in {_config_path()}", "volspike config lists them all")
    source = _source_of(name, given, _read_file())
    return ConfigError(f"{name} ({source})", first["msg"].lower(), "volspike config shows what is expected")
