"""Entry point: run a verb; tell what went wrong in one line and exit 1, or 2 for wrong usage."""

from __future__ import annotations

import errno
import os
import signal
import sys
from types import FrameType

from volspike.errors import ConfigError, StoppedError, UsageError, VolspikeError

BAD_NAME = (errno.ENAMETOOLONG, errno.ELOOP)
LONGEST_NAME = 80  # that is told whole
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def main() -> None:
    """Run the command line."""
    signals = _Signals()
    try:
        code = _told(signals)
    finally:
        signals.restore()
    sys.exit(code)


class _Signals:
    """Has Ctrl-C and SIGTERM unwind whatever is going on, so that it is left in order.

    A live job takes both over while it runs, and ends with its report.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        numbers = (signal.SIGINT, signal.SIGTERM)
        self._before = {number: signal.signal(number, self._receive) for number in numbers}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        raise KeyboardInterrupt

    def restore(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _told(signals: _Signals) -> int:
    """Run a verb; a reader that has left, a full disk or an impossible name is no fault of the program."""
    try:
        code = _run(signals)
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up_stdout()
        return 1
    except OSError as error:
        subject = str(error.filename or "the data directory or the standard output")
        if error.errno in BAD_NAME:
            name = subject if len(subject) <= LONGEST_NAME else f"{subject[:LONGEST_NAME]}..."
            return _report(ConfigError(name, str(error.strerror).lower(), "name another"), 1)
        if error.errno not in NO_ROOM:
            raise
        return _report(ConfigError(subject, f"can't be written ({error.strerror})", "make room for it"), 1)
    return code


def _give_up_stdout() -> None:
    """Have what is still to be printed go nowhere, so that the interpreter does not fail on it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(signals: _Signals) -> int:
    from click.exceptions import ClickException, NoArgsIsHelpError

    from volspike.cli.app import app

    try:
        code = app(standalone_mode=False)
    except VolspikeError as error:
        return _report(error, 1)
    except NoArgsIsHelpError as error:
        sys.stdout.write(error.ctx.get_help() + "\n")
        return 2
    except ClickException as error:
        context = getattr(error, "ctx", None)
        path = "" if context is None else context.command_path.removeprefix(context.find_root().command_path)
        verb = f"volspike{path}"
        reason = error.format_message().rstrip(".")
        return _report(UsageError(verb, reason, f"see {verb} --help"), 2)
    if signals.received is None:
        return code if isinstance(code, int) else 0
    reason = f"stopped by {signals.received.name} before it was done"
    return _report(StoppedError(" ".join(["volspike", *sys.argv[1:2]]), reason, "run it again"), 1)


def _report(error: VolspikeError, code: int) -> int:
    from volspike.cli.output import emit_json, failure_fields, tell

    tell(error)
    try:
        if "--json" in sys.argv:
            emit_json(failure_fields(error))
        sys.stdout.flush()
    except OSError:
        _give_up_stdout()
    return code


if __name__ == "__main__":
    main()
