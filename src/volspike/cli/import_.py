"""``volspike import``: foreign recordings into the archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from volspike.cli.output import AsJson, DataDir, emit_json, show_counts


def import_recording(
    files: Annotated[
        list[Path], typer.Argument(help="Files or directories: NDJSON or CSV, plain, .gz or .zst.")
    ],
    data_dir: DataDir = None,
    tz: Annotated[
        str, typer.Option(help="Zone of times without one: an IANA name or an offset like -05:00.")
    ] = "UTC",
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map", help="FIELD=PATH for unusual names: bid, ask, time, product, bid_size, ask_size ..."
        ),
    ] = None,
    product: Annotated[str, typer.Option(help="Product of rows that name none.")] = "",
    feed: Annotated[
        Literal["exchange", "advanced", "flat"] | None,
        typer.Option(help="Where the rows come from, where they don't tell."),
    ] = None,
    time_source: Annotated[str, typer.Option(help="Whose clock stamped the rows: exchange or receive.")] = "",
    as_json: AsJson = False,
) -> None:
    """Bring recordings in: raw frames of both dialects, frames nested under any key, or flat rows."""
    import msgspec

    from volspike.cli.progress import counting
    from volspike.clock import SystemClock
    from volspike.config import load_settings
    from volspike.exchange.products import PriceScales
    from volspike.pipeline.home import Home
    from volspike.pipeline.stored_rows import StoredRows
    from volspike.recording.archive import ArchiveWriter
    from volspike.recording.importer import import_recordings
    from volspike.recording.reader import Archive
    from volspike.recording.sniff import ImportOptions

    settings = load_settings({"data_dir": data_dir})
    options = ImportOptions(
        zone=tz, mapping=_mapping(map_ or []), product=product, feed=feed or "", time_source=time_source
    )
    home = Home(settings.data_dir)
    is_new = home.create()
    writer = ArchiveWriter(home.root, SystemClock())
    try:
        writer.last_seq = max(writer.last_seq, StoredRows(home, Archive(home.root)).last_seq)
        with counting("reading", "lines", hidden=as_json) as advance:
            report = import_recordings(files, writer, options, PriceScales(settings.price_decimals), advance)
    except BaseException:
        home.discard_bare_archive(is_new)  # under the lock: nobody else can have begun to fill it
        raise
    finally:
        writer.close()
    counts = msgspec.to_builtins(report)
    if as_json:
        emit_json(counts)
    else:
        show_counts(f"Imported into {home.root}", counts)


def _mapping(pairs: list[str]) -> dict[str, str]:
    """Return FIELD=PATH pairs as a dict; a malformed pair is wrong usage."""
    mapping = {}
    for pair in pairs:
        field, separator, path = pair.partition("=")
        if not separator or not field or not path:
            raise typer.BadParameter(f"{pair!r} is not FIELD=PATH", param_hint="--map")
        mapping[field] = path
    return mapping
