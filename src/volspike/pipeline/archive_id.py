"""The name of one archive: random, made at its first start, and kept in its data directory."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from volspike.errors import BusError

_ID = re.compile(r"[0-9a-f]{32}")


def archive_id(file: Path) -> str:
    """Return the id in ``file``, which is made where there is none.

    Raises
    ------
    BusError
        There is a file, and no id in it.
    """
    if not file.exists():
        fresh = file.with_suffix(".new")
        fresh.write_text(secrets.token_hex(16), encoding="ascii")
        fresh.replace(file)
    found = file.read_text(encoding="ascii", errors="replace").strip()
    if not _ID.fullmatch(found):
        remedy = "restore it, or delete it and ingest under another --name: publishing begins anew there"
        raise BusError(str(file), "holds no id of an archive", remedy)
    return found
