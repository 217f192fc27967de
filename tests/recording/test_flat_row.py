"""The quick way through a flat row finds what following each path finds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.recording.flat_row import PlainRowReader
from volspike.recording.foreign_values import parse_row, resolve, scalar_text

PATHS = ("a", "b.c", "b.d.e", "x")

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "1.5", "é", "\t"])
keys = st.sampled_from(["a", "b", "c", "d", "e", "x", "b.c", "b.d", "d.e", "b.d.e", "0"])
rows = st.dictionaries(
    keys, st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=6)
)


def followed(line: bytes) -> dict[str, str | None]:
    row = parse_row(line)
    return {path: scalar_text(resolve(row, path)) for path in PATHS}


@settings(max_examples=100, deadline=None)
@given(st.lists(rows, min_size=1, max_size=4), st.booleans())
def test_a_plain_row_says_what_following_its_paths_says(objects: list[object], ascii_only: bool) -> None:
    reader = PlainRowReader(PATHS)
    for each in objects:
        line = json.dumps(each, ensure_ascii=ascii_only).encode()
        text_at = reader.read(line)
        if text_at is not None:
            assert {path: text_at(path) for path in PATHS} == followed(line)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'{"a":"1","b":{"c":"2","d":{"e":"3"}},"z":[1]}', "2"),
        (b'{"a":1,"b":{"c":2.50,"d":{}}}', "2.50"),
        (b'{"b":{"c":"old"},"b":{"c":"new"}}', "new"),
        (b'{"x":"","b":{"c":"\\u0041"}}', "A"),
    ],
)
def test_the_usual_rows_are_plain(line: bytes, text: str) -> None:
    text_at = PlainRowReader(PATHS).read(line)
    assert text_at is not None
    assert text_at("b.c") == text
    assert text_at("x") is None


@pytest.mark.parametrize(
    "line", [b'{"b.c":1}', b'{"b":[1]}', b'{"a":true}', b'{"a":"\xc3\xa9"}', b"[]", b'{"a":', b'{"b":null}']
)
def test_what_is_not_plain_is_left_to_the_general_way(line: bytes) -> None:
    assert PlainRowReader(PATHS).read(line) is None


def test_a_path_through_another_value_is_left_to_the_general_way() -> None:
    assert PlainRowReader(("a", "a.b")).read(b'{"a":1}') is None
