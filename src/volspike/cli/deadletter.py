"""``volspike deadletter``: what could not be used, and putting back what can be used by now."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from volspike.cli.figures import count_text
from volspike.cli.options import Bootstrap, Bus, OnlyProduct
from volspike.cli.output import AsJson, DataDir, console, emit_json, say, show_pairs, show_table

if TYPE_CHECKING:
    from volspike.bus.dead_letters import Letter, Overview
    from volspike.bus.port import Log
    from volspike.bus.requeue import Report
    from volspike.config import Settings

_PLACE = re.compile(r"(\d{1,9}:)?\d{1,18}")
_SHOWN_CHARACTERS = 16_384
_HEX_WIDTH = 16
_SHOWN_PLACES = 8

_REQUEUE_HELP = (
    "Put records back where they came from, each exactly once.\n\n"
    "A record that a stage could not use goes, byte for byte, to the end of the topic and partition that it "
    "came from: for a stage that can use it by now. What came from the feed was never a record; its frame is "
    "in the archive, for volspike replay.\n\n"
    "A stage takes each product in order of event time: a record older than what it has taken of its product "
    "is refused and becomes a new letter. So it helps where nothing newer was taken since: stop what writes "
    "the topic, requeue, and start the stage that can read the records."
)

app = typer.Typer(no_args_is_help=True, help="Dead letters: list and show them, and put records back.")


def _place(text: str) -> str:
    if not _PLACE.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is not PARTITION:OFFSET, such as 0:17")
    return text


Reason = Annotated[str | None, typer.Option(help="Only those with this reason.")]


@app.command("list")
def list_letters(
    last: Annotated[int, typer.Option(min=1, help="How many of the newest.")] = 20,
    reason: Reason = None,
    product: OnlyProduct = None,
    bus: Bus = None,
    kafka_bootstrap: Bootstrap = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the dead letters, the newest last, and count them by reason."""
    from volspike.bus.dead_letters import Chosen, DeadLetters

    settings = _settings(bus, kafka_bootstrap, data_dir)
    with _opened(settings) as log:
        letters = DeadLetters(log, settings.topic_suffix)
        overview = letters.overview(Chosen(reason, product), last)
    if as_json:
        emit_json(
            {
                "topic": letters.topic,
                "letters": [_fields(letter) for letter in overview.newest],
                "total": overview.total,
                "requeued": overview.requeued,
                "reasons": overview.reasons,
            }
        )
    elif not overview.total:
        say(f"no dead letters in {letters.topic} of {_where(settings)}")
    else:
        _show_list(f"Dead letters of {_where(settings)}", overview)


