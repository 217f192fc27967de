"""Bad files, models and settings: one line on stderr, exit 1, a JSON error, and nothing half-written."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from volspike.exchange.decimals import format_time_ns
from whole_runs import NS, ORIGIN_NS, finished, one_line_failure, start, tree, volspike, wait_until


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory of its own, where no volspike.toml lies."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(*arguments: object) -> dict[str, str]:
    """Run a verb with --json that has to fail well; return its error."""
    ran = volspike(*arguments, "--json")
    line = one_line_failure(ran)
    error: dict[str, str] = ran.report
    assert {"error", "subject", "remedy"} <= set(error)
    assert all(error[key] for key in ("error", "subject", "remedy"))
    assert line == f"volspike: {error['subject']}: {error['error']}; {error['remedy']}"
    return error


def flat_rows(seconds: int, per_second: int = 2) -> str:
    """Return a recording of flat rows with a quiet market in it."""
    rows = []
    for index in range(seconds * per_second):
        bid = 100_000 + index % 7
        rows.append(
            {
                "product_id": "BTC-USD",
                "best_bid": f"{bid / 1000:.3f}",
                "best_ask": f"{(bid + 10) / 1000:.3f}",
                "timestamp": format_time_ns(ORIGIN_NS + index * NS // per_second),
            }
        )
    return "".join(json.dumps(row) + "\n" for row in rows)


BAD_RECORDINGS: dict[str, bytes] = {
    "empty": b"",
    "blank lines": b"\n\n\n",
    "of no known shape": b'{"a": 1}\n',
    "binary": bytes(range(256)) * 40,
    "cut off": b'{"product_id":"BTC-USD","best_bid":"1","best_',
    "a gzip that is none": b"\x1f\x8b" + b"\x00" * 64,
    "a zstd that is none": b"\x28\xb5\x2f\xfd" + b"\x00" * 64,
}


@pytest.mark.parametrize("name", BAD_RECORDINGS)
def test_a_recording_that_can_not_be_read_is_refused_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    path = tmp_path / "recording.ndjson"
    path.write_bytes(BAD_RECORDINGS[name])
    before = tree(tmp_path)
    refused("import", path, "--data-dir", "data")
    refused("demo", "--recording", path, "--data-dir", "data")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("verb", ["import", "demo --recording", "simulate --recording"])
def test_a_missing_recording_is_refused_and_leaves_nothing(verb: str, tmp_path: Path) -> None:
    where = () if verb.startswith("simulate") else ("--data-dir", "data")
    error = refused(*verb.split(), "nowhere.ndjson", *where)
    assert error["error"] == "does not exist"
    assert not tree(tmp_path)


def test_one_bad_recording_among_good_ones_imports_none(tmp_path: Path) -> None:
    (tmp_path / "good.ndjson").write_text(flat_rows(30))
    (tmp_path / "bad.ndjson").write_bytes(b'{"a": 1}\n')
    before = tree(tmp_path)
    refused("import", "good.ndjson", "bad.ndjson", "--data-dir", "data")
    assert tree(tmp_path) == before


def test_a_failed_first_import_leaves_links_and_folders_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data" / "notes").mkdir(parents=True)
    (tmp_path / "data" / "features").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "bad.ndjson").write_bytes(b'{"a": 1}\n')
    before = tree(tmp_path), sorted(tmp_path.rglob("*"))
    refused("import", "bad.ndjson", "--data-dir", "data")
    assert (tree(tmp_path), sorted(tmp_path.rglob("*"))) == before


def test_a_pipe_is_no_recording(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    error = refused("import", "pipe", "--data-dir", "data")
    assert error["error"] == "is no regular file"


@pytest.mark.parametrize("arguments", [("a" * 300,), ("pipe", "--data-dir", "a" * 300)])
def test_a_name_that_is_too_long_is_told(arguments: tuple[str, ...], tmp_path: Path) -> None:
    error = refused("import", *arguments)
    assert error["error"] == "file name too long"
    assert not tree(tmp_path)


def test_a_failed_import_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "good.ndjson").write_text(flat_rows(30))
    (tmp_path / "bad.ndjson").write_bytes(b'{"a": 1}\n')
    assert volspike("import", "good.ndjson", "--data-dir", "data").code == 0
    before = tree(tmp_path)
    refused("import", "bad.ndjson", "--data-dir", "data")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("zone", ["Mars/Olympus", "+99:00", "../../etc/passwd"])
def test_an_unknown_zone_is_refused(zone: str, tmp_path: Path) -> None:
    (tmp_path / "good.ndjson").write_text(flat_rows(5))
    assert "time zone" in refused("import", "good.ndjson", "--tz", zone)["error"]


UNWRITABLE = ["file", "file/below", "/proc/volspike"]


@pytest.mark.parametrize("directory", UNWRITABLE)
@pytest.mark.parametrize(
    "verb", ["import good.ndjson", "run --exit-after 1", "demo --history-hours 0.1", "doctor"]
)
def test_a_data_directory_that_can_not_be_made_is_told(directory: str, verb: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "good.ndjson").write_text(flat_rows(5))
    before = tree(tmp_path)
    ran = volspike(*verb.split(), "--data-dir", directory, "--json")
    one_line_failure(ran)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("verb", ["replay", "verify", "train", "evaluate", "predict", "models"])
def test_a_data_directory_that_is_not_there_is_not_made(verb: str, tmp_path: Path) -> None:
    error = refused(verb, "--data-dir", "nowhere")
    assert error["error"] == "no such data directory"
    assert not tree(tmp_path)


@pytest.mark.parametrize("verb", ["replay", "verify", "train", "evaluate", "predict"])
def test_an_empty_data_directory_stays_empty(verb: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    refused(verb, "--data-dir", "data")
    assert tree(tmp_path) == {"data": "directory"}


def recorded(root: Path, seconds: int) -> Path:
    path = root.parent / "flat.ndjson"
    path.write_text(flat_rows(seconds))
    assert volspike("import", path, "--data-dir", root).code == 0
    assert volspike("replay", "--data-dir", root).code == 0
    return root


@pytest.mark.parametrize("seconds", [20, 90])
def test_too_few_rows_to_train_are_told_and_leave_nothing(seconds: int, tmp_path: Path) -> None:
    root = recorded(tmp_path / "data", seconds)
    before = tree(root)
    refused("train", "--data-dir", root)
    assert tree(root) == before


def test_labels_of_one_class_train_what_needs_no_classes_and_say_so(
    trained: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = trained()
    monkeypatch.setenv("VOLSPIKE_TAU_FLOOR_BPS", "100000")
    ran = volspike("train", "--data-dir", root, "--json")
    assert ran.code == 0, ran.err
    assert set(ran.report["not_fitted"]) == {"logistic", "xgboost", "blend"}
    assert all("no spike" in reason for reason in ran.report["not_fitted"].values())
    assert ran.report["champion"] == "zscore"


def test_an_unknown_feature_set_is_refused(trained: Callable[[], Path]) -> None:
    root = trained()
    before = tree(root)
    refused("replay", "--data-dir", root, "--feature-set", "nope")
    for name in ("regime", "candle"):
        refused("replay", "--data-dir", root, "--feature-set", name)
    refused("train", "--data-dir", root, "--feature-set", "nope")
    assert tree(root) == before


def test_rows_of_another_feature_set_than_the_models_are_refused(trained: Callable[[], Path]) -> None:
    root = trained()
    assert volspike("replay", "--data-dir", root, "--feature-set", "core-sized").code == 0
    before = tree(root)
    for verb in ("evaluate", "predict"):
        assert "core" in refused(verb, "--data-dir", root)["error"]
    refused("train", "--data-dir", root, "--feature-set", "core")
    assert tree(root) == before


def champion_file(root: Path) -> Path:
    (path,) = (root / "models" / "champions").glob("*.json")
    return path


SPOILED: dict[str, Callable[[Path], Any]] = {
    "a flipped bit": lambda d: flip(d / "weights.json"),
    "a cut file": lambda d: (d / "weights.json").write_bytes((d / "weights.json").read_bytes()[:-9]),
    "no manifest": lambda d: (d / "manifest.json").unlink(),
    "a manifest that is none": lambda d: (d / "manifest.json").write_text("{}"),
}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", SPOILED)
def test_a_corrupt_model_is_refused_everywhere(name: str, trained: Callable[[], Path]) -> None:
    root = trained()
    pointer = json.loads(champion_file(root).read_text())
    SPOILED[name](root / "models" / pointer["name"] / pointer["version"])
    before = tree(root)
    for verb in ("evaluate", "predict", "run --exit-after 1"):
        refused(*verb.split(), "--data-dir", root)
    assert tree(root) == before
    listed = volspike("models", "--data-dir", root, "--json")
    assert listed.code == 0
    states = {row["state"] for row in listed.report["models"]}
    assert states - {"whole", "champion"}
    assert "champion" not in states


@pytest.mark.parametrize(
    "pointer", [b"", b"{}", b'{"name": "../..", "version": "x"}', b"\x00", b'{"name": "\xff"}']
)
def test_a_spoiled_pointer_to_the_champion_is_told(pointer: bytes, trained: Callable[[], Path]) -> None:
    root = trained()
    champion_file(root).write_bytes(pointer)
    assert champion_file(root).name in volspike("models", "--data-dir", root).err
    refused("predict", "--data-dir", root)
    refused("run", "--exit-after", 1, "--data-dir", root)


def test_a_file_of_alerts_that_is_none_is_told(trained: Callable[[], Path]) -> None:
    root = trained()
    (root / "alerts.ndjson").mkdir()
    assert "alerts.ndjson" in refused("run", "--exit-after", 1, "--data-dir", root)["subject"]


@pytest.mark.parametrize(
    "model",
    ["nowhere", "models:/nobody@champion", "models:/logistic@nobody", "models:logistic", "models:/x/99"],
)
def test_a_model_that_is_not_there_is_told(model: str, trained: Callable[[], Path]) -> None:
    root = trained()
    for verb in ("evaluate", "predict", "run --exit-after 1"):
        refused(*verb.split(), "--model", model, "--data-dir", root)


def test_a_demo_is_not_shown_with_a_model_that_is_not_there(tmp_path: Path) -> None:
    refused("demo", "--model", "nowhere", "--data-dir", "data")
    assert not tree(tmp_path)


def test_a_demo_begins_in_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").write_text("keep me")
    before = tree(tmp_path)
    assert refused("demo", "--data-dir", "data")["error"] == "is not empty"
    assert tree(tmp_path) == before


def test_corrupt_feature_files_are_told(trained: Callable[[], Path]) -> None:
    root = trained()
    path = next((root / "features").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:200])
    for verb in ("verify", "train", "evaluate", "predict"):
        assert path.name in refused(verb, "--data-dir", root)["subject"]


def test_predictions_that_can_not_be_written_are_told(trained: Callable[[], Path], tmp_path: Path) -> None:
    root = trained()
    (tmp_path / "file").write_text("in the way")
    before = tree(tmp_path)
    for out in ("file/p.parquet", "/proc/volspike/p.parquet", "."):
        refused("predict", "--data-dir", root, "--out", out)
    assert tree(tmp_path) == before


def test_a_latency_limit_that_is_exceeded_fails_with_its_report(trained: Callable[[], Path]) -> None:
    ran = volspike("predict", "--data-dir", trained(), "--max-latency-us", 0.001, "--json")
    assert "above 0.001 us" in one_line_failure(ran)
    assert ran.report["rows"] > 0
    assert "error" in ran.report


SETTINGS: dict[str, tuple[dict[str, str], str | None, str]] = {
    "unknown variable": ({"VOLSPIKE_NOPE": "1"}, None, "VOLSPIKE_NOPE"),
    "variable of the wrong type": ({"VOLSPIKE_SEED": "many"}, None, "VOLSPIKE_SEED"),
    "variable out of range": ({"VOLSPIKE_TAU_QUANTILE": "2"}, None, "VOLSPIKE_TAU_QUANTILE"),
    "variable that is no choice": ({"VOLSPIKE_DIALECT": "morse"}, None, "VOLSPIKE_DIALECT"),
    "mapping that is no JSON": ({"VOLSPIKE_PRICE_DECIMALS": "BTC=8"}, None, "price_decimals"),
    "no product": ({"VOLSPIKE_PRODUCTS": " , "}, None, "VOLSPIKE_PRODUCTS"),
    "product without a quote": ({"VOLSPIKE_PRODUCTS": "BTCUSD"}, None, "BTCUSD"),
    "products as JSON": ({"VOLSPIKE_PRODUCTS": '["ETH-USD"]'}, None, "VOLSPIKE_PRODUCTS"),
    "close above open": (
        {"VOLSPIKE_ALERT_OPEN": "0.2", "VOLSPIKE_ALERT_CLOSE": "0.5"},
        None,
        "above alert_open",
    ),
    "infinite cooldown": ({"VOLSPIKE_ALERT_COOLDOWN_S": "inf"}, None, "finite"),
    "endless retention": ({"VOLSPIKE_LOG_RETENTION_HOURS": "1e300"}, None, "VOLSPIKE_LOG_RETENTION_HOURS"),
    "infinite tau": ({}, "tau_floor_bps = inf\n", "finite"),
    "tau that is no number": ({"VOLSPIKE_TAU_FLOOR_BPS": "nan"}, None, "finite"),
    "seed too large": ({"VOLSPIKE_SED": "9"}, "seed = 99999999999\n", "VOLSPIKE_SED"),
    "price decimals out of range": ({"VOLSPIKE_PRICE_DECIMALS": '{"BTC-USD": 99}'}, None, "BTC-USD"),
    "missing file": ({"VOLSPIKE_CONFIG": "none.toml"}, None, "none.toml"),
    "directory as a file": ({"VOLSPIKE_CONFIG": "."}, None, "."),
    "unknown setting": ({}, "sed = 7\n", "sed"),
    "malformed file": ({}, "seed = \n", "volspike.toml"),
    "file that is no text": ({}, "seed = \udcff\n", "volspike.toml"),
    "wrong type in the file": ({}, 'seed = "x"\n', "volspike.toml"),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("verb", ["config", "run"])
def test_a_setting_that_is_wrong_is_named(
    name: str, verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment, file, subject = SETTINGS[name]
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    if file is not None:
        (tmp_path / "volspike.toml").write_bytes(file.encode(errors="surrogateescape"))
    before = tree(tmp_path)
    error = refused(verb)
    assert subject in error["subject"] + error["error"]
    assert tree(tmp_path) == before


def used_wrongly(*arguments: object) -> None:
    ran = volspike(*arguments)
    assert (ran.code, ran.out) == (2, ""), (ran.code, ran.err)
    (line,) = ran.err.splitlines()
    told = volspike(*arguments, "--json")
    assert told.code == 2
    error = told.report
    assert set(error) == {"error", "subject", "remedy"}
    assert error["remedy"].endswith("--help")
    assert line == f"volspike: {error['subject']}: {error['error']}; {error['remedy']}"
    assert told.err.splitlines() == [line]


@pytest.mark.parametrize(
    "arguments",
    [
        "nope",
        "config --nope",
        "import",
        "import x.ndjson --map bid",
        "train --tau sometimes",
        "train --target tomorrow",
        "demo --speed 0",
        "demo --speed 5000",
        "demo --speed fast",
        "simulate --speed 0",
        "simulate --speed -5",
        "simulate --exchange-port 99999",
        "run --dialect morse",
        "run --exit-after -1",
        "run --exit-after 0",
        "run --exit-after nan",
        "run --exit-after inf",
        "run --exit-after 1e300",
        "demo --speed nan",
        "demo --history-hours nan",
        "demo --history-hours inf",
        "demo --history-hours 1e9",
        "demo --seed -3",
        "train --seed 99999999999",
        "train --feed both",
        "evaluate --feed both",
        "predict --feed both",
        "predict --max-latency-us nan",
        "predict --max-latency-us -1",
        "simulate --speed nan",
        "simulate --seed -3",
        "simulate --start-ns -5",
        "simulate --origin-ns 99999999999999999999999",
        "run --exit-after soon",
        "tend --every nan",
        "tend --every inf",
        "tend --every 1e300",
        "tend --every 0",
        "replay --data-dir ",
    ],
)
def test_wrong_usage_exits_2_and_is_told_in_one_line(arguments: str, tmp_path: Path) -> None:
    used_wrongly(*arguments.split(" "))
    assert not tree(tmp_path)


@pytest.mark.parametrize("url", ["http://example.com", "not an address", "wss://"])
def test_an_address_that_is_none_is_told_and_leaves_nothing(url: str, tmp_path: Path) -> None:
    refused("run", "--exit-after", 5, "--exchange-url", url, "--data-dir", "data")
    assert not tree(tmp_path)


def test_a_synthetic_market_knows_its_products_only(tmp_path: Path) -> None:
    assert refused("simulate", "--product", "DOGE-USD")["subject"] == "DOGE-USD"
    refused("demo", "--product", "DOGE-USD", "--data-dir", "data")
    assert not tree(tmp_path)


def test_products_are_written_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLSPIKE_PRODUCTS", "btc-usd, ETH-usd,BTC-USD")
    assert volspike("config", "--json").report["products"]["value"] == ["BTC-USD", "ETH-USD"]


def test_a_history_too_short_to_train_on_leaves_nothing(tmp_path: Path) -> None:
    refused("demo", "--history-hours", 0.1, "--seed", 1, "--data-dir", "data", "--exit-after", 1)
    assert not tree(tmp_path)


def test_a_port_that_is_taken_is_told() -> None:
    import socket

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        refused("simulate", "--exchange-port", holder.getsockname()[1])


def test_several_products_have_to_be_chosen_from(trained: Callable[[], Path]) -> None:
    from volspike.simulation.synthetic import SyntheticMarket
    from whole_runs import live_run, ticks_at_least

    root = trained().parent / "two"
    products = ("BTC-USD", "ETH-USD")
    live_run(root, SyntheticMarket(7, products, ORIGIN_NS), ticks_at_least(300), products=products)
    assert "BTC-USD, ETH-USD" in refused("train", "--data-dir", root)["error"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_stopped_while_it_prepares_says_so_and_leaves_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = start("demo", "--data-dir", "data", "--json")
    wait_until(lambda: (tmp_path / "data" / "raw").exists())
    process.send_signal(number)
    ran = finished(process)
    assert ran.report["error"] == f"stopped by {number.name} before it was done"
    assert one_line_failure(ran).startswith("volspike: volspike demo: stopped by")
    assert not tree(tmp_path)


def test_a_stopped_import_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    (tmp_path / "good.ndjson").write_text(flat_rows(5))
    before = tree(tmp_path)
    monkeypatch.setattr("volspike.recording.importer.import_recordings", interrupt)
    assert refused("import", "good.ndjson", "--data-dir", "data")["error"].startswith("stopped by SIGTERM")
    assert tree(tmp_path) == before


def test_doctor_makes_no_data_directory(tmp_path: Path) -> None:
    ran = volspike("doctor", "--data-dir", "not/yet", "--json")
    assert ran.code == 0, ran.err
    found = {check["what"]: check["found"] for check in ran.report["checks"]}
    assert found["data directory"] == "not/yet, not made yet"
    assert not tree(tmp_path)
