"""Reads the file of an offline W&B run: a log of W&B's own messages."""

import json
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

from diffopt.files.record_log import records


class OfflineRun:
    """One run, read back."""

    def __init__(self, folder: Path) -> None:
        (self.path,) = folder.glob("wandb/*/*.wandb")
        self.records = [Record.FromString(record) for record in records(self.path)]
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
