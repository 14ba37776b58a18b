"""joblib's file layout, written from its description: a pickle in which each array is a note, followed by its bytes.

So that the tests need no joblib; they hold this to joblib byte for byte where it is installed.
"""

import io
import pickle
import sys
import types
from typing import Any

import numpy as np

ALIGNMENT = 16


class NumpyArrayWrapper:
    """The note; joblib's own class has this name and these attributes."""

    def __init__(self, array: np.ndarray) -> None:
        self.subclass = type(array)
        self.shape = array.shape
        self.order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        self.dtype = array.dtype
        self.allow_mmap = not array.dtype.hasobject
        self.numpy_array_alignment_bytes = ALIGNMENT


NumpyArrayWrapper.__module__ = "joblib.numpy_pickle"


class _Pickler(pickle._Pickler):  # type: ignore[name-defined]
    def __init__(self, file: io.BytesIO, protocol: int) -> None:
        super().__init__(file, protocol=protocol)
        self.file = file

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if type(obj) is not np.ndarray:
            super().save(obj, save_persistent_id)
            return
        super().save(NumpyArrayWrapper(obj))
        if self.proto >= 4:
            self.framer.commit_frame(force=True)
        if obj.dtype.hasobject:
            pickle.dump(obj, self.file, protocol=5)
            return
        padding = ALIGNMENT - (self.file.tell() + 1) % ALIGNMENT
        self.file.write(bytes([padding]) + b"\xff" * padding)
        self.file.write(obj.tobytes(order="A"))


def joblib_bytes(content: Any, protocol: int = 4) -> bytes:
    """What `joblib.dump(content, file)` writes, uncompressed."""
    # The pickler looks the class up by its name: for as long as it writes, that name leads here.
    module = types.ModuleType("joblib.numpy_pickle")
    module.NumpyArrayWrapper = NumpyArrayWrapper  # type: ignore[attr-defined]
    names = {"joblib": types.ModuleType("joblib"), "joblib.numpy_pickle": module}
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(names)
    try:
        file = io.BytesIO()
        _Pickler(file, protocol).dump(content)
        return file.getvalue()
    finally:
        for name, old in before.items():
            if old is None:
                del sys.modules[name]
            else:
                sys.modules[name] = old
