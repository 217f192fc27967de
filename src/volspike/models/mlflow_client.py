"""A connection to MLflow: sqlite beside the data, or a tracking server; quiet, and never waiting for long.

MLflow stores absolute addresses of artifacts, and offers no way to change them. A data directory may still be
moved or copied: what is written to a directory that has moved goes to a new experiment there, and the one
from before the move is renamed. On a server, artifacts go through the server.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from volspike.errors import ModelError, RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
EXPERIMENT = "volspike"
ASK_S = 3.0  # within which a server answers that it is there, and a database is free
LIMIT_S = 60.0  # within which all that waits is told, or the rest waits on
REGISTRY_REMEDY = "run volspike train on this data directory, or give the directory of a bundle"
AWAY_REMEDY = "what MLflow is to be told waits; volspike models --sync tells it"
# What MLflow says of a value that it will never take; anything else may go well another time.
NEVER = "INVALID_PARAMETER_VALUE"
UNKNOWN = (NEVER, "RESOURCE_DOES_NOT_EXIST")
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}
# Said by mlflow at import, or of things that are done on purpose.
EXPECTED = (".*Any type hint is inferred as AnyType", ".*An input example was not provided")


@dataclass(frozen=True)
class Server:
    """A tracking server.

    Attributes
    ----------
    uri : str
        Its address, without credentials: those are for MLflow's own variables of the environment.
    limit_s : float
        How long it may take to be told all that waits; then the rest waits on.
    """

    uri: str
    limit_s: float = LIMIT_S

    @classmethod
    def of(cls, uri: str) -> Server | None:
        """Return the server of the setting ``mlflow_uri``; None where that is empty: sqlite."""
        return cls(uri) if uri else None


def check_writable(data_dir: Path) -> None:
    """Refuse a data directory that is missing or can't be written; MLflow would try again for minutes."""
    if not os.access(data_dir, os.W_OK):
        raise ModelError(str(data_dir), "it is missing or can't be written", "check the data directory")


def check_reachable(data_dir: Path, server: Server | None) -> None:
    """Find out at once whether MLflow is there; the library would try again for minutes.

    Raises
    ------
    RegistryError
        When no server answers, or the database is locked or none.
    """
    if server is None:
        _check_database(data_dir / DATABASE)
        return
    try:
        with urllib.request.urlopen(f"{server.uri}/health", timeout=ASK_S):
            return
    except urllib.error.HTTPError as error:
        # A refusal is an answer; a gateway without a server behind it is none.
        if error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
            return
        reason = f"it answers {error.code} {error.reason}"
    except (OSError, ValueError) as error:
        reason = f"it does not answer ({getattr(error, 'reason', error)})"
    raise RegistryError(server.uri, reason, AWAY_REMEDY)


def _check_database(database: Path) -> None:
    if not database.exists():
        return
    try:
        with closing(sqlite3.connect(database, timeout=ASK_S)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    except sqlite3.Error as error:
        raise RegistryError(str(database), f"can't be written ({error})", AWAY_REMEDY) from error


@contextmanager
def open_mlflow(
    data_dir: Path, server: Server | None = None, subject: str = "mlflow"
) -> Iterator[MlflowClient]:
    """Import MLflow, quiet and without telemetry, and point it at the data directory or server for a while.

    Raises
    ------
    RegistryError
        When it can't be reached or can't write.
    ModelError
        When it refuses, or knows no such model.
    """
    check_writable(data_dir)
    check_reachable(data_dir, server)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        for message in EXPECTED:
            warnings.filterwarnings("ignore", message=message, category=UserWarning)
        import mlflow

        for noisy in ("mlflow", "alembic"):  # its import sets them to INFO
            logging.getLogger(noisy).setLevel(logging.WARNING)
        before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
        database = (data_dir / DATABASE).resolve()
        uri = server.uri if server else f"sqlite:///{database}"
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        try:
            with _told(subject, None if server or database.exists() else database):
                yield mlflow.MlflowClient(uri, uri)
        finally:
            mlflow.set_tracking_uri(before[0])
            mlflow.set_registry_uri(before[1])


@contextmanager
def _told(subject: str, new_database: Path | None) -> Iterator[None]:
    """Turn what MLflow and what lies below it raise into our own errors."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except MlflowException as error:
        reason = str(error).splitlines()[0].rstrip(".")
        if error.error_code in UNKNOWN:
            raise ModelError(subject, reason, REGISTRY_REMEDY) from error
        raise RegistryError(subject, reason, AWAY_REMEDY) from error
    except DBAPIError as error:
        if new_database is not None:
            new_database.unlink(missing_ok=True)  # half of its tables would stand in the next run's way
        raise RegistryError(DATABASE, f"can't be written ({error.orig})", AWAY_REMEDY) from error
    except OSError as error:
        raise RegistryError(subject, str(error).partition("\n")[0], AWAY_REMEDY) from error


def experiment(client: MlflowClient, data_dir: Path, server: Server | None) -> str:
    """Return the id of the experiment that runs go to; it is made where there is none.

    One that was deleted in MLflow's interface is restored: it keeps its name, and takes no run.
    """
    known = client.get_experiment_by_name(EXPERIMENT)
    if known is not None and known.lifecycle_stage == "deleted":
        client.restore_experiment(known.experiment_id)
    if server is not None:
        return str(known.experiment_id if known else client.create_experiment(EXPERIMENT))
    location = (data_dir / ARTIFACTS).resolve().as_uri()
    if known is not None and known.artifact_location == location:
        return str(known.experiment_id)
    if known is not None:
        client.rename_experiment(known.experiment_id, f"{EXPERIMENT} before the move {known.experiment_id}")
    return str(client.create_experiment(EXPERIMENT, artifact_location=location))
