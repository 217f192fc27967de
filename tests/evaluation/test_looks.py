"""The log of looks: what a look says, which ones count, and that a log nobody understands is not empty."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from evaluation_rows import NS, dataset

from volspike.errors import ConfigError
from volspike.evaluation.looks import Look, append_look, check_appendable, looks_at, read_looks
from volspike.labels.dataset import Dataset


def rows(first_s: int, last_s: int) -> Dataset:
    made = dataset([0] * (last_s - first_s + 1))
    return replace(made, event_ns=np.arange(first_s, last_s + 1, dtype=np.int64) * NS)


def look(first_s: int, last_s: int, product: str = "BTC-USD", feed: str = "exchange") -> Look:
    return Look(
        utc="2026-11-29T12:00:00Z",
        dataset_sha256="ab" * 32,
        product=product,
        feed=feed,
        part="test",
        first_ns=first_s * NS,
        last_ns=last_s * NS,
        rows=5,
        clusters=1,
        windows=1,
        enough_data=False,
        models={},
        reference="persistence",
        reference_scores={"log_loss": 0.25, "pr_auc": None},
    )


def test_looks_are_read_back_in_order_and_earlier_lines_stay(tmp_path: Path) -> None:
    path = tmp_path / "looks.ndjson"
    assert read_looks(path) == []
    made = [look(10, 20), look(30, 40, "ETH-USD")]
    append_look(path, made[0])
    before = path.read_bytes()
    append_look(path, made[1])
    assert path.read_bytes().startswith(before)
    assert read_looks(path) == made
    assert len(path.read_bytes().splitlines()) == 2


@pytest.mark.parametrize(
    ("other", "counts"),
    [
        (look(100, 200), 1),
        (look(150, 151), 1),
        (look(0, 100), 1),
        (look(200, 300), 1),
        (look(0, 99), 0),
        (look(201, 300), 0),
        (look(100, 200, feed="advanced"), 1),  # the same market, seen by the other feed
        (look(100, 200, product="ETH-USD"), 0),
        (look(100, 200, product="btc-usd"), 1),
    ],
)
def test_a_look_at_any_of_the_time_of_a_product_counts(other: Look, counts: int) -> None:
    assert looks_at([other, other], rows(100, 200)) == 2 * counts
    assert looks_at([other], dataset([])) == 0


def test_a_look_logged_before_trainings_were_counted_is_a_final_one(tmp_path: Path) -> None:
    path = tmp_path / "looks.ndjson"
    path.write_bytes(msgspec.json.encode(look(1, 2)).replace(b',"by":"evaluate --final"', b"") + b"\n")
    assert [each.by for each in read_looks(path)] == ["evaluate --final"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{}\n", "line 1 is no look"),
        (msgspec.json.encode(look(1, 2)) + b"\nrubbish\n", "line 2 is no look"),
        (msgspec.json.encode(look(1, 2)), "cut off"),
        (b"\xff\xfe\n", "line 1 is no look"),
        (b"\n", "line 1 is no look"),
        (msgspec.json.encode(look(1, 2)).replace(b'"v":1', b'"v":2') + b"\n", "line 1 is no look"),
    ],
)
def test_a_log_that_is_not_understood_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "looks.ndjson"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=reason):
        read_looks(path)
    assert path.read_bytes() == content


def test_a_place_that_cannot_be_written_is_told_before_anything_is_looked_at(tmp_path: Path) -> None:
    check_appendable(tmp_path / "notes" / "looks.ndjson")
    assert read_looks(tmp_path / "notes" / "looks.ndjson") == []
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "looks.ndjson"):
        with pytest.raises(ConfigError, match="can't be written"):
            check_appendable(path)
        with pytest.raises(ConfigError, match="can't be written"):
            append_look(path, look(1, 2))
    with pytest.raises(ConfigError, match="can't be read"):
        read_looks(tmp_path)
