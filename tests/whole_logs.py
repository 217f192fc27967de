"""Whether the log of a data directory holds what its archive gives, each record once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from volspike.exchange.products import PriceScales
from volspike.features.admission import Dropped
from volspike.pipeline.ingest import Ingest, dead_letter
from volspike.recording.reader import Archive
from volspike.records import Gap, Mark, Record, Tick
from whole_runs import logged


def from_archive(root: Path) -> dict[str, list[Record]]:
    """Make the records of live sessions again, in order, without any code of the restart."""
    made: dict[str, list[Record]] = {"ticks.raw": [], "ticks.gaps": [], "ticks.deadletter": []}
    archive, ingest = Archive(root), Ingest(PriceScales())
    for session in archive.sessions():
        ingest.begin(session.header)
        for frame in archive.frames(session):
            for answer in ingest.take(frame)[1]:
                if session.header.origin != "live":
                    continue
                if isinstance(answer, Tick | Mark):
                    made["ticks.raw"].append(answer)
                elif isinstance(answer, Gap):
                    made["ticks.gaps"].append(answer)
                elif isinstance(answer, Dropped) and answer.dead:
                    made["ticks.deadletter"].append(dead_letter(answer, session.header.feed, frame))
    return made


def check_whole(root: Path) -> None:
    """Check that the log holds what the archive gives, each prediction one outcome, each alert its end."""
    for topic, records in from_archive(root).items():
        assert logged(root, topic) == records, topic
    ticks: list[Any] = logged(root, "ticks.raw")
    rows: list[Any] = logged(root, "ticks.features")
    assert [(r.archive_seq, r.archive_row) for r in rows] == [(t.archive_seq, t.archive_row) for t in ticks]
    assert [type(row) is Mark for row in rows] == [type(tick) is Mark for tick in ticks]
    predictions: list[Any] = logged(root, "ticks.predictions")
    outcomes: list[Any] = logged(root, "ticks.outcomes")
    assert len({prediction.id for prediction in predictions}) == len(predictions)
    assert Counter(o.prediction_id for o in outcomes) == Counter(p.id for p in predictions)
    alerts: list[Any] = logged(root, "ticks.alerts")
    told = [json.loads(line) for line in (root / "alerts.ndjson").read_text().splitlines()]
    for states in (
        [(alert.id, alert.state) for alert in alerts],
        [(alert["id"], alert["state"]) for alert in told],
    ):
        opened = {id_ for id_, state in states if state == "opened"}
        assert Counter(states) == Counter({(id_, s): 1 for id_ in opened for s in ("opened", "closed")})
    assert {alert.id for alert in alerts} == {alert["id"] for alert in told}
