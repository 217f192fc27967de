"""``volspike audit`` as a user runs it, and training that refuses what it finds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from candle_tables import PRODUCT, random_table
from volspike.features.candle_store import CandleStore
from volspike.models.bundle import load_bundle
from volspike.pipeline.home import Home
from whole_runs import one_line_failure, tree, volspike

START_S = 1_700_000_000


def made(folder: Path, leaking: bool = True) -> Path:
    """Write a small file whose label is its own feature, or one that nothing explains."""
    rng = np.random.default_rng(1)
    volatility = np.exp(np.cumsum(rng.normal(0.0, 0.05, 4_000)) * 0.5)
    label = volatility > np.quantile(volatility, 0.873) if leaking else rng.random(4_000) < 0.127
    columns = {"ts": START_S + np.arange(4_000.0), "vol": volatility, "noise": rng.normal(size=4_000)}
    path = folder / "rows.csv"
    more = {"spiked": label.astype(int), "name": ["calm"] * 4_000, "one": [1] * 4_000}
    pl.DataFrame(columns | more).write_csv(path)
    return path


def test_a_leak_is_named_in_a_table_and_ends_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volspike.cli.output.PLAIN_WIDTH", 100)
    ran = volspike("audit", made(tmp_path), "--label", "spiked")
    assert "leaks: label is a feature" in one_line_failure(ran)
    rows = ran.out.splitlines()
    assert rows[0].endswith("rows.csv: 4,000 rows, 4,000 labelled (spiked), base rate 0.127")
    assert rows[3].startswith("label is a feature")
    assert all(len(row.rstrip()) <= 100 for row in rows[1:])
    assert "…" not in ran.out
    verdicts = [next((v for v in ("leak", "can't tell", "clean") if v in row[25:45]), "") for row in rows[3:]]
    told = [verdict for verdict in verdicts if verdict]
    assert told == sorted(told, key=("leak", "can't tell", "clean").index)


def test_no_leak_exits_0_and_json_holds_every_check(tmp_path: Path) -> None:
    ran = volspike("audit", made(tmp_path, leaking=False), "--label", "spiked", "--json")
    assert ran.code == 0, ran.err
    assert ran.report["passed"] is True
    assert (ran.report["rows"], ran.report["label"]) == (4_000, "spiked")
    assert ran.report["features"] == ["vol", "noise", "one"]
    assert len(ran.report["checks"]) == 13
    for check in ran.report["checks"].values():
        assert set(check) == {"passed", "detail", "leak", "taxonomy", "status", "figure", "measures"}
    numbers = {number for check in ran.report["checks"].values() for number in check["taxonomy"]}
    assert numbers == set(range(1, 13))


def test_json_of_a_leak_holds_the_reason(tmp_path: Path) -> None:
    ran = volspike("audit", made(tmp_path), "--label", "spiked", "--json")
    assert ran.code == 1
    report = json.loads(ran.out)
    assert report["passed"] is False
    assert report["checks"]["label is a feature"]["status"] == "leak"
    assert report["error"] == "leaks: label is a feature"


def test_a_column_of_the_next_row_can_be_the_label(tmp_path: Path) -> None:
    ran = volspike("audit", made(tmp_path), "--next-row", "vol", "--features", "vol,noise", "--json")
    check = ran.report["checks"]["next-row label"]
    assert ran.code == 1
    assert check["status"] == "leak"
    assert check["figure"] == pytest.approx(59 / 60, abs=0.001)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("{none}",), "there is no such file"),
        (("{rows}",), "no column is named as a label"),
        (("{rows}", "--label", "labl"), "no column 'labl'"),
        (("{rows}", "--label", "noise", "--features", "volume"), "no column 'volume'"),
        (("{rows}", "--next-row", "name"), "'name' holds no numbers"),
        (("{rows}", "--label", "one"), "'one' holds one class"),
        (("{text}", "--label", "spiked"), "can't be read as Parquet or CSV"),
        (("{recording}",), "it is a recording of frames or rows, no file of features"),
        (("{folder}",), "it holds no features"),
        (("--data-dir", "{none}"), "no such data directory"),
    ],
)
def test_bad_input_is_told_in_one_line(tmp_path: Path, arguments: tuple[str, ...], reason: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "day.ndjson.gz").write_bytes(b"")
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    names = {
        "none": tmp_path / "none",
        "rows": made(tmp_path),
        "text": tmp_path / "broken.parquet",
        "folder": tmp_path / "folder",
        "recording": tmp_path / "day.ndjson.gz",
    }
    assert reason in one_line_failure(volspike("audit", *(word.format(**names) for word in arguments)))


@pytest.mark.slow
def test_invariant_09_training_refuses_a_leak_unless_it_is_allowed(trained: Callable[[], Path]) -> None:
    root = trained()
    audited = volspike("audit", root, "--json")
    assert audited.code == 0, audited.err
    assert audited.report["checks"]["feature reads ahead"]["status"] == "clean"
    before = tree(root / "models")
    leaking = ("train", "--data-dir", root, "--target", "next-row", "--tau", "fixed", "--json")
    refused = volspike(*leaking)
    assert "it found target, past_of_label, shared_ticks" in one_line_failure(refused)
    assert "LEAK shared_ticks" in refused.err
    assert tree(root / "models") == before
    ran = volspike(*leaking, "--allow-leaks")
    assert ran.code == 0, ran.err
    assert ran.report["audit"]["passed"] is False
    for name, path in ran.report["bundles"].items():
        manifest = load_bundle(Path(path)).manifest
        assert any(note.startswith("leaks, kept for study: target") for note in manifest.notes), name
        assert manifest.notes[-1] in ran.report["notes"][name]
    pointers = {name: digest for name, digest in before.items() if name.startswith("champions")}
    assert pointers
    assert pointers.items() <= tree(root / "models").items()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "--feed", "candles", "--target", "std"), "candles have one target"),
        (("train", "--feed", "candles", "--inputs", "regime"), "--inputs"),
        (("train", "--feed", "candles", "--feature-set", "core"), "--feature-set"),
        (("train", "--source", "csv"), "it goes with --feed candles"),
        (("threshold", "--source", "csv"), "it goes with --feed candles"),
        (("audit", "--label", "spike"), "of volspike's own rows that is known"),
        (("audit", "--window-s", "30"), "--window-s"),
        (("audit", "{rows}", "--feed", "candles"), "this is a file"),
        (("audit", "{rows}", "--product", "BTC-USD"), "--product"),
    ],
)
def test_an_option_without_a_meaning_there_is_refused(
    arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    rows = made(tmp_path)
    ran = volspike(*(word.format(rows=rows) for word in arguments), "--data-dir", tmp_path)
    assert ran.code == 2
    assert words in ran.err


def test_stored_candles_are_audited_by_computing_them_again(tmp_path: Path) -> None:
    store = CandleStore(Home(tmp_path).candles, PRODUCT, "coinbase")
    store.add(random_table(5, 3_500))
    store.save()
    ran = volspike("audit", "--feed", "candles", "--data-dir", tmp_path, "--json")
    assert ran.code == 0, ran.err
    found = {name: check["status"] for name, check in ran.report["checks"].items()}
    clean = {
        "feature reads ahead",
        "smoothed label",
        "too easy a label",
        "duplicate ticks",
        "label over a gap",
    }
    assert {name for name in clean if found[name] == "clean"} == clean
    assert "without the candles after them" in ran.report["checks"]["feature reads ahead"]["detail"]
