"""Who serves: a change is whole or not at all, one at a time, and names only whole bundles of the product."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import volspike.models.standing as module
from made_bundles import FEED, PRODUCT, entry_of, make_bundle, spoil
from volspike.errors import ModelError
from volspike.models.standing import (
    Entry,
    Standing,
    champion_path,
    champions,
    champions_for,
    change_standing,
    crown_champion,
    place_challenger,
    standing_of,
    standings,
)


@pytest.fixture
def three(tmp_path: Path) -> tuple[Entry, Entry, Entry]:
    one, two, three = (entry_of(make_bundle(tmp_path, seed)) for seed in range(3))
    return one, two, three


def file_of(models: Path) -> Path:
    return models / "champions" / f"{PRODUCT}-{FEED}.json"


def crown(models: Path, entry: Entry) -> Standing:
    return crown_champion(models, entry.name, entry.version)


def place(models: Path, entry: Entry) -> Standing:
    return place_challenger(models, entry.name, entry.version)


def test_champion_previous_and_challenger_move_up(tmp_path: Path, three: tuple[Entry, ...]) -> None:
    one, two, other = three
    assert standing_of(tmp_path, PRODUCT, FEED) == Standing(PRODUCT, FEED)
    crown(tmp_path, one)
    place(tmp_path, two)
    assert standing_of(tmp_path, PRODUCT, FEED) == Standing(
        PRODUCT, FEED, one.name, one.version, challenger=two
    )
    crown(tmp_path, two)
    assert standings(tmp_path) == [Standing(PRODUCT, FEED, two.name, two.version, previous=one)]
    place(tmp_path, one)
    after = crown(tmp_path, other)
    assert (after.champion, after.previous, after.challenger) == (other, two, one)
    assert crown(tmp_path, other) == after
    assert champion_path(tmp_path) == other.path(tmp_path)


def test_a_challenger_alone_is_no_champion(tmp_path: Path, three: tuple[Entry, ...]) -> None:
    assert place(tmp_path, three[0]).champion is None
    assert champions(tmp_path) == []
    with pytest.raises(ModelError, match="no champion"):
        champion_path(tmp_path)


def test_the_champion_is_not_put_in_its_own_shadow(tmp_path: Path, three: tuple[Entry, ...]) -> None:
    before = crown(tmp_path, three[0])
    with pytest.raises(ModelError, match="it is the champion"):
        place(tmp_path, three[0])
    assert standing_of(tmp_path, PRODUCT, FEED) == before


@pytest.mark.parametrize("step", [crown, place])
def test_fault_37_a_bundle_that_is_not_whole_is_neither_champion_nor_challenger(
    step, tmp_path: Path, three: tuple[Entry, ...]
) -> None:
    crown(tmp_path, three[0])
    before = file_of(tmp_path).read_bytes()
    spoil(tmp_path, three[1])
    for entry in (three[1], Entry("logistic", "0" * 12)):
        with pytest.raises(ModelError):
            step(tmp_path, entry)
        with pytest.raises(ModelError):
            change_standing(tmp_path, PRODUCT, FEED, lambda now, entry=entry: now.crowned(entry))
    assert file_of(tmp_path).read_bytes() == before


@pytest.mark.parametrize("changes", [{"product": "ETH-USD"}, {"feed": "advanced"}])
def test_a_model_of_another_product_or_feed_is_refused(
    changes: dict[str, str], tmp_path: Path, three: tuple[Entry, ...]
) -> None:
    before = crown(tmp_path, three[0])
    other = entry_of(make_bundle(tmp_path, 9, **changes))
    with pytest.raises(ModelError, match=f"it was trained on {next(iter(changes.values()))}, not"):
        change_standing(tmp_path, PRODUCT, FEED, lambda now: now.crowned(other))
    assert standing_of(tmp_path, PRODUCT, FEED) == before


@pytest.mark.parametrize(("product", "feed"), [("../x", FEED), ("", FEED), (PRODUCT, "A"), (PRODUCT, "a/b")])
def test_what_can_not_name_a_file_is_refused(product: str, feed: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="can't name a file"):
        change_standing(tmp_path, product, feed, lambda now: now)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"product":"BTC-USD","feed":"exchange","name":"../..","version":"000000000000"}',
        b'{"product":"BTC-USD","feed":"exchange","name":"x","version":""}',
        b'{"product":"BTC-USD","feed":"exchange","challenger":{"name":"x","version":"../../passwd"}}',
        b'{"product":"ETH-USD","feed":"exchange"}',
        b'{"product":"BTC-USD","feed":"exchange","surplus":1}',
    ],
)
def test_a_file_that_is_no_standing_is_told_in_a_line_and_stays(content: bytes, tmp_path: Path) -> None:
    file_of(tmp_path).parent.mkdir()
    file_of(tmp_path).write_bytes(content)
    for read in (
        lambda: standing_of(tmp_path, PRODUCT, FEED),
        lambda: standings(tmp_path),
        lambda: change_standing(tmp_path, PRODUCT, FEED, lambda now: now),
    ):
        with pytest.raises(ModelError) as refused:
            read()
        assert "\n" not in str(refused.value)
    assert file_of(tmp_path).read_bytes() == content


def test_a_damaged_standing_of_another_product_or_feed_is_not_opened(
    tmp_path: Path, three: tuple[Entry, ...]
) -> None:
    own = crown(tmp_path, three[0])
    for other in ("ETH-USD-exchange", f"{PRODUCT}-advanced", f"{PRODUCT}-candles"):
        (tmp_path / "champions" / f"{other}.json").write_bytes(b"{")
    assert standings(tmp_path, PRODUCT, (FEED,)) == [own]
    assert [each.version for each in champions_for(tmp_path, PRODUCT, FEED)] == [own.version]
    assert champion_path(tmp_path, PRODUCT, FEED) == three[0].path(tmp_path)
    for several in (
        lambda: standings(tmp_path, "ETH-USD"),
        lambda: champions_for(tmp_path, PRODUCT, None),
        lambda: champions_for(tmp_path, PRODUCT, "none"),
    ):
        with pytest.raises(ModelError, match="damaged"):
            several()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b'{"product":"BTC-USD","feed":"exchange","rank":1,"seats":2}',
            "later version, which wrote rank, seats",
        ),
        (b"", "damaged"),
        (b'{"product":"BTC-U', "damaged"),
        (b'{"product":"BTC-USD","feed":"exchange","name":7}', "damaged"),
    ],
)
def test_what_a_later_version_wrote_and_what_is_damaged_are_told_apart(
    content: bytes, words: str, tmp_path: Path
) -> None:
    file_of(tmp_path).parent.mkdir()
    file_of(tmp_path).write_bytes(content)
    with pytest.raises(ModelError, match=words) as refused:
        standing_of(tmp_path, PRODUCT, FEED)
    assert f"remove {file_of(tmp_path)} and volspike promote NAME/VERSION --force" in refused.value.remedy


def test_a_disk_that_is_full_leaves_the_standing_before(
    tmp_path: Path, three: tuple[Entry, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = crown(tmp_path, three[0])

    def full(_path: Path, _content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    told: list[Standing] = []

    def tell(_before: Standing, after: Standing) -> None:
        told.append(after)

    monkeypatch.setattr(module, "replace_file", full)
    with pytest.raises(ModelError, match="No space left"):
        change_standing(tmp_path, PRODUCT, FEED, lambda now: now.crowned(three[1]), tell)
    assert standing_of(tmp_path, PRODUCT, FEED) == before
    assert not told


def test_who_is_told_is_told_when_it_is_in_place_and_what_was_there(
    tmp_path: Path, three: tuple[Entry, ...]
) -> None:
    before = crown(tmp_path, three[1])
    seen = []

    def tell(was: Standing, after: Standing) -> None:
        seen.append((was, after, standing_of(tmp_path, PRODUCT, FEED)))

    after = crown_champion(tmp_path, three[0].name, three[0].version, tell)
    assert seen == [(before, after, after)]


_ADDER = """
import sys, msgspec
from pathlib import Path
from volspike.models.standing import change_standing
models, turns = Path(sys.argv[1]), int(sys.argv[2])
for _ in range(turns):
    def count(now):
        before = 0 if now.previous is None else int(now.previous.version, 16)
        return msgspec.structs.replace(now, previous={"name": "x", "version": f"{before + 1:012x}"})
    change_standing(models, "BTC-USD", "exchange", count)
"""


def test_changes_of_several_processes_undo_none_of_each_other(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _ADDER, str(tmp_path), "40"]
    running = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    previous = msgspec.json.decode(file_of(tmp_path).read_bytes())["previous"]
    assert int(previous["version"], 16) == 120
    assert sorted(path.name for path in file_of(tmp_path).parent.iterdir()) == [
        ".lock",
        file_of(tmp_path).name,
    ]
