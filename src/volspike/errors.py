"""Every error volspike raises on purpose.

VolspikeError                  one line: what, why, and what to do about it
├── ConfigError                a setting is unknown, malformed or contradictory
├── ProtocolError              a frame breaks the wire protocol (dead-lettered, never fatal)
├── FeedError                  the exchange can't be reached or refuses the subscription
├── ArchiveError               the raw archive can't be written, read or locked
├── ImportFormatError          a foreign recording has no shape we know
├── BusError                   a topic, group or log file is unusable
│   ├── DamagedLogError        the log file is damaged: set it aside and begin another
│   ├── FencedError            another process has taken this one's place: stop
│   └── UnavailableError       the broker is away or undid the batch: read again and go on
│       └── UndoneError        it undid the batch, and is there
├── FeatureError               a feature set is unknown, or a features file doesn't match
├── NotEnoughDataError         too few rows, windows, clusters or classes for what was asked
├── LeakError                  the leak audit found a leak
├── ModelError                 a model bundle is missing, corrupt or made for something else
│   ├── UnreadableError        the system refuses a file of a bundle, which may be whole: try again
│   └── RegistryError          MLflow is away, locked or full: what it is to know waits
├── BusyError                  another process is at the same work
├── VerificationError          replayed and recorded rows differ
├── DriftError                 there is drift, and it was asked to fail on it
├── StoppedError               a signal came before the work was done
└── UsageError                 the command line was used wrongly (exit 2)
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text with its control characters escaped: what an exchange says must not steer a terminal.

    Line ends stay; whoever prints a failure joins its lines.
    """
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


class VolspikeError(Exception):
    """An expected failure, told in one line of printable characters.

    Parameters
    ----------
    subject : str
        The input at fault: a path, a setting, a product.
    reason : str
        What is wrong with it.
    remedy : str
        What the user can do about it.
    """

    def __init__(self, subject: str, reason: str, remedy: str) -> None:
        self.subject = printable(subject)
        self.reason = printable(reason)
        self.remedy = remedy
        super().__init__(f"{self.subject}: {self.reason}; {remedy}")


class ConfigError(VolspikeError):
    """A setting is unknown, malformed or contradictory."""


class ProtocolError(VolspikeError):
    """A frame, or one row of it, breaks the wire protocol.

    Parameters
    ----------
    reason : str
        A short stable label, used as the key when errors are counted.
    detail : str
        The offending value, for the dead letter.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__("frame", reason if not detail else f"{reason} ({detail})", "it is dead-lettered")
        self.reason = reason
        self.detail = detail


class FeedError(VolspikeError):
    """The exchange can't be reached or refuses the subscription."""


class ArchiveError(VolspikeError):
    """The raw archive can't be written, read or locked."""


class ImportFormatError(VolspikeError):
    """A foreign recording has no shape that can be imported."""


class BusError(VolspikeError):
    """A topic, a consumer group or the log file is unusable."""


class DamagedLogError(BusError):
    """The log file is damaged; its records follow from the archive."""


class FencedError(BusError):
    """Another process of the same name has taken over; this one must stop, and has written nothing since."""


class UnavailableError(BusError):
    """The broker can't be reached or undid the batch; sound after ``rewind`` is to read and try again."""


class UndoneError(UnavailableError):
    """The broker undid the batch, as when partitions are dealt anew, and is not away."""


class FeatureError(VolspikeError):
    """A feature set is unknown, or a features file doesn't match it."""


class NotEnoughDataError(VolspikeError):
    """Too few rows, windows, clusters or classes for what was asked."""


class LeakError(VolspikeError):
    """The leak audit found that a score would say nothing of the future."""


class ModelError(VolspikeError):
    """A model bundle is missing, corrupt, or made for another feed or feature set."""


class UnreadableError(ModelError):
    """The operating system refuses a file of a bundle; what it holds may be whole, and read another time."""


class RegistryError(ModelError):
    """MLflow can't be reached or can't write; what it is to be told waits in the outbox."""


class BusyError(VolspikeError):
    """Another process is at the same work, and it is done by one at a time."""


class VerificationError(VolspikeError):
    """Replayed rows differ from the recorded ones."""


class DriftError(VolspikeError):
    """The data have drifted, and it was asked to fail on that."""


class StoppedError(VolspikeError):
    """A signal came before the work was done."""


class UsageError(VolspikeError):
    """The command line was used wrongly; the process exits with 2."""
