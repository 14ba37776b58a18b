"""LevelDB's log format against one written by hand, as its description says."""

import struct

import pytest

from diffopt.files.record_log import records


def written(parts):
    """Chunks (kind, content) behind a file's head; a block's rest that cannot hold a chunk's head is left empty."""
    data = b":W&B\xe1\xbe\x00"
    for kind, content in parts:
        left = 32768 - len(data) % 32768
        data += bytes(left) if left < 7 else b""
        data += struct.pack("<IHB", 0, len(content), kind) + content
    return data


WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4
FULL = 32768 - 7 - 7


def test_records_are_put_together_across_blocks(tmp_path):
    first = b"a" * (FULL - 5 - 7)  # leaves a block's last five bytes empty, after a record of none
    parts = [(WHOLE, b""), (WHOLE, first), (FIRST, b"b" * 32761), (MIDDLE, b"c" * 32761), (LAST, b"d"), (WHOLE, b"e")]
    (tmp_path / "log").write_bytes(written(parts))
    assert list(records(tmp_path / "log")) == [b"", first, b"b" * 32761 + b"c" * 32761 + b"d", b"e"]


@pytest.mark.parametrize("kept", [-1, -4, -10, -12])
def test_a_log_that_breaks_off_is_told_from_a_whole_one(kept, tmp_path):
    whole = written([(WHOLE, b"first"), (FIRST, b"sec"), (LAST, b"ond")])
    (tmp_path / "log").write_bytes(whole[:kept])
    with pytest.raises(EOFError, match="log"):
        list(records(tmp_path / "log"))
