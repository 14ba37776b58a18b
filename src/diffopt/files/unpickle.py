"""Reads pickled arrays without running code: pickle, joblib, `.npy` with objects, torch's `.pt`.

A pickle is a program. The files of this field that are pickles hold arrays and plain containers; so only the few
constructors those need are allowed, and anything else is refused by name.
"""

import _codecs
import bz2
import collections
import copyreg
import gzip
import io
import lzma
import pickle
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.sparse
import torch

from diffopt.errors import DiffoptError


class ChumpyArray:
    """Stands for chumpy's lazy arrays, which SMPL's official files hold: keeps the values, drops the library."""

    def __init__(self, *_: object) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = state

    def values(self) -> np.ndarray:
        """The array that chumpy would have computed: a leaf `x`, or a selection `a.ravel()[idxs]`."""
        if "x" in self.state:
            return plain(self.state["x"])
        if "a" in self.state and "idxs" in self.state:
            picked = plain(self.state["a"]).ravel()[np.asarray(self.state["idxs"])]
            return picked.reshape(self.state.get("preferred_shape", -1))
        raise ValueError(f"a chumpy node with fields {sorted(self.state)}, expected `x` or `a` and `idxs`")


class JoblibArray:
    """Stands for joblib's note that an array's bytes follow in the file, outside of the pickle."""

    shape: tuple[int, ...]
    order: str
    dtype: np.dtype
    numpy_array_alignment_bytes: int | None = None

    def read(self, file: io.BufferedIOBase) -> np.ndarray:
        """The array; `file` stands behind the note and is left behind the array."""
        if self.dtype.hasobject:
            return ArrayUnpickler(file, encoding="latin1").load()
        if self.numpy_array_alignment_bytes is not None:
            file.read(file.read(1)[0])  # the padding's length, the padding
        count = int(np.prod(self.shape, dtype=np.int64))
        data = file.read(count * self.dtype.itemsize)
        flat = np.frombuffer(bytearray(data), dtype=self.dtype, count=count)
        return flat.reshape(self.shape[::-1]).transpose() if self.order == "F" else flat.reshape(self.shape)


def plain(value: Any) -> Any:
    """A chumpy or sparse array as a plain numpy array; anything else as it is."""
    if isinstance(value, ChumpyArray):
        return value.values()
    return value.toarray() if scipy.sparse.issparse(value) else value


_MULTIARRAY = np._core.multiarray  # type: ignore[attr-defined]
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{
        (f"numpy.{core}.multiarray", name): getattr(_MULTIARRAY, name)
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    },
    **{
        (f"numpy.{core}.numeric", "_frombuffer"): np._core.numeric._frombuffer  # type: ignore[attr-defined]
        for core in ("core", "_core")
    },
    **{
        (f"scipy.sparse.{module}", f"{kind}_matrix"): getattr(scipy.sparse, f"{kind}_matrix")
        for kind in ("csc", "csr", "coo")
        for module in (kind, f"_{kind}")
    },
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): collections.defaultdict,
    ("_codecs", "encode"): _codecs.encode,
    **{(module, "_reconstructor"): copyreg._reconstructor for module in ("copy_reg", "copyreg")},  # type: ignore[attr-defined]
    **{
        (module, kind.__name__): kind
        for module in ("builtins", "__builtin__")
        for kind in (object, set, frozenset, list, dict, tuple, int, float, complex, str, bytes, bytearray, bool, slice)
    },
    **{("weakref", name): dict for name in ("WeakKeyDictionary", "WeakValueDictionary")},
}


