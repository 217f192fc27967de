"""``volspike config``: every effective setting and where it came from."""

from __future__ import annotations

from volspike.cli.output import AsJson, DataDir, emit_json, show_table


def config(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show the effective settings and where each came from."""
    from volspike.config import Settings, load_settings, sources
    from volspike.exchange.connecting import shown_url

    flags = {"data_dir": data_dir}
    values = load_settings(flags).model_dump(mode="json")
    values["exchange_url"] = shown_url(values["exchange_url"])
    origin = sources(flags)
    if as_json:
        emit_json({name: {"value": value, "source": origin[name]} for name, value in values.items()})
        return
    rows = [
        (name, str(value), origin[name], Settings.model_fields[name].description or "")
        for name, value in values.items()
    ]
    show_table(
        "Settings (volspike.toml < VOLSPIKE_... < flags)",
        ("setting", "value", "from", "meaning"),
        rows,
        words=4,
    )
