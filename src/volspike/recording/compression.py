"""Closed segments: one zstd frame with its checksum, then a footer that saves readers a scan.

The footer is a zstd *skippable* frame, so any zstd tool reads the file; it is derived, carries a crc of its
own, and is never required.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import zstandard

from volspike.errors import ArchiveError
from volspike.recording.file_system import FileSystem, publish, write_all

_LEVEL = 1  # of these texts it makes smaller files than 3, and both ways it is faster
_FIRST_READ_BYTES = 16 * 1024  # enough for a header, which is all that listing sessions needs
_READ_BYTES = 64 * 1024  # what it decompresses to stays in the processor's cache
_WRITE_BYTES = 1 << 20
_FOOTER = struct.Struct("<II8sqqqqq")
_FOOTER_CRC = struct.Struct("<I")
_FOOTER_BYTES = _FOOTER.size + _FOOTER_CRC.size
_SKIPPABLE_MAGIC = 0x184D2A5E
_SKIPPABLE_MAGICS = range(0x184D2A50, 0x184D2A60)
_TAG = b"volspike"


class Summary(msgspec.Struct, kw_only=True):
    """What a segment holds: counts, the range of its seq and of its receive times (ns); zeros where empty.

    ``cut_short`` where a damaged segment was read to its last good line, so that it may have held more.
    """

    frames: int = 0
    first_seq: int = 0
    last_seq: int = 0
    first_receive_ns: int = 0
    last_receive_ns: int = 0
    cut_short: bool = False

    def add(self, seq: int, receive_ns: int) -> None:
        """Count one frame."""
        if self.frames == 0:
            self.first_seq = seq
            self.first_receive_ns = receive_ns
        self.frames += 1
        self.last_seq = seq
        self.last_receive_ns = receive_ns


class ClosedSegmentWriter:
    """Writes ``path`` under a temporary name; it gets its own only when it is whole and on the disk.

    Parameters
    ----------
    file_system : FileSystem
        The port to the disk.
    path : Path
        The final name, ``*.ndjson.zst``.
    """

    def __init__(self, file_system: FileSystem, path: Path) -> None:
        self._file_system = file_system
        self._path = path
        self._temporary = path.with_name(path.name + ".tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        self._descriptor = file_system.open(self._temporary, flags)
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj()

    def write(self, data: bytes) -> None:
        """Add whole lines."""
        compressed = self._compressor.compress(data)
        if compressed:
            write_all(self._file_system, self._descriptor, compressed)

    def finish(self, summary: Summary) -> None:
        """End the frame, add the footer, fsync, rename, fsync the directory."""
        try:
            tail = self._compressor.flush() + _encode_footer(summary)
            write_all(self._file_system, self._descriptor, tail)
            self._file_system.fsync(self._descriptor)
        finally:
            self._file_system.close(self._descriptor)
        publish(self._file_system, self._temporary, self._path)

    def discard(self) -> None:
        """Close and remove the temporary file."""
        self._file_system.close(self._descriptor)
        self._file_system.unlink(self._temporary)


def _encode_footer(summary: Summary) -> bytes:
    size = _FOOTER_BYTES - 8
    values = (summary.frames, summary.first_seq, summary.last_seq)
    times = (summary.first_receive_ns, summary.last_receive_ns)
    footer = _FOOTER.pack(_SKIPPABLE_MAGIC, size, _TAG, *values, *times)
    return footer + _FOOTER_CRC.pack(crc32(footer))


def read_footer(path: Path) -> Summary | None:
    """Return the summary at the end of a closed segment, or None where there is none or it is damaged."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) < _FOOTER_BYTES:
            return None
        file.seek(-_FOOTER_BYTES, os.SEEK_END)
        footer, crc = file.read(_FOOTER.size), file.read()
    magic, size, tag, frames, first, last, first_ns, last_ns = _FOOTER.unpack(footer)
    if (magic, size, tag) != (_SKIPPABLE_MAGIC, _FOOTER_BYTES - 8, _TAG) or crc != _FOOTER_CRC.pack(
        crc32(footer)
    ):
        return None
    return Summary(
        frames=frames, first_seq=first, last_seq=last, first_receive_ns=first_ns, last_receive_ns=last_ns
    )


def read_blocks(path: Path) -> Iterator[bytes]:
    """Yield the text of a segment, compressed or plain, in blocks of a few MiB at most.

    Raises
    ------
    ArchiveError
        If a compressed segment is cut short or fails its checksum.
    """
    if path.suffix == ".zst":
        yield from _closed_blocks(path)
        return
    with path.open("rb") as file:
        while block := file.read(_WRITE_BYTES):
            yield block


def open_text(path: Path) -> io.RawIOBase:
    """Open the text of a segment, compressed or plain, to be read into memory of the caller's.

    Reading raises what ``read_blocks`` raises.
    """
    return BlockReader(_closed_blocks(path)) if path.suffix == ".zst" else path.open("rb", buffering=0)


class BlockReader(io.RawIOBase):
    """Blocks of text as a file.

    Parameters
    ----------
    blocks : iterator of bytes
        None of them empty.
    """

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._block = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` as far as the block at hand goes; return how far, 0 at the end."""
        if not self._block:
            self._block = memoryview(next(self._blocks, b""))
        taken = min(len(buffer), len(self._block))
        buffer[:taken] = self._block[:taken]
        self._block = self._block[taken:]
        return taken


def _closed_blocks(path: Path) -> Iterator[bytes]:
    try:
        yield from decompress(path)
    except zstandard.ZstdError as error:
        raise ArchiveError(
            str(path),
            f"is a damaged segment ({error})",
            "it is read to its last good line; restore it from a copy to have the rest",
        ) from None


def decompress(path: Path) -> Iterator[bytes]:
    """Yield the text of a zstd file of one or more frames, in blocks of about a MiB.

    Raises
    ------
    zstandard.ZstdError
        If it is cut short, which the library's own reader would not tell, or fails a checksum.
    """
    with path.open("rb") as file:
        pending = b""
        while True:
            pending += file.read(_FIRST_READ_BYTES if len(pending) < 8 else 0)
            if not pending:
                return
            if int.from_bytes(pending[:4], "little") in _SKIPPABLE_MAGICS:
                file.seek(int.from_bytes(pending[4:8], "little") - (len(pending) - 8), os.SEEK_CUR)
                pending = b""
                continue
            decompressor = zstandard.ZstdDecompressor().decompressobj(write_size=_WRITE_BYTES)
            while not decompressor.eof:
                if not pending and not (pending := file.read(_READ_BYTES)):
                    raise zstandard.ZstdError("it is cut short")
                block = decompressor.decompress(pending)
                pending = decompressor.unused_data
                if block:
                    yield block
