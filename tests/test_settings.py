"""Settings: what may be given is said, what is wrong is marked, and the page on them is complete."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from volspike.bus.reserved_options import RESERVED_OPTIONS
from volspike.config import CONFIG_FILE, ENV_PREFIX, Settings, expected, inspect_settings, load_settings
from volspike.errors import ConfigError
from whole_runs import one_line_failure, volspike

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "settings.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_on_the_page_with_its_default_and_what_it_may_be(name: str) -> None:
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
    default = Settings.model_fields[name].get_default(call_default_factory=True)
    shown = json.dumps(default, default=lambda value: str(value)).strip('"')
    text = "" if default in (None, "", {}) else shown
    text = ", ".join(default) if name == "products" else text
    _, _, told, may_be, meaning, _ = (cell.strip() for cell in line.split("|"))
    assert told.strip("`") == text
    assert may_be == expected(name)
    assert meaning == Settings.model_fields[name].description


def test_the_sample_on_the_page_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = PAGE.partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "mine.toml").write_text(sample, encoding="utf-8")
    monkeypatch.setenv("VOLSPIKE_CONFIG", "mine.toml")
    settings = load_settings()
    for name, value in tomllib.loads(sample).items():
        assert json.loads(json.dumps(getattr(settings, name), default=str)) == value
    assert CONFIG_FILE in PAGE
    assert f"{ENV_PREFIX}CONFIG" in PAGE


def test_an_empty_name_of_the_file_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOLSPIKE_CONFIG", "")
    assert load_settings().seed == Settings.model_fields["seed"].default
    Path(CONFIG_FILE).write_text("seed = 11\n", encoding="utf-8")
    assert load_settings().seed == 11


def test_what_is_wrong_is_told_with_what_may_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLSPIKE_TAU_QUANTILE", "2")
    with pytest.raises(ConfigError, match="less than 1; give a number above 0 and below 1"):
        load_settings()
    with pytest.raises(ConfigError, match="give rv, std or next-row"):
        load_settings({"target": "tomorrow", "tau_quantile": 0.9})
    monkeypatch.setenv("VOLSPIKE_SED", "7")
    with pytest.raises(ConfigError, match="is VOLSPIKE_SEED meant"):
        load_settings({"tau_quantile": 0.9})


def test_config_shows_what_is_good_and_marks_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / CONFIG_FILE).write_text("seed = 11\nsed = 12\n")
    monkeypatch.setenv("VOLSPIKE_TARGET", "tomorrow")
    ran = volspike("config", "--json")
    assert "sed: no such setting" in one_line_failure(ran)
    assert ran.report["seed"] == {"value": 11, "source": f"file {CONFIG_FILE}"}
    assert ran.report["target"]["value"] == "rv"
    told = volspike("config")
    assert told.code == 1
    wrong = [line.split()[0] for line in told.out.splitlines() if "WRONG" in line]
    assert wrong == ["target", "sed"]
    assert set(inspect_settings().wrong) == {"target", "sed"}


@pytest.mark.parametrize("name", sorted(RESERVED_OPTIONS))
def test_an_option_on_which_exactly_once_rests_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLSPIKE_KAFKA_OPTIONS", json.dumps({"security.protocol": "SSL", name: "x"}))
    with pytest.raises(ConfigError, match=f"kafka_options .*: {name} is set by volspike; take it out"):
        load_settings()
    monkeypatch.setenv("VOLSPIKE_KAFKA_OPTIONS", '{"security.protocol": "SSL"}')
    assert load_settings().kafka_options == {"security.protocol": "SSL"}


@pytest.mark.parametrize("address", ["http://mlflow:5000/", "https://tracking.example/mlflow"])
def test_a_tracking_server_is_an_address(address: str) -> None:
    assert load_settings({"mlflow_uri": address}).mlflow_uri == address.rstrip("/")


@pytest.mark.parametrize(
    "address", ["mlflow:5000", "sqlite:///mlflow.db", "http://", "http://[::1", "http://h:99999", "file:///x"]
)
def test_what_is_no_address_of_a_tracking_server_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="no http:// or https:// address; give an https:// or http:// addr"):
        load_settings({"mlflow_uri": address})


@pytest.mark.parametrize("address", ["http://me:hunter2@mlflow:5000", "http://mlflow:5000/?token=hunter2"])
def test_fault_50_credentials_in_the_address_of_a_tracking_server_are_refused_and_not_repeated(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLSPIKE_MLFLOW_URI", address)
    ran = volspike("config")
    assert "MLflow reads credentials from its own variables" in one_line_failure(ran)
    assert "hunter2" not in ran.out + ran.err
