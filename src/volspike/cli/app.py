"""The command table. A verb's module imports nothing heavy; help stays under 0.3 s."""

from __future__ import annotations

import typer

from volspike.cli import (
    audit,
    backfill,
    config,
    deadletter,
    demo,
    doctor,
    drift,
    evaluate,
    import_,
    ingest,
    models,
    predict,
    promote,
    replay,
    reproduce,
    retrain,
    run,
    simulate,
    stages,
    tend,
    threshold,
    topics,
    train,
    verify,
)

app = typer.Typer(
    name="volspike",
    help="A sixty-second warning for crypto volatility.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("demo")(demo.demo)
app.command("run")(run.run)
app.command("ingest")(ingest.ingest)
app.command("featurize")(stages.featurize)
app.command("score")(stages.score)
app.command("simulate")(simulate.simulate)
app.command("import")(import_.import_recording)
app.command("backfill")(backfill.backfill)
app.command("replay")(replay.replay)
app.command("verify")(verify.verify)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("audit")(audit.audit)
app.command("predict")(predict.predict)
app.command("threshold")(threshold.threshold)
app.command("reproduce")(reproduce.reproduce)
app.command("drift")(drift.drift)
app.command("models")(models.models)
app.command("retrain")(retrain.retrain)
app.command("promote")(promote.promote)
app.command("rollback")(promote.rollback)
app.command("tend")(tend.tend)
app.command("topics")(topics.topics)
app.add_typer(deadletter.app, name="deadletter")
app.command("doctor")(doctor.doctor)
app.command("config")(config.config)


def _version(asked: bool) -> None:
    if asked:
        from volspike import __version__

        typer.echo(f"volspike {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Say how volatile the next sixty seconds will be, and grade the answer a minute later."""
