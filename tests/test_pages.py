"""What the pages promise: the example runs, links lead somewhere, the hours needed are those of the code."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from shown_job import NOW_NS, alert, prediction
from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Outgoing
from volspike.bus.topics import ALERTS, PREDICTIONS
from volspike.clock import SystemClock
from volspike.evaluation.enough import BLOCK_S, MIN_BLOCKS
from volspike.labels.splits import FRACTIONS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_example_of_reading_the_log_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "volspike-data").mkdir()
    log = EmbeddedLog(tmp_path / "volspike-data" / "log.db", SystemClock())
    records = ((PREDICTIONS, prediction("BTC-USD", 1.0)), (ALERTS, alert("opened", 0)))
    log.append([Outgoing(topic.name, "BTC-USD", topic.encode(record), NOW_NS) for topic, record in records])
    log.close()
    example = (ROOT / "docs" / "reading.md").read_text().partition("```python\n")[2].partition("```")[0]
    for lines in (2, 0):  # the second time the group has read them all
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(example, "reading.md", "exec"), {})
        assert len(said.getvalue().splitlines()) == lines
    assert "p(spike)" in example


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not missing


def test_the_hours_that_are_enough_follow_from_the_code() -> None:
    hours = MIN_BLOCKS * BLOCK_S / 3_600 / FRACTIONS[3]
    assert f"at least **{hours:.0f} hours**" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_life_of_a_tick_names_every_file() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    files = [path for path in (ROOT / "src" / "volspike").rglob("*.py") if not path.name.startswith("__")]
    unnamed = [
        path for path in files if path.parent.name != "cli" and not re.search(rf"\b{path.stem}\b", page)
    ]
    assert len(files) > 100
    assert unnamed == []