def _torch_storage(data: bytes) -> Any:
    """A tensor's storage inside an ordinary pickle, by torch's own reader that builds nothing but tensors."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


_ALLOWED |= {
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): JoblibArray,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,  # type: ignore[attr-defined]
    ("torch.storage", "_load_from_bytes"): _torch_storage,
}


class ArrayUnpickler(pickle._Unpickler):  # type: ignore[name-defined]
    """Builds arrays, tensors, plain containers and stand-ins for chumpy; refuses everything else by name.

    The pure Python unpickler, since joblib's arrays lie between the pickle's instructions: the reader has to step out
    of the pickle when it meets one.
    """

    dispatch: ClassVar[Any] = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

    def __init__(self, file: io.BufferedIOBase, encoding: str = "ASCII") -> None:
        super().__init__(file, encoding=encoding)
        self._file = file

    def find_class(self, module: str, name: str, /) -> Any:
        if module.split(".")[0] == "chumpy":
            return ChumpyArray
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name}") from None

    def load_build(self) -> None:
        # State belongs to values; given to a class or a function it would change the program.
        if callable(self.stack[-2]):  # type: ignore[attr-defined]
            raise pickle.UnpicklingError(f"a change to {self.stack[-2]}")  # type: ignore[attr-defined]
        super().load_build()  # type: ignore[misc]
        if isinstance(self.stack[-1], JoblibArray):  # type: ignore[attr-defined]
            self.stack[-1] = self.stack[-1].read(self._file)  # type: ignore[attr-defined]

    dispatch[pickle.BUILD[0]] = load_build


_DECOMPRESS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x78": zlib.decompress,
    b"\x1f\x8b": gzip.decompress,
    b"BZ": bz2.decompress,
    b"\xfd7zXZ": lzma.decompress,
    b"]\x00": lzma.decompress,
}
"""joblib's compressions, by a file's first bytes."""


def load_pickle(path: Path) -> Any:
    """The contents of a pickle of arrays, written by pickle or by joblib (compressed or not).

    Raises:
        DiffoptError: the file is missing, is no pickle, or names anything but arrays and plain containers.
    """

    def load(file: io.BufferedIOBase) -> Any:
        head = file.read(8)
        file.seek(0)
        for magic, decompress in _DECOMPRESS.items():
            if head.startswith(magic):
                file = io.BytesIO(decompress(file.read()))
                break
        return ArrayUnpickler(file, encoding="latin1").load()

    return _guarded(path, load, "a pickle", "a file saved by pickle.dump or joblib.dump")


def load_npy(path: Path) -> Any:
    """The contents of a `.npy`; one that holds objects goes through the same allow-list as a pickle.

    Returns:
        The array, or what `.item()` gives where the array is one single object.

    Raises:
        DiffoptError: the file is missing, is damaged, or names anything but arrays and plain containers.
    """

    def load(file: io.BufferedIOBase) -> Any:
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = reader(file)
        if not dtype.hasobject:
            return np.load(path, allow_pickle=False)
        array = ArrayUnpickler(file, encoding="latin1").load()
        return array.item() if shape == () else array

    return _guarded(path, load, "a .npy file", "a file saved by numpy.save")


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a `.npz` by name; one that holds objects is refused.

    Raises:
        DiffoptError: the file is missing, is damaged, or holds anything but plain arrays.
    """

    def load(file: io.BufferedIOBase) -> dict[str, np.ndarray]:
        with np.lib.npyio.NpzFile(file, allow_pickle=False) as stored:  # pyright: ignore[reportArgumentType]
            return dict(stored)

    return _guarded(path, load, "a .npz file", "plain arrays saved by numpy.savez")


def load_torch(path: Path) -> Any:
    """The contents of a `.pt` of tensors, arrays and plain containers, by torch's weights-only reader.

    Raises:
        DiffoptError: the file is missing, is damaged, or names anything but tensors, arrays and plain containers.
    """

    def load(file: io.BufferedIOBase) -> Any:
        arrays = [_MULTIARRAY._reconstruct, _MULTIARRAY.scalar, np.ndarray, np.dtype]
        # torch keeps the names of numpy's younger and older homes apart.
        named = [
            (item, f"numpy.{core}.multiarray.{item.__name__}") for item in arrays[:2] for core in ("core", "_core")
        ]
        kinds = [type(np.dtype(kind)) for kind in "?bBhHiIlLqQefdFDUSO"]
        with torch.serialization.safe_globals([*arrays, *named, *kinds, _codecs.encode, bytes]):
            return torch.load(path, map_location="cpu", weights_only=True)

    return _guarded(path, load, "a .pt file", "a file saved by torch.save")


def _guarded(path: Path, load: Callable[[io.BufferedIOBase], Any], kind: str, expected: str) -> Any:
    try:
        with open(path, "rb") as file:
            return load(file)
    except FileNotFoundError:
        raise DiffoptError(f"{path}: no such file. Check the path.") from None
    except pickle.UnpicklingError as error:
        # torch says it in several sentences, around the one name that matters.
        found = re.search(r"GLOBAL (\S+)|^([^\n]{1,200})$", str(error))
        if found is None:
            raise DiffoptError(f"{path}: not {kind} that can be read. Expected {expected}.") from error
        name = found.group(1) or found.group(2)
        raise DiffoptError(
            f"{path}: refused, since loading it would run '{name}'. Only arrays and plain containers are read; "
            "convert the file to .npz with the tool that made it."
        ) from None
    except Exception as error:
        raise DiffoptError(f"{path}: not {kind} that can be read ({error}). Expected {expected}.") from error
