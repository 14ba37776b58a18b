"""Files that are either complete or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def partial_file(path: Path) -> Iterator[Path]:
    """A file of another name beside `path` to write to, which takes the place of `path` once the block is through.

    If the block raises, the partial file is removed and `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays, since writers of pictures choose the format by it.
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
