"""Files are written by the real writers; joblib's by a small writer of its layout, and by joblib if it is there.

`test_our_joblib_is_joblibs` holds the small writer to joblib byte for byte.
"""

import bz2
import gzip
import io
import lzma
import os
import pickle
import zlib
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import torch
from joblib_layout import joblib_bytes

from diffopt.errors import DiffoptError
from diffopt.files.unpickle import load_npy, load_npz, load_pickle, load_torch

CONTENT = {
    "c": np.arange(12.0).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "empty": np.zeros((0, 3)),
    "texts": np.array(["a", "bc"]),
    "number": np.float32(3),
    "tensor": torch.arange(6.0).reshape(2, 3)[:, 1:],
    "nested": [1, "x", (2.5, None, True), {"y": b"z"}],
}
OBJECTS = CONTENT | {
    "objects": np.array([{"q": np.ones(2)}, 4], dtype=object),
    "ordered": OrderedDict(a=1),
    "by_person": defaultdict(dict, {1: {"pose": np.ones((2, 72))}}),
}


class Evil:
    def __reduce__(self):
        return os.system, ("echo never",)


def same(one, other) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, np.ndarray) and one.dtype == object:
        return all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and bool((one == other).all())
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("protocol", range(6))
def test_every_pickle_protocol_is_read(tmp_path, protocol):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(OBJECTS, protocol=protocol))

    assert same(OBJECTS, load_pickle(tmp_path / "a.pkl"))


@pytest.mark.parametrize("protocol", range(2, 6))
def test_joblib_puts_arrays_behind_the_pickle(tmp_path, protocol):
    (tmp_path / "a.pkl").write_bytes(joblib_bytes(OBJECTS, protocol))

    assert same(OBJECTS, load_pickle(tmp_path / "a.pkl"))


@pytest.mark.parametrize("compress", [zlib.compress, gzip.compress, bz2.compress, lzma.compress])
def test_joblibs_compressions_are_read(tmp_path, compress):
    (tmp_path / "a.pkl").write_bytes(compress(joblib_bytes(OBJECTS)))

    assert same(OBJECTS, load_pickle(tmp_path / "a.pkl"))


@pytest.mark.parametrize("protocol", range(2, 6))
def test_our_joblib_is_joblibs(protocol):
    joblib = pytest.importorskip("joblib")
    file = io.BytesIO()
    joblib.dump(OBJECTS, file, protocol=protocol)

    assert file.getvalue() == joblib_bytes(OBJECTS, protocol)


def test_npy_with_objects_and_without(tmp_path):
    np.save(tmp_path / "one.npy", OBJECTS)
    np.save(tmp_path / "many.npy", np.array([{"q": 1}, [2]], dtype=object))
    np.save(tmp_path / "plain.npy", CONTENT["c"])

    assert same(OBJECTS, load_npy(tmp_path / "one.npy"))
    assert load_npy(tmp_path / "many.npy").tolist() == [{"q": 1}, [2]]
    assert same(CONTENT["c"], load_npy(tmp_path / "plain.npy"))


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_with_tensors_and_arrays(tmp_path, zipped):
    torch.save(CONTENT, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)

    assert same(CONTENT, load_torch(tmp_path / "a.pt"))


def write_evil(path, how: str) -> None:
    if how == "pickle":
        path.write_bytes(pickle.dumps({"pose": [Evil()]}))
    elif how == "joblib":
        path.write_bytes(zlib.compress(joblib_bytes([np.ones(3), Evil()])))
    elif how == "array":
        path.write_bytes(joblib_bytes(np.array([Evil()], dtype=object)))
    elif how == "npy":
        np.save(path, np.array(Evil(), dtype=object))
    else:
        torch.save({"pose": Evil()}, path)


@pytest.mark.parametrize(
    ("how", "load"),
    [
        ("pickle", load_pickle),
        ("joblib", load_pickle),
        ("array", load_pickle),
        ("npy", load_npy),
        ("torch", load_torch),
    ],
)
def test_a_malicious_file_is_refused_by_the_name_of_what_it_would_run(tmp_path, how, load):
    path = tmp_path / "evil.npy"
    write_evil(path, how)

    with pytest.raises(
        DiffoptError, match=rf"evil\.npy: refused, since loading it would run '{os.name}\.system'\. Only"
    ):
        load(path)


@pytest.mark.parametrize(
    "name", ["builtins\neval", "builtins\ngetattr", "numpy\nload", "torch\nload", "shutil\nrmtree"]
)
def test_only_listed_names_are_allowed(tmp_path, name):
    (tmp_path / "a.pkl").write_bytes(f"c{name}\n.".encode())

    with pytest.raises(DiffoptError, match=name.replace("\n", r"\.")):
        load_pickle(tmp_path / "a.pkl")


def test_a_pickle_may_not_change_the_program(tmp_path):
    """BUILD with a slot state sets attributes, even on a class."""
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02cchumpy\nCh\n(N}U\x06valuescbuiltins\ndict\nstb.")

    with pytest.raises(DiffoptError, match="a change to <class"):
        load_pickle(tmp_path / "a.pkl")


def test_what_is_missing_or_damaged_is_told(tmp_path):
    (tmp_path / "half.pkl").write_bytes(joblib_bytes(OBJECTS)[:500])

    with pytest.raises(DiffoptError, match="no such file"):
        load_pickle(tmp_path / "none.pkl")
    with pytest.raises(DiffoptError, match=r"half\.pkl: not a pickle that can be read"):
        load_pickle(tmp_path / "half.pkl")
    with pytest.raises(DiffoptError, match=r"half\.pkl: not a \.pt file"):
        load_torch(tmp_path / "half.pkl")


def test_named_arrays_are_read_and_damaged_ones_told(tmp_path):
    np.savez(tmp_path / "good.npz", a=np.arange(3))
    np.savez(tmp_path / "objects.npz", a=np.array([os.getcwd], dtype=object))
    (tmp_path / "half.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:100])

    assert load_npz(tmp_path / "good.npz")["a"].tolist() == [0, 1, 2]
    for name in ("half", "objects"):
        with pytest.raises(DiffoptError, match=rf"{name}\.npz: not a \.npz file that can be read"):
            load_npz(tmp_path / f"{name}.npz")
