"""Invariant 10 on whole runs: the same archive and seed give the same bytes, in whatever process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from whole_runs import LIMIT_S, NS, make_history, tree, volspike

VERBS = (("replay",), ("train", "--seed", "3"), ("predict", "--model", "champion"))
# One process for the three verbs, because starting Python costs more than they do.
IN_A_PROCESS = """
import json, sys
from volspike.__main__ import main
root, verbs = sys.argv[1], json.loads(sys.argv[2])
for verb in verbs:
    sys.argv = ["volspike", *verb, "--data-dir", root, "--json"]
    try:
        main()
    except SystemExit as end:
        assert not end.code, (verb, end.code)
"""


@pytest.mark.slow
def test_invariant_10_same_archive_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    make_history(tmp_path / "a", 5_400 * NS)
    shutil.rmtree(tmp_path / "a" / "features")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    # Another process hashes otherwise, so an order that hangs on hashes would differ.
    other = subprocess.Popen(
        [sys.executable, "-c", IN_A_PROCESS, str(tmp_path / "b"), json.dumps(VERBS)],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for verb in VERBS:
        assert volspike(*verb, "--data-dir", tmp_path / "a", "--json").code == 0
    _, err = other.communicate(timeout=LIMIT_S)
    assert other.returncode == 0, err
    for folder in ("raw", "features", "models", "predictions"):
        first, second = (tree(tmp_path / name / folder) for name in ("a", "b"))
        for held in ("archive.lock", "features.lock"):
            first.pop(held, None)
            second.pop(held, None)
        assert first == second, folder
        assert sum(content != "directory" for content in first.values()) > 0, folder
