"""How verbs end: Ctrl-C in a terminal, a feed that never answers, a disk or a reader that takes no more."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from volspike.pipeline.demo import PREPARING, Demo, DemoPlan
from whole_runs import (
    LIMIT_S,
    finished,
    one_line_failure,
    settings_for,
    simulator_process,
    tree,
    volspike,
    wait_until,
)

PLAN = DemoPlan(recordings=(), speed=30.0, history_hours=0.1, zone="UTC", exit_after_s=None)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def champion(root: Path) -> Path:
    (path,) = (root / "models").glob("logistic/*")
    return path


def test_ctrl_c_in_a_terminal_ends_a_demo_with_its_summary(
    trained: Callable[[], Path], tmp_path: Path
) -> None:
    model = champion(trained())
    command = ["demo", "--model", model, "--history-hours", 0.1, "--speed", 30, "--data-dir", "shown"]
    process = subprocess.Popen(
        [sys.executable, "-m", "volspike", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"http_proxy": "http://127.0.0.1:9"},  # no proxy is asked for loopback
    )
    wait_until(lambda: bool(list((tmp_path / "shown" / "raw").rglob("*-p*.ndjson"))))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group at once
    ran = finished(process)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("Demo\n")
    assert "sent" in ran.out
    assert "unknown" not in ran.out
    assert f"{sys.executable} -m volspike verify --data-dir shown" in ran.out
    assert "BTC-USD: logistic" in ran.out
    assert "{" not in ran.out
    assert (tmp_path / "shown" / "simulator.log").read_text() == ""


def test_a_simulator_that_is_gone_at_the_end_makes_the_sent_unknown(tmp_path: Path) -> None:
    said: list[str] = []
    demo = Demo(settings_for(tmp_path / "shown"), PLAN, said.append)
    demo._admin = "http://127.0.0.1:1"

    async def ended() -> None:
        asked = asyncio.Event()
        asked.set()
        await demo.watch(lambda _sent: True, asked)

    asyncio.run(ended())
    assert demo.report({})["sent"] is None
    (words,) = said
    assert "does not answer" in words
    assert "simulator.log" in words


def test_a_demo_that_was_killed_while_it_prepared_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / PREPARING).touch()
    (tmp_path / "shown" / "raw").mkdir()
    ran = volspike("demo", "--model", "nowhere", "--data-dir", "shown", "--json")
    assert "nowhere" in one_line_failure(ran)
    assert tree(tmp_path) == {"shown": "directory"}


def test_a_feed_that_never_answers_is_a_failure_with_its_reason() -> None:
    address = ("--exchange-url", "ws://127.0.0.1:1")
    ran = volspike("run", *address, "--exit-after", 0.5, "--data-dir", "data", "--json")
    assert one_line_failure(ran).startswith("volspike: feed exchange: no frame ever came: nothing listens")
    assert ran.report["frames"] == 0
    assert ran.report["error"].startswith("no frame ever came")


@pytest.mark.parametrize(("spoken", "other"), [("exchange", "advanced"), ("advanced", "exchange")])
def test_the_answer_of_the_other_dialect_is_recognised(spoken: str, other: str, tmp_path: Path) -> None:
    with simulator_process(tmp_path / "ready.json") as told:
        address = ("--exchange-url", told["urls"][other], "--dialect", spoken)
        ran = volspike("run", *address, "--exit-after", 30, "--data-dir", "data", "--json")
    assert ran.code == 1
    assert f"try --dialect {other}" in ran.report["remedy"]


def test_a_standard_output_that_is_full_is_told_in_a_line() -> None:
    for verb in (["config", "--json"], ["config"], ["--help"]):
        with open("/dev/full", "w") as full:
            ran = subprocess.run(
                [sys.executable, "-m", "volspike", *verb], stdout=full, stderr=subprocess.PIPE, text=True
            )
        assert ran.returncode == 1, verb
        (line,) = ran.stderr.splitlines()
        assert "No space left" in line


def test_a_reader_that_has_left_is_no_fault() -> None:
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(
        [sys.executable, "-m", "volspike", "config"], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert (ran.returncode, ran.stderr) == (1, "")


def limited(root: Path, verb: str) -> subprocess.CompletedProcess[str]:
    """Run a verb in a process that may write no file beyond 20 kB, as if the disk were full."""
    return subprocess.run(
        [sys.executable, "-m", "volspike", verb, "--data-dir", str(root)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )


@pytest.mark.parametrize("verb", ["train", "predict"])
def test_a_full_disk_is_told_in_a_line_and_leaves_nothing_half_written(
    verb: str, trained: Callable[[], Path]
) -> None:
    root = trained()
    (root / "mlflow.db").unlink()
    made = ("predictions/", "models/", "reports/")
    before = tree(root)
    ran = limited(root, verb)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    line = ran.stderr.splitlines()[-1]
    assert line.startswith("volspike: ")
    assert "can't be written" in line
    after = {path: content for path, content in tree(root).items() if path.startswith(made)}
    assert after.items() <= before.items()
    assert not list(root.rglob("*.tmp"))


def test_a_registered_model_knows_its_product_and_feed(trained: Callable[[], Path]) -> None:
    root = trained()
    for path in (root / "features").glob("*-exchange-*.parquet"):
        shutil.copy(path, path.with_name(path.name.replace("-exchange-", "-advanced-")))
    for verb in ("predict", "evaluate"):
        ran = volspike(verb, "--model", "models:/logistic/1", "--data-dir", root, "--json")
        assert ran.code == 0, ran.err
