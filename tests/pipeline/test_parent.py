"""What was begun beside a job does not outlive who began it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from volspike.pipeline.background import _command
from whole_runs import wait_until

CHILD = (
    "import sys, time\n"
    "from volspike.pipeline.parent import end_with\n"
    "end_with(int(sys.argv[1]))\n"
    "open(sys.argv[2], 'w').write('begun')\n"
    "time.sleep(600)\n"
)
PARENT = (
    "import os, subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', sys.argv[1], str(os.getpid()), sys.argv[2]])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(600)\n"
)


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_a_verb_ends_when_who_began_it_is_killed(tmp_path: Path) -> None:
    told = tmp_path / "told"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD, str(told)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    wait_until(lambda: told.exists() and told.read_text() == "begun")
    assert is_there(child)
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()
    wait_until(lambda: not is_there(child), 30.0)


def test_the_verbs_of_a_caretaker_are_told_its_number() -> None:
    command = list(_command(("retrain", "--by", "schedule")))
    assert command[command.index("--with-parent") + 1] == str(os.getpid())
