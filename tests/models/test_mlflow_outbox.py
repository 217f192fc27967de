"""What MLflow is to be told is kept whole on disk, in order, whatever ends the process."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from volspike.errors import ModelError, RegistryError
from volspike.models.mlflow_items import Aliases, Attachment
from volspike.models.mlflow_outbox import ITEM_FILE, OUTBOX, Outbox
from volspike.models.standing import Entry
from volspike.testing.crash_point import CrashError, CrashPoint

ALIASES = Aliases("BTC-USD", "exchange")
KILLED = """
import sys
from pathlib import Path
from volspike.models.mlflow_items import Aliases
from volspike.models.mlflow_outbox import Outbox
from volspike.testing.crash_point import CrashPoint
outbox = Outbox(Path(sys.argv[1]), CrashPoint(sys.argv[2], kill=True))
outbox.put("aliases", Aliases("B-U", "x"), {"a/b": b"c"})
"""
FULL = """
import sys
from pathlib import Path
from volspike.models.mlflow_items import Aliases
from volspike.models.mlflow_outbox import Outbox
Outbox(Path(sys.argv[1])).put("aliases", Aliases("B-U", "x"), {"a/b": bytes(30_000)})
"""


def child(code: str, *arguments: object, **how: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **how)  # type: ignore[call-overload, no-any-return]


def test_items_come_back_in_order_with_their_files(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    report = tmp_path / "report.html"
    report.write_text("<p>")
    names = [outbox.put("aliases", ALIASES, {}) for _ in range(11)]
    attachment = Attachment(Entry("zscore", "0123456789ab"), "drift")
    names.append(outbox.put("attachment", attachment, {"files/report.html": report}))
    report.unlink()
    assert [path.name for path in outbox.items()] == names
    assert outbox.read(outbox.items()[0]) == ALIASES
    assert outbox.read(outbox.items()[-1]) == attachment
    assert (outbox.items()[-1] / "files" / "report.html").read_text() == "<p>"
    for path in outbox.items()[:-1]:
        outbox.remove(path)
    assert [path.name for path in outbox.items()] == names[-1:]
    assert outbox.waiting().words == "1 item waits for MLflow, as nobody has tried yet"


@pytest.mark.parametrize(("step", "kept"), [("outbox.before_rename", 0), ("outbox.after_rename", 1)])
def test_invariant_06_a_killed_put_leaves_all_of_the_item_or_nothing(
    step: str, kept: int, tmp_path: Path
) -> None:
    assert child(KILLED, tmp_path, step).returncode == -9
    outbox = Outbox(tmp_path)
    assert [(path / "a" / "b").read_bytes() for path in outbox.items()] == [b"c"] * kept
    outbox.put("aliases", ALIASES, {})
    assert len(outbox.items()) == kept + 1
    assert not (tmp_path / OUTBOX / ".tmp").exists()


def test_a_removal_that_was_cut_off_is_a_removal(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, CrashPoint("outbox.renamed_away"))
    outbox.put("aliases", ALIASES, {})
    outbox.put("aliases", ALIASES, {})
    first, second = outbox.items()
    with pytest.raises(CrashError):
        outbox.remove(first)
    assert outbox.items() == [second]
    outbox.remove(second)
    assert not [path for path in (tmp_path / OUTBOX).iterdir() if path.is_dir()]


def test_a_full_disk_is_told_and_leaves_no_part_of_an_item(tmp_path: Path) -> None:
    limit = (20_000, 20_000)
    ran = child(FULL, tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    assert "ModelError" in ran.stderr.splitlines()[-1]
    assert "can't be written (File too large)" in ran.stderr.splitlines()[-1]
    assert not [path for path in (tmp_path / OUTBOX).iterdir() if path.is_dir()]


def test_a_refused_item_keeps_its_reason_and_its_number(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.put("aliases", ALIASES, {})
    (path,) = outbox.items()
    outbox.refuse(path, "no such thing")
    assert outbox.put("aliases", ALIASES, {}) == "000002-aliases"
    (refused,) = outbox.refused()
    assert (refused / "reason.txt").read_text() == "no such thing\n"
    assert outbox.waiting().words.endswith(
        f"1 refused: see {OUTBOX}/refused; volspike models --sync tries again"
    )
    outbox.try_again()
    assert [each.name for each in outbox.items()] == ["000001-aliases", "000002-aliases"]
    assert (outbox.read(outbox.items()[0]), outbox.refused()) == (ALIASES, [])
    outbox.try_again()


def test_a_stray_file_that_is_named_like_an_item_is_passed_over(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.put("aliases", ALIASES, {})
    for name in ("000000-notes", "000002-aliases"):
        (tmp_path / OUTBOX / name).write_text("a stray file")
    assert outbox.put("aliases", ALIASES, {}) == "000003-aliases"
    assert [each.name for each in outbox.items()] == ["000001-aliases", "000003-aliases"]
    assert outbox.waiting().items == 2


def test_only_one_process_sends(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.put("aliases", ALIASES, {})
    with outbox.sending():
        with (
            pytest.raises(RegistryError, match="another process is sending"),
            Outbox(tmp_path).sending(patience_s=0.4),
        ):
            pytest.fail("two send at once")
        outbox.put("aliases", ALIASES, {})  # adding goes on meanwhile
    with outbox.sending():
        assert len(outbox.items()) == 2


def test_who_comes_while_another_sends_waits_for_it(tmp_path: Path) -> None:
    begun, told = threading.Event(), list[str]()

    def send_slowly() -> None:
        with Outbox(tmp_path).sending():
            begun.set()
            time.sleep(0.5)
            told.append("first")

    first = threading.Thread(target=send_slowly)
    first.start()
    assert begun.wait(10.0)
    with Outbox(tmp_path).sending():
        told.append("second")
    first.join()
    assert told == ["first", "second"]


def test_a_malformed_item_is_told_by_its_path(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.put("aliases", ALIASES, {})
    (path,) = outbox.items()
    (path / ITEM_FILE).write_text('{"type": "aliases", "product": 1')
    with pytest.raises(ModelError, match="000001-aliases: it can't be read"):
        outbox.read(path)
    with pytest.raises(ModelError, match="missing or can't be written"):
        Outbox(tmp_path / "nowhere").put("aliases", ALIASES, {})
