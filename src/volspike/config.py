"""Settings: ``volspike.toml`` < environment ``VOLSPIKE_...`` < command-line flags, one typed model."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Le, Lt
from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from volspike.bus.reserved_options import RESERVED_OPTIONS
from volspike.errors import ConfigError

ENV_PREFIX = "VOLSPIKE_"
CONFIG_FILE = "volspike.toml"
MAX_SEED = 2**31 - 1
YEAR_S = 366 * 86_400
MAX_PRICE_DECIMALS = 15
PRODUCT = re.compile(r"[A-Z0-9]{1,20}(-[A-Z0-9]{1,20}){1,3}")


class Settings(BaseSettings):
    """Everything a user can set; each field's description is what ``volspike config`` prints."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        nested_model_default_partial_update=True,
    )

    data_dir: Path = Field(Path("volspike-data"), description="where everything is kept")
    products: Annotated[tuple[str, ...], NoDecode] = Field(
        ("BTC-USD",), min_length=1, description="products to watch"
    )
    dialect: Literal["auto", "exchange", "advanced"] = Field(
        "auto", description="which Coinbase feed; auto: the champion's, else exchange"
    )
    exchange_url: str = Field("", description="WebSocket address; empty: the dialect's production address")
    candles_url: str = Field(
        "https://api.exchange.coinbase.com", description="REST address that backfill asks for candles"
    )
    candle_source: Literal["", "coinbase", "recorder", "csv"] = Field(
        "", description="whose candles, of several stored; empty: the exchange's own first"
    )
    feature_set: str = Field("core", description="feature set of new feature rows")
    inputs: Literal["rows", "regime"] = Field(
        "rows", description="what models see: feature rows, or regime columns, which serve either feed"
    )
    target: Literal["rv", "std", "next-row"] = Field("rv", description="what a label measures")
    tau_mode: Literal["adaptive", "fixed"] = Field("adaptive", description="how the spike threshold is set")
    tau_quantile: float = Field(0.95, gt=0, lt=1, description="quantile of volatility that makes a spike")
    tau_floor_bps: float = Field(
        4.0, gt=0, le=1e6, description="adaptive tau is never below this (bps a minute)"
    )
    class_weight: Literal["none", "balanced"] = Field("none", description="weight of spikes in training")
    allow_leaks: bool = Field(False, description="keep models in which the leak audit found a leak")
    seed: int = Field(7, ge=0, le=MAX_SEED, description="seed of everything random")
    tune_trials: int = Field(0, ge=0, le=1_000, description="settings that a training tries; 0: the defaults")
    default_model: bool = Field(
        True, description="serve the model of the package where a product has no champion yet"
    )
    model_expiry_days: float = Field(
        30.0, ge=0, le=36_500, description="age from which predictions are marked stale (d); 0: never"
    )
    retrain_every_hours: float = Field(
        24.0,
        ge=0,
        le=8_784,
        description="run trains a challenger, or a first model, so often (h of the market); 0: never",
    )
    retrain_days: float = Field(
        7.0, gt=0, le=3_660, description="of which past a retraining takes the rows (d)"
    )
    retrain_limit_s: float = Field(1_800.0, gt=0, le=86_400, description="longest time of a retraining (s)")
    retrain_memory_mb: int = Field(
        4_096, ge=256, description="a retraining has so much memory (MB); in less than 1,000 hardly any fits"
    )
    retrain_kind: Literal["best", "online"] = Field(
        "best", description="challenger: the best on tune, or a model that learns from every outcome"
    )
    drift_every_hours: float = Field(
        24.0, ge=0, le=8_784, description="run reports drift so often (h of the market); 0: never"
    )
    promote: Literal["auto", "never"] = Field(
        "auto",
        description="auto: a challenger proven better serves; never: only by volspike promote",
    )
    trial_days: float = Field(
        7.0, gt=0, le=366, description="a challenger that has not proven better by then is retired (d)"
    )
    false_alarm_days: float = Field(
        30.0,
        ge=1,
        le=3_660,
        description="the tests on outcomes tell drift falsely at most once in so many days, on average",
    )
    model: str = Field("", description="bundle directory or models:/NAME@alias; empty: the champion")
    alert_open: float | None = Field(
        None, gt=0, le=1, description="open at this p(spike); empty: the model's"
    )
    alert_close: float | None = Field(
        None, ge=0, le=1, description="close below it, at most where they open; empty: the model's"
    )
    alert_cooldown_s: float = Field(
        60.0, ge=0, le=YEAR_S, description="event-time pause after an alert closed (s)"
    )
    log_retention_hours: float = Field(
        168.0, gt=0, le=YEAR_S / 360, description="how long the log keeps records (h)"
    )
    bus: Literal["embedded", "kafka"] = Field("embedded", description="where topics are kept")
    kafka_bootstrap: str = Field("127.0.0.1:9092", description="Kafka brokers, host:port with commas between")
    kafka_options: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict, description="librdkafka settings of every client, such as credentials"
    )
    kafka_partitions: int = Field(4, ge=1, description="partitions of topics that are created")
    commit_interval_ms: float = Field(
        0.0, ge=0, le=10_000, description="least time between two transactions of a stage (ms)"
    )
    topic_suffix: str = Field(
        "", pattern=r"^[A-Za-z0-9._-]{0,60}$", description="ends the name of every topic and group"
    )
    market_clock: Literal["utc", "records"] = Field(
        "utc", description="clock of score; records: of a market that is not now, as simulators replay"
    )
    kafka_cache: Path = Field(Path("~/.cache/volspike"), description="jars of the broker that tests start")
    price_decimals: Annotated[dict[str, Annotated[int, Field(ge=0, le=MAX_PRICE_DECIMALS)]], NoDecode] = (
        Field(default_factory=dict, description="price scale per product")
    )
    mlflow_uri: str = Field("", description="MLflow tracking server; empty: sqlite in the data directory")
    metrics_port: int | None = Field(
        None, ge=0, le=65_535, description="port of /metrics and /healthz; 0: any; empty: none"
    )
    metrics_host: str = Field("127.0.0.1", description="address that they are served on; 0.0.0.0: every one")
    log_level: Literal["debug", "info", "warning", "error"] = Field("warning", description="log detail")

    @field_validator("products", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Read the environment's ``BTC-USD,ETH-USD``; write every product in capitals."""
        names = value.split(",") if isinstance(value, str) else value
        if not isinstance(names, (list, tuple)):
            return names
        listed = tuple(filter(None, (str(name).strip().upper() for name in names)))
        if not listed:
            raise ValueError("no product is named")
        for name in listed:
            if not PRODUCT.fullmatch(name):
                raise ValueError(f"{name!r} is no product")
        return tuple(dict.fromkeys(listed))

    @field_validator("data_dir", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """Refuse an empty name, which would mean the current directory."""
        if value == "":
            raise ValueError("it is empty")
        return value

    @field_validator("price_decimals", "kafka_options", mode="before")
    @classmethod
    def _mapped(cls, value: Any) -> Any:
        """Read the environment's JSON."""
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"it is no JSON ({error})") from None

    @field_validator("kafka_options")
    @classmethod
    def _not_reserved(cls, value: dict[str, str]) -> dict[str, str]:
        for name in sorted(RESERVED_OPTIONS & value.keys()):
            raise ValueError(f"{name} is set by volspike; take it out")
        return value

    @field_validator("alert_close")
    @classmethod
    def _not_above_open(cls, value: float | None, info: ValidationInfo) -> float | None:
        opens = info.data.get("alert_open")
        if value is not None and opens is not None and value > opens:
            raise ValueError(f"{value:g} is above alert_open, {opens:g}: the alert would never stay open")
        return value

    @field_validator("mlflow_uri")
    @classmethod
    def _server(cls, value: str) -> str:
        """Refuse what is no address, and credentials, which would be shown; their text is never repeated."""
        try:
            parts = urlsplit(value)
            is_sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_sound = False
        if value and not is_sound:
            raise ValueError("it is no http:// or https:// address")
        if value and ("@" in parts.netloc or parts.query or parts.fragment):
            raise ValueError("it holds more than an address; MLflow reads credentials from its own variables")
        return value.rstrip("/")

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
        known = {name: value for name, value in _read_file().items() if name in settings_cls.model_fields}
        return init_settings, env_settings, InitSettingsSource(settings_cls, known)


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
    found = inspect_settings(flags)
    for error in found.wrong.values():
        raise error
    return found.settings


@dataclass(frozen=True)
class Inspection:
    """Settings as far as they can be used.

    Attributes
    ----------
    settings : Settings
        With the default in place of every value that is wrong.
    wrong : dict of str to ConfigError
        What is wrong, by the name of the setting, or by the unknown name.
    """

    settings: Settings
    wrong: dict[str, ConfigError]


def inspect_settings(flags: Mapping[str, Any] | None = None) -> Inspection:
    """Return the settings that are good, and what is wrong with the others.

    Raises
    ------
    ConfigError
        If the file can't be read at all.
    """
    given = _given(flags)
    wrong = _unknown_names()
    try:
        return Inspection(Settings(**given), wrong)
    except ValidationError as error:
        wrong |= _explain(error, given)
    defaults = Settings.model_construct()
    replaced = {name: getattr(defaults, name) for name in wrong if name in Settings.model_fields}
    return Inspection(Settings(**(given | replaced)), wrong)


def expected(name: str) -> str:
    """Return in words what a setting may be.

    Examples
    --------
    >>> expected("tau_quantile"), expected("target")
    ('a number above 0 and below 1', 'rv, std or next-row')
    """
    if name in _EXPECTED:
        return _EXPECTED[name]
    field = Settings.model_fields[name]
    if get_origin(field.annotation) is Literal:
        *others, last = get_args(field.annotation)
        return f"{', '.join(others)} or {last}"
    if field.annotation is str:
        return "a text"
    if field.annotation is Path:
        return "a path"
    kind = "a whole number" if field.annotation is int else "a number"
    bounds = [_bound(part) for part in field.metadata if isinstance(part, (Gt, Ge, Lt, Le))]
    return " ".join([kind, " and ".join(bounds).replace(" and to ", " to ")]).strip()


def _bound(part: Gt | Ge | Lt | Le) -> str:
    match part:
        case Gt(gt=limit):
            return f"above {limit}"
        case Ge(ge=limit):
            return f"from {limit}"
        case Lt(lt=limit):
            return f"below {limit}"
        case Le(le=limit):
            return f"to {limit:,}" if isinstance(limit, int) else f"to {limit:,.0f}"
    raise AssertionError(part)


_EXPECTED = {
    "allow_leaks": "true or false",
    "products": "BASE-QUOTE such as BTC-USD; several in a TOML list, or with commas: BTC-USD,ETH-USD",
    "alert_open": "a number above 0 to 1, or nothing",
    "alert_close": "a number from 0 to 1 and not above alert_open, or nothing",
    "kafka_options": 'a TOML table, or JSON: {"security.protocol": "SSL"}',
    "metrics_port": "a whole number from 0 to 65,535, or nothing",
    "price_decimals": f'numbers from 0 to {MAX_PRICE_DECIMALS}: a TOML table, or JSON: {{"BTC-USD": 8}}',
    "topic_suffix": "at most 60 letters, digits, dots, - and _",
    "exchange_url": "a ws:// or wss:// address, or nothing",
    "default_model": "true or false",
    "candles_url": "an https:// or http:// address",
    "mlflow_uri": "an https:// or http:// address, or nothing",
    "candle_source": "coinbase, recorder or csv, or nothing",
    "feature_set": "core, core-sized, flow or trade",
}


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
    return Path(os.environ.get(ENV_PREFIX + "CONFIG") or CONFIG_FILE)  # empty is unset


def _read_file() -> dict[str, Any]:
    path = _config_path()
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if os.environ.get(ENV_PREFIX + "CONFIG"):
            raise ConfigError(str(path), "no such file", f"correct {ENV_PREFIX}CONFIG") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(str(path), str(error), "correct the file") from None


def _unknown_names() -> dict[str, ConfigError]:
    """Return what the environment and the file set and nobody reads."""
    known = {_variable(name): name for name in Settings.model_fields} | {ENV_PREFIX + "CONFIG": "the file"}
    variables = [name for name in os.environ if name.upper().startswith(ENV_PREFIX)]
    wrong = {name: _unknown(name, "", known) for name in variables if name.upper() not in known}
    keys = [name for name in _read_file() if name not in Settings.model_fields]
    return wrong | {name: _unknown(name, f" in {_config_path()}", Settings.model_fields) for name in keys}


def _unknown(name: str, where: str, known: Mapping[str, object]) -> ConfigError:
    near = get_close_matches(name, known, 1)
    hint = f"is {near[0]} meant? " if near else ""
    return ConfigError(name, f"no such setting{where}", f"{hint}volspike config lists them all")


def _explain(error: ValidationError, given: Mapping[str, Any]) -> dict[str, ConfigError]:
    """Return what is wrong with each setting, the first thing of each."""
    file = _read_file()
    wrong: dict[str, ConfigError] = {}
    for found in error.errors():
        name = str(found["loc"][0])
        reason = found["msg"].removeprefix("Value error, ")
        within = "".join(f"{place}: " for place in found["loc"][1:])
        subject = f"{name} ({_source_of(name, given, file)})"
        wrong.setdefault(
            name, ConfigError(subject, within + reason[0].lower() + reason[1:], f"give {expected(name)}")
        )
    return wrong
