"""Reads the file of an offline W&B run: a LevelDB log behind W&B's own head, with W&B's own messages in it."""

import json
import struct
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK = 32768
HEAD = b":W&B"


def records(path: Path) -> list[Record]:
    """Everything that was recorded, in its order; fails on a file that breaks off within a record."""
    data = path.read_bytes()
    assert data[:4] == HEAD
    found, part, place = [], b"", 7
    while place < len(data):
        if BLOCK - place % BLOCK < 7:  # too little for a chunk's head
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        part += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last chunk of one
            found.append(Record.FromString(part))
            part = b""
    assert not part and place == len(data)
    return found


class OfflineRun:
    """One run, read back."""

    def __init__(self, folder: Path) -> None:
        (self.path,) = folder.glob("wandb/*/*.wandb")
        self.records = records(self.path)
        (self.run,) = [record.run for record in self.records if record.HasField("run")]
        self.config = {item.key: json.loads(item.value_json) for item in self.run.config.update}
        self.history = [_items(record.history.item) for record in self.records if record.HasField("history")]
        self.summary: dict[str, Any] = {}
        for record in self.records:
            self.summary |= _items(record.summary.update)
        self.exit_codes = [record.exit.exit_code for record in self.records if record.HasField("exit")]

    @property
    def steps(self) -> list[int]:
        return [row["_step"] for row in self.history]


def _items(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
