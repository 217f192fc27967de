"""``volspike config``: every effective setting and where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volspike.cli.output import AsJson, DataDir, emit_json, failure_fields, show_table, tell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from volspike.errors import VolspikeError


def config(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show the effective settings and where each came from; exit 1 if one is wrong."""
    from volspike.config import inspect_settings, sources
    from volspike.exchange.connecting import shown_url

    flags = {"data_dir": data_dir}
    found = inspect_settings(flags)
    values = found.settings.model_dump(mode="json")
    values["exchange_url"] = shown_url(values["exchange_url"])
    origin = sources(flags)
    wrong = next(iter(found.wrong.values()), None)
    if as_json:
        settings = {name: {"value": value, "source": origin[name]} for name, value in values.items()}
        emit_json({**settings, **({} if wrong is None else failure_fields(wrong))})
    else:
        _show(values, origin, found.wrong)
    if wrong is not None:
        tell(wrong)
        raise SystemExit(1)


def _show(values: Mapping[str, Any], origin: Mapping[str, str], wrong: Mapping[str, VolspikeError]) -> None:
    from volspike.config import Settings, expected

    rows = [
        (
            f"{name} WRONG" if name in wrong else name,
            _shown(value),
            "default, for now" if name in wrong else origin[name],
            wrong[name].reason if name in wrong else Settings.model_fields[name].description or "",
            expected(name),
        )
        for name, value in values.items()
    ]
    rows += [
        (f"{name} WRONG", "", "", error.reason, "") for name, error in wrong.items() if name not in values
    ]
    columns = ("setting", "value", "from", "meaning", "may be")
    show_table("Settings (volspike.toml < VOLSPIKE_... < flags)", columns, rows, words=5)


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None or value == {} else str(value)
