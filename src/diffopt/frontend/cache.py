"""Intermediate results on disk, so that a rerun skips what its settings did not touch."""

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

Stage = TypeVar("Stage")


def cached(folder: Path, name: str, key: Mapping[str, Any], kind: type[Stage], build: Callable[[], Stage]) -> Stage:
    """The result of a stage from its file, or built and kept.

    Args:
        folder: where the files are.
        name: of the stage.
        key: everything that the result depends on, as JSON can hold it; any change makes another file.
        kind: a dataclass of arrays, numbers and texts.
        build: makes the result; what it raises is raised here, and nothing is kept.
    """
    digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=8).hexdigest()
    path = folder / f"{name}-{digest}.npz"
    kept = _read(path, kind)
    if kept is not None:
        return kept
    made = build()
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **vars(made))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return made


def _read(path: Path, kind: type[Stage]) -> Stage | None:
    """None for a file that is missing, damaged or of another make: it is then built anew."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            values = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    if set(values) != {field.name for field in fields(kind)}:  # pyright: ignore[reportArgumentType]
        return None
    return kind(**{name: value.item() if value.ndim == 0 else value for name, value in values.items()})
