"""``volspike doctor``: is everything there, and if not, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from volspike.cli.output import AsJson, DataDir, emit_json, failure_fields, say, show_table, tell

if TYPE_CHECKING:
    from volspike.pipeline.checkup import Finding


def doctor(
    data_dir: DataDir = None,
    exchange: Annotated[
        bool, typer.Option("--exchange", help="Connect to the exchange for 10 s and decode every frame.")
    ] = False,
    exchange_url: Annotated[
        str | None, typer.Option(help="Another address than the production feed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check Python, libraries, compiler, data directory and models; exit 1 if something is missing."""
    from volspike.config import load_settings
    from volspike.errors import ConfigError
    from volspike.pipeline.checkup import check_exchange, check_machine

    settings = load_settings({"data_dir": data_dir, "exchange_url": exchange_url})
    say("checking; the first time this compiles the window kernel, which takes half a minute")
    findings = check_machine(settings)
    if exchange:
        findings.append(check_exchange(settings))
    bad = [finding for finding in findings if not finding.ok]
    failure = ConfigError("doctor", ", ".join(f"{f.what}: {f.found}" for f in bad), "do what it says")
    _show(findings, as_json, failure_fields(failure) if bad else {})
    if bad:
        tell(failure)
        raise SystemExit(1)


def _show(findings: list[Finding], as_json: bool, failure: dict[str, str]) -> None:
    if as_json:
        emit_json({"ok": not failure, "checks": [f.as_dict() for f in findings], **failure})
        return
    rows = [(f.what, "ok" if f.ok else "MISSING", f.found, f.remedy) for f in findings]
    show_table("volspike doctor", ("check", "", "found", "what to do"), rows, words=4)
