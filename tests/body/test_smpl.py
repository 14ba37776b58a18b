"""A user's SMPL file: the official pickle's layout with chumpy nodes, the npz layout, and files that are not one."""

import pickle
import sys
import types

import numpy as np
import pytest
import scipy.sparse
import torch

from diffopt.body.model import load_body
from diffopt.errors import DiffoptError

VERTICES = 6890


@pytest.fixture(scope="module")
def smpl_fields():
    rng = np.random.default_rng(0)
    weights = np.zeros((VERTICES, 24))
    weights[np.arange(VERTICES), rng.integers(0, 24, VERTICES)] = 1.0
    regressor = np.zeros((24, VERTICES))
    regressor[np.arange(24), rng.choice(VERTICES, 24, replace=False)] = 1.0
    parents = [2**32 - 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]
    return {
        "v_template": rng.normal(size=(VERTICES, 3)),
        "shapedirs": 1e-2 * rng.normal(size=(VERTICES, 3, 10)),
        "posedirs": 1e-3 * rng.normal(size=(VERTICES, 3, 207)),
        "J_regressor": regressor,
        "weights": weights,
        "kintree_table": np.array([parents, range(24)], dtype=np.int64),
        "f": rng.integers(0, VERTICES, (100, 3)).astype(np.uint32),
    }


@pytest.fixture
def chumpy(monkeypatch):
    """A module named chumpy, so that files with its nodes can be written; reading must not need it."""

    class Ch:
        def __init__(self, state):
            self.state = state

        def __reduce__(self):
            return Ch, (None,), self.state

        def __setstate__(self, state):
            self.state = state

    module = types.ModuleType("chumpy.ch")
    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    module.Ch = Ch
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    return Ch


def test_official_pickle_with_chumpy_and_sparse_arrays(tmp_path, smpl_fields, chumpy):
    stored = dict(smpl_fields)
    leaf = chumpy({"x": stored["v_template"]})
    stored["v_template"] = leaf
    stored["shapedirs"] = chumpy(
        {
            "a": chumpy({"x": stored["shapedirs"]}),
            "idxs": np.arange(stored["shapedirs"].size),
            "preferred_shape": stored["shapedirs"].shape,
        }
    )
    stored["J_regressor"] = scipy.sparse.csc_matrix(stored["J_regressor"])
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps(stored, protocol=2))
    np.savez(tmp_path / "smpl.npz", **smpl_fields)

    from_pickle, from_npz = load_body(path), load_body(tmp_path / "smpl.npz")

    betas = torch.linspace(-1, 1, 10)
    assert from_pickle.name == "smpl"
    assert torch.equal(from_pickle.rest_vertices(betas), from_npz.rest_vertices(betas))
    expected = smpl_fields["v_template"] + smpl_fields["shapedirs"] @ betas.double().numpy()
    assert np.abs(from_npz.rest_vertices(betas).numpy() - expected).max() < 1e-5


def test_the_nose_is_a_vertex(tmp_path, smpl_fields):
    np.savez(tmp_path / "smpl.npz", **smpl_fields)
    body = load_body(tmp_path / "smpl.npz")
    eye = torch.eye(3).expand(1, 24, 3, 3)
    still = eye[:, 1:], eye[:, 0], torch.zeros(1, 3), torch.zeros(10)

    assert torch.allclose(body.landmarks(*still)[0, 24], body.vertices(*still)[0, 332], atol=1e-5)


def test_a_pickle_that_runs_code_is_refused_by_name(tmp_path):
    class Evil:
        def __reduce__(self):
            import os

            return os.system, ("true",)

    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"v_template": Evil()}))
    with pytest.raises(DiffoptError, match=r"posix\.system"):
        load_body(path)


@pytest.mark.parametrize("name", ["absent.npz", "absent.pkl"])
def test_missing_file_is_named(tmp_path, name):
    with pytest.raises(DiffoptError, match=name):
        load_body(tmp_path / name)


def test_a_file_that_is_no_smpl_model_says_what_is_missing(tmp_path):
    np.savez(tmp_path / "other.npz", v_template=np.zeros((3, 3)))
    with pytest.raises(DiffoptError, match="shapedirs"):
        load_body(tmp_path / "other.npz")
