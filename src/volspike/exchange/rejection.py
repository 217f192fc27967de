"""Why a frame could not be decoded, as a stable reason."""

from __future__ import annotations

import msgspec

from volspike.exchange.items import Rejected

MAX_FRAME_BYTES = 16 * 1024 * 1024

# What msgspec raises on bytes that are no frame. A bare UnicodeDecodeError comes from text it had to keep.
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_DETAIL_CHARS = 160


def reject_frame(raw: bytes, error: Exception) -> Rejected:
    """Name the reason why msgspec refused a frame.

    Returns
    -------
    Rejected
        Reason ``nesting`` (too deep), ``utf8``, ``missing_field``, ``schema`` (a field of the wrong type) or
        ``json`` (no JSON at all).
    """
    detail = str(error)[:_DETAIL_CHARS]
    if isinstance(error, RecursionError):
        return Rejected(reason="nesting", detail=detail)
    if isinstance(error, UnicodeDecodeError) or not _is_utf8(raw):
        return Rejected(reason="utf8", detail=detail)
    if not isinstance(error, msgspec.ValidationError):
        return Rejected(reason="json", detail=detail)
    if detail.startswith("Object missing required field"):
        return Rejected(reason="missing_field", detail=detail)
    return Rejected(reason="schema", detail=detail)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
