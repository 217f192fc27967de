"""Graded rows on disk: whole blocks, each once, and a damaged one is told and not read."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import volspike.monitoring.ledger as module
from graded_rows import START_S, assert_same, plain_blocks, rows_of, tell
from volspike.errors import ModelError
from volspike.monitoring.graded import GradedRows, empty_rows, join_rows
from volspike.monitoring.grading import GradedBlock
from volspike.monitoring.ledger import Ledger

PLAIN = plain_blocks(tell("BTC-USD", 0, 9_000))
BLOCKS = [GradedBlock(product, start_s, rows_of(rows)) for (product, start_s), rows in sorted(PLAIN.items())]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


def file_of(tmp_path: Path, block: GradedBlock) -> Path:
    return tmp_path / "ledger" / block.product / f"{block.start_s}.parquet"


def joined(blocks: list[GradedBlock]) -> GradedRows:
    return join_rows([block.rows for block in blocks])


def test_an_empty_ledger_has_nothing(ledger: Ledger) -> None:
    assert (ledger.products(), ledger.newest_s("BTC-USD"), ledger.oldest_s("BTC-USD"), ledger.cursor()) == (
        [],
        None,
        None,
        {},
    )
    assert_same(ledger.rows("BTC-USD"), empty_rows())
    ledger.forget(2**40)


def test_blocks_come_back_to_the_bit_and_each_is_written_once(ledger: Ledger) -> None:
    assert len(BLOCKS) >= 3
    for block in BLOCKS:
        assert ledger.add(block)
        assert not ledger.add(block._replace(rows=empty_rows()))
    assert not ledger.add(BLOCKS[0]._replace(start_s=START_S - 1_800))
    assert_same(ledger.rows("BTC-USD"), joined(BLOCKS))
    assert_same(ledger.rows("BTC-USD", BLOCKS[1].start_s), joined(BLOCKS[1:]))
    thin = ledger.rows("BTC-USD", every_s=10)
    assert thin.step_s == 10
    assert_same(thin, joined(BLOCKS).thinned(10))
    assert (ledger.oldest_s("BTC-USD"), ledger.newest_s("BTC-USD")) == (BLOCKS[0].start_s, BLOCKS[-1].start_s)
    assert ledger.products() == ["BTC-USD"]


def test_what_is_older_is_forgotten(ledger: Ledger) -> None:
    for block in BLOCKS:
        ledger.add(block)
        ledger.add(block._replace(product="ETH-USD"))
    ledger.forget(BLOCKS[2].start_s)
    for product in ("BTC-USD", "ETH-USD"):
        assert_same(ledger.rows(product), joined(BLOCKS[2:]))


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flipped_data(content: bytes) -> bytes:
    # A byte of a page, whose damage parquet itself would not notice.
    return content[:60] + bytes([content[60] ^ 0x10]) + content[61:]


@pytest.mark.parametrize(
    "damage", [_cut, _flipped_data, lambda _content: b"", lambda _content: b"no parquet" * 9]
)
def test_a_damaged_block_is_told_with_its_name_and_without_it_all_goes_on(
    damage, ledger: Ledger, tmp_path: Path
) -> None:
    for block in BLOCKS:
        ledger.add(block)
    path = file_of(tmp_path, BLOCKS[1])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError, match=f"{path}.*remove it") as refused:
        ledger.rows("BTC-USD")
    assert "\n" not in str(refused.value)
    assert_same(ledger.rows("BTC-USD", BLOCKS[2].start_s), joined(BLOCKS[2:]))
    path.unlink()
    assert_same(ledger.rows("BTC-USD"), joined([BLOCKS[0], *BLOCKS[2:]]))


def test_a_file_without_a_column_is_told(ledger: Ledger, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = file_of(tmp_path, BLOCKS[0])
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"second": [1]}), path)
    with pytest.raises(ModelError, match="can't be read"):
        ledger.rows("BTC-USD")


def test_a_full_disk_leaves_no_half_block(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.add(BLOCKS[0])

    def full(_path: Path, _content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(module, "replace_file", full)
        with pytest.raises(ModelError, match="No space left"):
            ledger.add(BLOCKS[1])
        with pytest.raises(ModelError, match="No space left"):
            ledger.move({"a/0": 1})
    assert ledger.cursor() == {}
    assert_same(ledger.rows("BTC-USD"), BLOCKS[0].rows)
    assert ledger.add(BLOCKS[1])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a":"b"}'])
def test_a_cursor_that_is_none_is_told(content: bytes, ledger: Ledger, tmp_path: Path) -> None:
    ledger.move({"ticks.predictions/0": 7})
    assert ledger.cursor() == {"ticks.predictions/0": 7}
    (tmp_path / "ledger" / "cursor.json").write_bytes(content)
    with pytest.raises(ModelError, match="can't be read"):
        ledger.cursor()