@app.command("show")
def show_letter(
    letter: Annotated[
        str, typer.Argument(metavar="[PARTITION:]OFFSET", help="Which, as list shows it.", parser=_place)
    ],
    raw: Annotated[bool, typer.Option("--raw", help="Write its bytes verbatim, and nothing else.")] = False,
    bus: Bus = None,
    kafka_bootstrap: Bootstrap = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show all there is to know of one letter, and its original bytes: as text, or else in hexadecimal."""
    from volspike.bus.dead_letters import DeadLetters
    from volspike.errors import ConfigError

    if raw and as_json:
        raise ConfigError("--raw", "contradicts --json", "give one of them")
    settings = _settings(bus, kafka_bootstrap, data_dir)
    with _opened(settings) as log:
        found = DeadLetters(log, settings.topic_suffix).at(letter)
    if raw:
        sys.stdout.buffer.write(found.letter.raw)
        sys.stdout.buffer.flush()
    elif as_json:
        emit_json(_everything(found))
    else:
        _show_one(found)


@app.command("requeue", help=_REQUEUE_HELP)
def requeue_letters(
    letters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[[PARTITION:]OFFSET]...", help="Which, as list shows them.", parser=_place),
    ] = None,
    reason: Reason = None,
    product: OnlyProduct = None,
    all_: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and write nothing.")] = False,
    bus: Bus = None,
    kafka_bootstrap: Bootstrap = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Put records back where they came from, each exactly once."""
    from volspike.bus.requeue import REQUEUER, Requeue
    from volspike.clock import SystemClock

    settings = _settings(bus, kafka_bootstrap, data_dir)
    choose = _chosen(letters or [], reason, product, all_)
    # A name drives out whoever else bears it: not for a look.
    name = None if dry_run else REQUEUER + settings.topic_suffix
    with _opened(settings, name) as log:
        requeue = Requeue(log, SystemClock(), settings.topic_suffix)
        report = (requeue.plan if dry_run else requeue.run)(choose(requeue))
    if as_json:
        emit_json({"dry_run": dry_run, "requeued": report.requeued, "left": report.left})
    else:
        _show_report(report, dry_run)


def _settings(bus: str | None, kafka_bootstrap: str | None, data_dir: Path | None) -> Settings:
    from volspike.config import load_settings

    return load_settings({"bus": bus, "kafka_bootstrap": kafka_bootstrap, "data_dir": data_dir})


@contextmanager
def _opened(settings: Settings, name: str | None = None) -> Iterator[Log]:
    from volspike.bus.opening import open_log
    from volspike.clock import SystemClock
    from volspike.pipeline.home import Home

    home = Home(settings.data_dir)
    if settings.bus == "embedded":
        home.require()
    log = open_log(settings, home.log, SystemClock(), name)
    try:
        yield log
    finally:
        log.close()


def _where(settings: Settings) -> str:
    return settings.kafka_bootstrap if settings.bus == "kafka" else str(settings.data_dir)


def _chosen(places: list[str], reason: str | None, product: str | None, all_: bool) -> Callable[[Any], Any]:
    """Return what gives, of a Requeue, the letters wanted."""
    from volspike.bus.dead_letters import Chosen
    from volspike.errors import ConfigError

    given = [bool(places), reason is not None or product is not None, all_]
    if sum(given) != 1:
        what = "nothing is chosen" if not any(given) else "the choices contradict each other"
        remedy = "give letters such as 0:17, or --reason or --product or both, or --all"
        raise ConfigError("volspike deadletter requeue", what, remedy)
    if places:
        return lambda requeue: requeue.named(places)
    return lambda _: lambda letters: letters.all(Chosen(reason, product))


def _fields(letter: Letter) -> dict[str, Any]:
    told = letter.letter
    return {
        "letter": letter.place,
        "partition": letter.partition,
        "offset": letter.offset,
        "time": _time(letter.event_ns),
        "product": told.product,
        "reason": told.reason,
        "error": told.error,
        "source": letter.source,
        "bytes": len(told.raw),
        "requeued": _time(letter.requeued_ns),
    }


def _everything(letter: Letter) -> dict[str, Any]:
    import msgspec

    told = letter.letter
    fields: dict[str, Any] = msgspec.to_builtins(told)
    return {**_fields(letter), "key": letter.key, "text": _text(told.raw), **fields, "raw": fields["raw"]}


def _time(ns: int) -> str | None:
    from volspike.exchange.decimals import format_time_ns

    return format_time_ns(ns) if ns > 0 else None


def _text(raw: bytes) -> str | None:
    """Return the bytes as text, None where they are none."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _safe(text: str) -> str:
    """Return a text that neither steers a terminal nor marks up a table."""
    from rich.markup import escape

    from volspike.errors import printable

    return escape(printable(text).replace("\n", "\\n"))


def _show_list(title: str, overview: Overview) -> None:
    from volspike.exchange.decimals import format_time_ns

    rows = []
    for letter in overview.newest:
        told = letter.letter
        reason = f"{told.reason} ({told.error})" if told.error else told.reason
        rows.append(
            (
                f"{letter.place} *" if letter.is_requeued else letter.place,
                format_time_ns(letter.event_ns, 0)[5:19].replace("T", " ") if letter.event_ns > 0 else "-",
                _safe(told.product) or "-",
                _safe(reason),
                _safe(letter.source) or "-",
                len(told.raw),
            )
        )
    show_table(title, ("letter", "time", "product", "reason", "from", "bytes"), rows, words=5)
    counts = ", ".join(f"{reason} {count:,}" for reason, count in overview.reasons.items())
    hidden = overview.total - len(overview.newest)
    foot = f"{count_text(overview.total, 'letter')}: {counts}"
    foot += f"; * requeued: {overview.requeued:,}" if overview.requeued else ""
    foot += f"; {hidden:,} older not shown (--last)" if hidden else ""
    console().print(foot, markup=False)


def _show_one(letter: Letter) -> None:
    from volspike.errors import printable

    told = letter.letter
    pairs = {
        "reason": told.reason,
        "detail": told.detail,
        "error": told.error,
        "product": told.product,
        "key": letter.key,
        "time": _time(letter.event_ns) or "",
        "from": letter.source,
        "feed": told.feed,
        "session": told.session,
        "requeued": _time(letter.requeued_ns) or "no",
        "bytes": f"{len(told.raw):,}",
    }
    title = f"Dead letter {letter.place}"
    show_pairs(title, {name: printable(text) for name, text in pairs.items() if text})
    text = _text(told.raw)
    body = _hexadecimal(told.raw) if text is None else printable(text)
    sys.stdout.write("\n" + body[:_SHOWN_CHARACTERS] + "\n")
    if len(body) > _SHOWN_CHARACTERS:
        say("there is more: --raw writes all of it")


def _hexadecimal(raw: bytes) -> str:
    """Return offset, sixteen bytes and their ASCII a line; no more than is shown."""
    lines = []
    for start in range(0, min(len(raw), _SHOWN_CHARACTERS), _HEX_WIDTH):
        row = raw[start : start + _HEX_WIDTH]
        ascii_ = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:08x}  {row.hex(' '):<{3 * _HEX_WIDTH - 1}}  {ascii_}")
    return "\n".join(lines)


def _show_report(report: Report, dry_run: bool) -> None:
    from volspike.bus.requeue import REMEDIES

    word = "would go" if dry_run else "went"
    rows = [
        (f"{word} to {target}", _listed(places), len(places)) for target, places in report.requeued.items()
    ]
    rows += [(f"left: {reason}", _listed(places), len(places)) for reason, places in report.left.items()]
    if not rows:
        say("no such letters; see those there are: volspike deadletter list")
        return
    title = "Requeue, dry run: nothing is written" if dry_run else "Requeue"
    show_table(title, ("", "letters", "number"), rows, words=2)
    for reason in report.left:
        console().print(f"{reason}: {REMEDIES[reason]}", markup=False)


def _listed(places: list[str]) -> str:
    shown = ", ".join(places[:_SHOWN_PLACES])
    return shown if len(places) <= _SHOWN_PLACES else f"{shown} ..."
