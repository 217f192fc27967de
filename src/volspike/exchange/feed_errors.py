"""What an ``error`` frame means: whose fault it is, judged by the exchange's own words."""

from __future__ import annotations

from volspike.errors import printable
from volspike.exchange.items import Control

_TEXT_CHARS = 500

# First match wins. Literals of research on both feeds; matched in lower case.
_CLASS_BY_PHRASE = (
    ("too many l2 streams", "capacity"),
    ("errslowconsume", "capacity"),
    ("message too big", "capacity"),
    ("errslowread", "rate"),
    ("too many requests", "rate"),
    ("rate limit", "rate"),
    ("is not a valid", "configuration"),
    ("invalid product", "configuration"),
    ("invalid channel", "configuration"),
    ("delisted", "configuration"),
    ("no channels provided", "configuration"),
    ("authentication", "authentication"),
    ("unauthorized", "authentication"),
)


def classify_error(message: str, reason: str = "") -> Control:
    """Classify an error frame.

    Parameters
    ----------
    message, reason : str
        The two texts of the frame; Advanced Trade sends no reason.

    Returns
    -------
    Control
        Of kind ``error``, with the class (configuration, authentication, capacity, rate or unknown) and the
        raw text.
    """
    text = f"{message}: {reason}" if reason else message
    lowered = text.lower()
    error_class = next((name for phrase, name in _CLASS_BY_PHRASE if phrase in lowered), "unknown")
    # To a client that sends no token, Advanced Trade says so of a channel name it does not know.
    if lowered == "authentication failure":
        error_class = "configuration"
    return Control(kind="error", error_class=error_class, text=printable(text[:_TEXT_CHARS]))
