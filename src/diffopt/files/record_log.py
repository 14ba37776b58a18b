"""LevelDB's log format, in which Weights & Biases writes the file of a run: records cut into chunks, in blocks."""

import struct
from collections.abc import Iterator
from pathlib import Path

BLOCK = 32768
FILE_HEAD = 7
"""Bytes of the file's own head, which belong to the first block."""
CHUNK_HEAD = struct.Struct("<IHB")
"""Checksum, length and kind of a chunk."""
LAST_CHUNK = (1, 4)
"""Kinds that end a record: the whole of it, or the last part."""


def records(path: Path) -> Iterator[bytes]:
    """The records of a log.

    Raises:
        EOFError: the file breaks off within a record, since it is still being written, say.
    """
    data = path.read_bytes()
    record, place = b"", FILE_HEAD
    while place < len(data):
        left = BLOCK - place % BLOCK
        if left < CHUNK_HEAD.size:
            place += left
            continue
        if place + CHUNK_HEAD.size > len(data):
            break
        _, length, kind = CHUNK_HEAD.unpack_from(data, place)
        place += CHUNK_HEAD.size + length
        record += data[place - length : place]
        if kind in LAST_CHUNK and place <= len(data):
            yield record
            record = b""
    if record or place != len(data):
        raise EOFError(f"{path}: breaks off within a record.")
