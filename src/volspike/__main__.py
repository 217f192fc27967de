"""Entry point: run a verb; tell an expected failure in one line and exit 1."""

from __future__ import annotations

import sys

from volspike.errors import VolspikeError


def main() -> None:
    """Run the command line."""
    from volspike.cli.app import app

    try:
        app()
    except VolspikeError as error:
        _report(error)
        sys.exit(1)


def _report(error: VolspikeError) -> None:
    from volspike.cli.output import emit_json, failure_fields, tell

    if "--json" in sys.argv:
        emit_json(failure_fields(error))
    tell(error)


if __name__ == "__main__":
    main()
