"""Reads pickled arrays without running code.

A pickle is a program. The files of this field that are pickles hold arrays and plain containers; so only the few
constructors those need are allowed, and anything else is refused by name.
"""

import _codecs
import collections
import copyreg
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

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


class ArrayUnpickler(pickle.Unpickler):
    """Builds numpy and sparse arrays, plain containers and stand-ins for chumpy; refuses everything else by name."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if module_name.split(".")[0] == "chumpy":
            return ChumpyArray
        try:
            return _ALLOWED[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module_name}.{global_name}") from None


def load_pickle(path: Path) -> Any:
    """The contents of a pickle of arrays.

    Raises:
        DiffoptError: the file is missing, is no pickle, or names anything but arrays and plain containers.
    """
    try:
        with open(path, "rb") as file:
            return ArrayUnpickler(file, encoding="latin1").load()
    except FileNotFoundError:
        raise DiffoptError(f"{path}: no such file. Check the path.") from None
    except pickle.UnpicklingError as error:
        raise DiffoptError(
            f"{path}: refused, since loading it would run '{error}'. Only arrays and plain containers are read; "
            "convert the file to .npz with the tool that made it."
        ) from None
    except Exception as error:
        raise DiffoptError(f"{path}: not a readable pickle ({error}). Expected a file saved by pickle.dump.") from error
