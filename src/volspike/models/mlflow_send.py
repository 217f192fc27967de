"""Tells MLflow what waits in the outbox, in order, each item once however often it is begun."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from volspike.errors import ModelError, RegistryError
from volspike.models.bundle import load_bundle
from volspike.models.mlflow_aliases import CHALLENGER, CHAMPION, PREVIOUS, set_aliases
from volspike.models.mlflow_client import ARTIFACTS, Server, experiment, open_mlflow
from volspike.models.mlflow_items import Aliases, Attachment, Item, Training
from volspike.models.mlflow_outbox import Outbox, Reached
from volspike.models.mlflow_run import Registered, ToldModel, find_version, is_final, own_name, tell_model
from volspike.models.shelf import CARD_FILE
from volspike.models.standing import Entry, standing_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODELS = "models"
REPORT_FILE = "report.json"


@dataclass
class Sent:
    """What was told: the registered versions by item and model, and why it ended before all was."""

    registered: dict[str, dict[str, Registered]] = field(default_factory=dict)
    reason: str = ""


def send_waiting(data_dir: Path, server: Server | None, reached: Reached | None = None) -> Sent:
    """Tell MLflow all that waits, here and now.

    Parameters
    ----------
    reached : callable, optional
        Called with the name of each step, for tests that stop there.

    Returns
    -------
    Sent
        ``reason`` says what has kept the rest; what waits for good reason is kept, what can never be told set
        aside.
    """
    outbox = Outbox(data_dir, reached)
    sent = Sent()
    try:
        with outbox.sending(), open_mlflow(data_dir, server) as client:
            teller = _Teller(client, data_dir, server, reached or _ignore)
            while items := outbox.items():
                if _is_told_later(outbox, items):
                    outbox.remove(items[0])
                else:
                    sent.registered[items[0].name] = _tell(outbox, items[0], teller)
    except ModelError as error:
        sent.reason = f"{error.subject}: {error.reason}"
    return sent


def _is_told_later(outbox: Outbox, items: Sequence[Path]) -> bool:
    """Tell whether the first item is of a standing that a later one tells of, behind its model's training."""
    try:
        first = outbox.read(items[0])
        return isinstance(first, Aliases) and any(outbox.read(path) == first for path in items[1:])
    except ModelError:  # that one is set aside in its turn
        return False


def _tell(outbox: Outbox, path: Path, teller: _Teller) -> dict[str, Registered]:
    """Tell one item and take it out; one that can never be told is set aside."""
    from mlflow.exceptions import MlflowException

    try:
        registered = teller.tell(outbox.read(path), path)
    except RegistryError:
        raise
    except ModelError as error:
        outbox.refuse(path, str(error))
        return {}
    except MlflowException as error:
        if not is_final(error):
            raise
        outbox.refuse(path, str(error))
        return {}
    outbox.remove(path)
    return registered


class _Teller:
    """Tells one item after the other over one connection."""

    def __init__(
        self, client: MlflowClient, data_dir: Path, server: Server | None, step: Callable[[str], None]
    ) -> None:
        self._client = client
        self._models = data_dir / MODELS
        self._server = server
        self._step = step
        self._experiment_id = experiment(client, data_dir, server)

    def tell(self, item: Item, path: Path) -> dict[str, Registered]:
        match item:
            case Training():
                return self._training(item, path)
            case Aliases():
                self._aliases(item)
            case Attachment():
                self._attachment(item, path)
        return {}

    def _training(self, item: Training, path: Path) -> dict[str, Registered]:
        registered = {}
        for run in item.models:
            plots = sorted((path / run.name / "plots").glob("*"))
            files = {path / REPORT_FILE: "", **dict.fromkeys(plots, "plots")}
            registered[run.name] = self._model(
                f"{item.id}/{run.name}", path / run.name / "bundle", run.metrics, files
            )
        return registered

    def _model(self, key: str, bundle: Path, metrics: dict[str, float], files: dict[Path, str]) -> Registered:
        manifest = load_bundle(bundle).manifest
        if (bundle / CARD_FILE).is_file():
            files = {**files, bundle / CARD_FILE: ""}
        told = ToldModel(key, manifest, bundle, metrics, files)
        return tell_model(self._client, self._experiment_id, told, self._step)

    def _aliases(self, item: Aliases) -> None:
        """Put the aliases where the standing has its models now: an older state is of no use to anybody."""
        standing = standing_of(self._models, item.product, item.feed)
        wanted = {
            CHAMPION: self._known(standing.champion),
            PREVIOUS: self._known(standing.previous),
            CHALLENGER: self._known(standing.challenger),
        }
        self._step("aliases.known")
        set_aliases(self._client, item.product, item.feed, wanted, shared=self._server is not None)

    def _known(self, entry: Entry | None) -> Registered | None:
        """Return the version of a bundle; one that MLflow has never heard of is told from the shelf."""
        if entry is None:
            return None
        found = find_version(self._client, entry.name, entry.version)
        if found is not None:
            own_name(self._client, entry.name)
            return found
        return self._from_shelf(entry)

    def _from_shelf(self, entry: Entry) -> Registered:
        bundle = entry.path(self._models)
        scores = load_bundle(bundle).manifest.provenance.scores
        return self._model(f"shelf/{entry.name}/{entry.version}", bundle, flat_metrics(scores), {})

    def _attachment(self, item: Attachment, path: Path) -> None:
        found = self._known(item.model)
        if found is None or not self._is_here(found.run_id):
            found = self._from_shelf(item.model)
        self._client.log_artifacts(found.run_id, str(path / "files"), item.folder)
        for name, value in item.tags.items():
            self._client.set_tag(found.run_id, name, value)

    def _is_here(self, run_id: str) -> bool:
        """Tell whether a run's artifacts are of this data directory, which may have been moved or copied."""
        if self._server is not None:
            return True
        address = unquote(urlsplit(self._client.get_run(run_id).info.artifact_uri).path)
        return Path(address).is_relative_to((self._models.parent / ARTIFACTS).resolve())


def flat_metrics(scores: dict[str, dict[str, float | int | bool | None]]) -> dict[str, float]:
    """Return scores by part and metric as ``<part>.<metric>``, those that there are; times are no scores."""
    return {
        f"{part}.{metric}": float(value)
        for part, values in scores.items()
        for metric, value in values.items()
        if value is not None and not metric.endswith("_ns")
    }


def _ignore(_step: str) -> None:
    pass
