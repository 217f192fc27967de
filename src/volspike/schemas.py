"""The JSON Schemas of the records: ``python -m volspike.schemas docs/schemas`` writes them anew."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import msgspec

from volspike.records import (
    Alert,
    DeadLetter,
    DriftAlarm,
    FeatureRow,
    Gap,
    Mark,
    Outcome,
    Prediction,
    Record,
    Tick,
)

RECORDS: tuple[type[Record], ...] = (
    Tick,
    Mark,
    Gap,
    DeadLetter,
    FeatureRow,
    Prediction,
    Outcome,
    Alert,
    DriftAlarm,
)


def record_schemas() -> Iterator[tuple[str, str]]:
    """Yield (file name, JSON Schema) of every record; the file is named after the record's ``kind``."""
    for record in RECORDS:
        kind = str(record.__struct_config__.tag)
        schema = msgspec.json.schema(record)
        for definition in schema["$defs"].values():
            # Python 3.13 takes a docstring's indentation away, earlier versions keep it.
            definition["description"] = cleandoc(definition["description"])
        yield f"{kind}.json", json.dumps(schema, indent=2) + "\n"


def write_schemas(directory: Path) -> None:
    """Write the schema of every record into a directory, made where absent."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, schema in record_schemas():
        (directory / name).write_text(schema, encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
