"""Graded rows on disk: whole blocks, each once, and a damaged one is told and not read."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
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


def test_a_directory_is_read_again_only_when_it_has_changed(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    glob = Path.glob

    def noted(path: Path, pattern: str) -> Iterator[Path]:
        listed.append(path.name)
        return glob(path, pattern)

    monkeypatch.setattr(Path, "glob", noted)
    for block in BLOCKS:
        ledger.add(block)
    listed.clear()
    for _ in range(3):
        assert ledger.oldest_s("BTC-USD") == BLOCKS[0].start_s
        assert ledger.newest_s("BTC-USD") == BLOCKS[-1].start_s
    assert listed == ["BTC-USD"]
    time.sleep(0.02)  # stamps of a file system are some milliseconds coarse
    file_of(tmp_path, BLOCKS[0]).unlink()  # by hand, as is told of a damaged one
    assert ledger.oldest_s("BTC-USD") == BLOCKS[1].start_s
    time.sleep(0.02)
    assert Ledger(tmp_path / "ledger").add(later := BLOCKS[-1]._replace(start_s=BLOCKS[-1].start_s + 1_800))
    assert ledger.newest_s("BTC-USD") == later.start_s
    ledger.forget(BLOCKS[2].start_s)
    assert ledger.oldest_s("BTC-USD") == BLOCKS[2].start_s


def test_a_block_that_can_not_be_deleted_is_told(ledger: Ledger, tmp_path: Path) -> None:
    ledger.add(BLOCKS[0])
    path = file_of(tmp_path, BLOCKS[0])
    path.unlink()
    path.mkdir()
    with pytest.raises(ModelError, match=f"{path}: can't be written"):
        ledger.forget(2**40)


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flipped_data(content: bytes) -> bytes:
    # A byte of a page, whose damage parquet itself would not notice.
    return content[:60] + bytes([content[60] ^ 0x10]) + content[61:]


@pytest.fixture(params=[_cut, _flipped_data, lambda _content: b"", lambda _content: b"no parquet" * 9])
def damaged(request: pytest.FixtureRequest, ledger: Ledger, tmp_path: Path) -> Path:
    """Return the file of the second of all blocks, which is no whole one any more."""
    for block in BLOCKS:
        ledger.add(block)
    path = file_of(tmp_path, BLOCKS[1])
    path.write_bytes(request.param(path.read_bytes()))
    return path


def test_a_damaged_block_is_told_with_its_name_and_without_it_all_goes_on(
    damaged: Path, ledger: Ledger
) -> None:
    with pytest.raises(ModelError, match=f"{damaged}.*remove it") as refused:
        ledger.rows("BTC-USD")
    assert "\n" not in str(refused.value)
    assert_same(ledger.rows("BTC-USD", BLOCKS[2].start_s), joined(BLOCKS[2:]))
    damaged.unlink()
    assert_same(ledger.rows("BTC-USD"), joined([BLOCKS[0], *BLOCKS[2:]]))


def test_whoever_looks_after_it_sets_a_damaged_block_aside_and_reads_the_rest(
    damaged: Path, ledger: Ledger
) -> None:
    spoilt = damaged.read_bytes()
    assert_same(ledger.rows("BTC-USD", set_aside=True), joined([BLOCKS[0], *BLOCKS[2:]]))
    assert damaged.with_name(damaged.name + ".damaged").read_bytes() == spoilt
    assert_same(ledger.rows("BTC-USD"), joined([BLOCKS[0], *BLOCKS[2:]]))


def test_a_block_that_the_disk_refuses_is_not_set_aside(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    ledger.add(BLOCKS[0])

    def refuse(*_given: object, **_named: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(pq, "ParquetFile", refuse)
    with pytest.raises(ModelError, match=r"Input/output error.*check its permissions"):
        ledger.rows("BTC-USD", set_aside=True)
    assert file_of(tmp_path, BLOCKS[0]).exists()


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
def test_a_cursor_that_is_none_is_set_aside_and_all_is_read_again(
    content: bytes, ledger: Ledger, tmp_path: Path
) -> None:
    ledger.move({"ticks.predictions/0": 7})
    assert ledger.cursor() == {"ticks.predictions/0": 7}
    path = tmp_path / "ledger" / "cursor.json"
    path.write_bytes(content)
    assert ledger.cursor() == {}
    assert not path.exists()
    assert path.with_name("cursor.json.damaged").read_bytes() == content
