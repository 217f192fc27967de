"""Sending to MLflow so that nobody waits for it: on a server in a process of its own, ended in time.

A process, since no time limit of a library holds against a server that answers a byte a second. It may be
killed anywhere: sending is idempotent.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import msgspec

from volspike.errors import RegistryError
from volspike.models.mlflow_client import DATABASE, LIMIT_S, Server, check_reachable
from volspike.models.mlflow_outbox import Outbox, Waiting
from volspike.models.mlflow_run import Registered
from volspike.models.mlflow_send import Sent, send_waiting


@dataclass(frozen=True)
class Synced:
    """What was told to MLflow, by item and model, and what still waits."""

    registered: dict[str, dict[str, Registered]]
    waiting: Waiting


def sync(data_dir: Path, server: Server | None, *, apart: bool = False) -> Synced:
    """Tell MLflow all that waits; whatever keeps it from that is noted in the outbox and no failure.

    Parameters
    ----------
    apart : bool
        In a process of its own even on sqlite: MLflow takes some 200 MB, which it does not give back.
    """
    outbox = Outbox(data_dir)
    sent = Sent()
    if outbox.items():
        is_here = server is None and not apart
        sent = send_waiting(data_dir, None) if is_here else _send_apart(data_dir, server)
        outbox.note(sent.reason)
    return Synced(sent.registered, outbox.waiting())


def _send_apart(data_dir: Path, server: Server | None) -> Sent:
    where, limit_s = (server.uri, server.limit_s) if server else (DATABASE, LIMIT_S)
    try:
        check_reachable(data_dir, server)
    except RegistryError as error:
        return Sent(reason=f"{error.subject}: {error.reason}")
    command = [sys.executable, "-m", __name__, str(data_dir), server.uri if server else ""]
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return Sent(reason=f"{where}: not done within {limit_s:g} s")
    try:
        return msgspec.json.decode(done.stdout, type=Sent)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return Sent(reason=f"{where}: sending ended with {done.returncode} ({said or 'no word'})")


def main() -> None:
    """Send what waits in the data directory named first to the server named second, or to sqlite."""
    _, data_dir, uri = sys.argv
    with redirect_stdout(sys.stderr):  # MLflow tells people there where to look
        sent = send_waiting(Path(data_dir), Server.of(uri))
    sys.stdout.buffer.write(msgspec.json.encode(sent))


if __name__ == "__main__":
    main()
