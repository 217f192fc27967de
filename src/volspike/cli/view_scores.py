"""The scoreboard: a product's model beside its reference, with the evidence behind the figures."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from volspike.cli.figures import count_text, figure
from volspike.models.manifest import Manifest, calibration_is_proven
from volspike.pipeline.life import Life
from volspike.scoring.scoreboard import ScoreboardSnapshot, SideScores

NOT_BETTER = "does not beat the reference"
COLUMNS = ("", "PR-AUC", "lift", "log-loss", "onset rec.", "med. lead", "false/h", "duty")


def scoreboard_view(
    product: str, board: ScoreboardSnapshot, manifest: Manifest, life: Life | None = None
) -> RenderableType:
    """Return one product's scoreboard, and where its models stand."""
    title = Text.assemble(
        (product, "bold"), f": {model_words(manifest)} against {manifest.reference}", overflow="fold"
    )
    base = "-" if board.base_rate is None else f"{board.base_rate:.3f}"
    evidence = Text(
        f"{board.rows:,} s scored, base rate {base}, {count_text(board.clusters, 'cluster')}, "
        f"{count_text(board.windows, 'window')}"
    )
    if not board.enough_data:
        evidence.append(", ").append("not enough data", "yellow")
    below = [] if life is None else [Text(life.words(manifest.version), overflow="fold")]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for column in COLUMNS:
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    table.add_row("model", *_side(board.model))
    table.add_row("reference", *_side(board.reference))
    return Group(title, evidence, *below, table)


def model_words(manifest: Manifest) -> str:
    """Return a model's name, and what must be known beside it.

    Examples
    --------
    ``logistic``, or ``logistic (uncalibrated, does not beat the reference on tune)``
    """
    remarks = []
    if not calibration_is_proven(manifest):
        remarks.append("calibrated on too little" if manifest.calibration.calibrated else "uncalibrated")
    if any(NOT_BETTER in note for note in manifest.notes):
        remarks.append(f"{NOT_BETTER} on tune")
    return f"{manifest.name} ({', '.join(remarks)})" if remarks else manifest.name


def _side(side: SideScores) -> tuple[str, ...]:
    return (
        figure(side.pr_auc, ".3f"),
        figure(side.lift, ".2f"),
        figure(side.log_loss, ".4f"),
        figure(side.onset_recall, ".0%"),
        figure(side.lead_s, ".0f", " s"),
        figure(side.false_alarms_per_hour, ".1f"),
        figure(side.duty_frac, ".1%"),
    )
