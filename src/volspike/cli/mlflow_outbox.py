"""What ``volspike models`` says of the outbox of MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from volspike.cli.figures import count_text
from volspike.cli.output import console, tell

if TYPE_CHECKING:
    from pathlib import Path

    from volspike.models.mlflow_outbox import Waiting

Sync = Annotated[
    bool, typer.Option("--sync", help="Tell MLflow what it has not been told yet, or has refused.")
]


def tell_outbox(data_dir: Path, mlflow_uri: str) -> tuple[int, Waiting]:
    """Tell MLflow all that waits or was refused; return how many items it took, and what it has not."""
    from volspike.models.mlflow_outbox import Outbox

    outbox = Outbox(data_dir)
    before = len(outbox.items()) + len(outbox.refused())
    waiting = look_at_outbox(data_dir, mlflow_uri, sync=True, again=True)
    return max(0, before - waiting.items - waiting.refused), waiting  # others may have added some meanwhile


def look_at_outbox(data_dir: Path, mlflow_uri: str, *, sync: bool, again: bool = False) -> Waiting:
    """Return what MLflow has not been told; it is told with ``sync``, and the refused with ``again``."""
    from volspike.models.mlflow_client import Server
    from volspike.models.mlflow_outbox import Outbox
    from volspike.models.mlflow_sync import sync as tell_mlflow

    if again:
        Outbox(data_dir).try_again()
    return tell_mlflow(data_dir, Server.of(mlflow_uri)).waiting if sync else Outbox(data_dir).waiting()


def show_waiting(waiting: Waiting, mlflow_uri: str, sent: int | None, *, as_json: bool) -> None:
    """Say what was sent, what waits and why; where it was to be told and was not, that is a failure.

    Parameters
    ----------
    sent : int or None
        How many items were; None where nothing was to be told.
    """
    from volspike.errors import RegistryError
    from volspike.models.mlflow_client import AWAY_REMEDY

    if sent is not None and waiting.items:
        tell(RegistryError("mlflow", waiting.words, AWAY_REMEDY))
        raise SystemExit(1)
    told = [] if sent is None else [_sent_text(sent, mlflow_uri, waiting)]
    if (told or waiting.words) and not as_json:
        words = "; ".join((*told, waiting.words) if waiting.words else told)
        console().print(f"MLflow: {words}", markup=False)


def _sent_text(sent: int, mlflow_uri: str, waiting: Waiting) -> str:
    from volspike.models.mlflow_client import DATABASE

    where = mlflow_uri or f"{DATABASE} of the data directory, as no server is set (mlflow_uri)"
    if not sent and not waiting.refused:
        return f"nothing waited for {where}"
    return f"{count_text(sent, 'item')} sent to {where}"
