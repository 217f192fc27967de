"""What ``volspike models`` says of the outbox of MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from volspike.cli.output import console, tell

if TYPE_CHECKING:
    from pathlib import Path

    from volspike.models.mlflow_outbox import Waiting

Sync = Annotated[
    bool, typer.Option("--sync", help="Tell MLflow what it has not been told yet, or has refused.")
]


def look_at_outbox(data_dir: Path, mlflow_uri: str, *, sync: bool, again: bool = False) -> Waiting:
    """Return what MLflow has not been told; it is told with ``sync``, and the refused with ``again``."""
    from volspike.models.mlflow_client import Server
    from volspike.models.mlflow_outbox import Outbox
    from volspike.models.mlflow_sync import sync as tell_mlflow

    if again:
        Outbox(data_dir).try_again()
    return tell_mlflow(data_dir, Server.of(mlflow_uri)).waiting if sync else Outbox(data_dir).waiting()


def show_waiting(waiting: Waiting, *, as_json: bool, sync: bool) -> None:
    """Say what waits and why; where it was to be told and was not, that is a failure."""
    from volspike.errors import RegistryError
    from volspike.models.mlflow_client import AWAY_REMEDY

    if sync and waiting.items:
        tell(RegistryError("mlflow", waiting.words, AWAY_REMEDY))
        raise SystemExit(1)
    if waiting.words and not as_json:
        console().print(f"MLflow: {waiting.words}", markup=False)
