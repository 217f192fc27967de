"""Read the wanted texts of a flat row in one typed pass, where the row is as plain as rows usually are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Annotated, Any

import msgspec

from volspike.errors import ProtocolError
from volspike.recording.foreign_values import scalar_text

# No value fits: a key spelled like a whole dotted path would be found before the path is followed.
_Absent = Annotated[str, msgspec.Meta(min_length=1, max_length=0)]
_MISFITS = (msgspec.DecodeError, RecursionError, ProtocolError)

TextAt = Callable[[str], str | None]
_Tree = dict[str, Any]  # of trees; an empty one is a value


class PlainRowReader:
    """Finds what ``resolve`` and ``scalar_text`` find in a row of ASCII objects, several times faster.

    Parameters
    ----------
    paths : sequence of str
        Dotted paths; empty ones have no text.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = sorted(set(filter(None, paths)))
        tree: _Tree = {}
        for path in self._paths:
            _plant(tree, path.split("."))
        # A path that leads through another one's value is rare: such a mapping is never plain.
        self._possible = len(self._paths) > 1 and all(_is_leaf(tree, path.split(".")) for path in self._paths)
        if self._possible:
            texts: Any = _row_type(tree, str | None, None)
            literals: Any = _row_type(tree, msgspec.Raw, msgspec.Raw(b""))
            self._decode_texts = msgspec.json.Decoder(texts).decode
            self._decode_literals = msgspec.json.Decoder(literals).decode
            self._values = attrgetter(*map(_attribute, self._paths))
            self._only_texts = True

    def read(self, line: bytes) -> TextAt | None:
        """Return what tells the text at a path, or None where the row must be read the general way."""
        if not self._possible or not line.isascii():  # what is skipped here is not checked to be UTF-8
            return None
        try:
            texts = dict(zip(self._paths, self._texts(line), strict=True))
        except _MISFITS:
            return None
        return lambda path: texts.get(path) or None

    def _texts(self, line: bytes) -> Iterable[str | None]:
        if self._only_texts:
            try:
                return self._values(self._decode_texts(line))
            except msgspec.ValidationError:
                self._only_texts = False  # this recording has numbers
        return map(scalar_text, self._values(self._decode_literals(line)))


def _plant(tree: _Tree, keys: list[str]) -> None:
    for key in keys:
        tree = tree.setdefault(key, {})


def _is_leaf(tree: _Tree, keys: list[str]) -> bool:
    for key in keys:
        tree = tree[key]
    return not tree


def _attribute(path: str) -> str:
    """Return the dotted attribute under which a path's value lies; any text makes a valid one."""
    return ".".join(f"_{key.encode().hex()}" for key in path.split("."))


def _row_type(tree: _Tree, value_type: Any, missing: Any) -> type[msgspec.Struct]:
    fields: list[Any] = []
    for key, below in tree.items():
        if below:
            kind = _row_type(below, value_type, missing)
            fields.append((_attribute(key), kind, msgspec.field(name=key, default_factory=kind)))
        else:
            fields.append((_attribute(key), value_type, msgspec.field(name=key, default=missing)))
    for path in _inner_paths(tree):
        fields.append((f"_{path.encode().hex()}", _Absent, msgspec.field(name=path, default="")))
    return msgspec.defstruct("Row", fields, gc=False)


def _inner_paths(tree: _Tree) -> list[str]:
    """Return every dotted path of more than one key below a tree, whole or in part."""
    paths = []
    for key, below in tree.items():
        for rest in (*below, *_inner_paths(below)):
            paths.append(f"{key}.{rest}")
    return paths
