"""``python -m benchmarks [NAME...] [--quick] [--json FILE] [--markdown FILE]``: run all, or those named."""

from __future__ import annotations

import argparse
import importlib
import json
import os
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.figures import as_dicts, machine, show
from benchmarks.sheet import Sheet
from volspike.cli.output import configure_logging

NAMES = ("batch_features", "live_step", "replay", "inference", "bytes_to_prediction")
# Not among "all": kafka needs Java and Maven, and as long as the others together; the last three time none.
NAMED_ONLY = ("kafka", "beside_retraining", "realism", "drift_rates", "null_lives")
ASKED = f"which benchmarks; default: all but {', '.join(NAMED_ONLY)}"


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run what is asked for; return everything that was measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="*", choices=[*NAMES, *NAMED_ONLY, []], help=ASKED)
    parser.add_argument("--quick", action="store_true", help="a short smoke run; its times mean nothing")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument(
        "--markdown", type=Path, help="write the tables of realism, drift_rates or null_lives to this file"
    )
    given = parser.parse_args(arguments)
    # All figures are for one core; polars reads this when it is first imported.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    configure_logging("warning")
    console = Console()
    pages: list[str] = []
    measured: dict[str, Any] = {"machine": machine(), "quick": given.quick}
    console.print("  ".join(f"{name} {value}" for name, value in measured["machine"].items()))
    for name in given.name or NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        found = module.run(given.quick)
        if isinstance(found[0], Sheet):
            for sheet in found:
                sheet.show()
            pages += [sheet.markdown() for sheet in found]
        else:
            show(console, module.TITLE, found)
        measured[name] = as_dicts(found)
    if given.markdown:
        given.markdown.write_text("\n".join(pages), encoding="utf-8")
    if given.json:
        given.json.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    return measured


if __name__ == "__main__":
    main()
