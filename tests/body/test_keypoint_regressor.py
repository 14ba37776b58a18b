"""Keypoints of a SMPL file: those of a published regressor, to the letter, and those read off the free body."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import roma
import scipy.sparse
import torch
from smplx.vertex_ids import vertex_ids

from diffopt.body.fitted_regressor import transfer
from diffopt.body.free import read_free_body
from diffopt.body.model import BodyModel, load_body
from diffopt.body.skeleton import JOINT_INDEX, PARENTS
from diffopt.body.smpl import SMPLX_NAMES
from diffopt.errors import DiffoptError
from diffopt.observation.keypoint_sets import COCO17, SURFACE_NAMES

VERTICES = 6890
LIMBS = [SURFACE_NAMES.index(name) for name in COCO17[5:]]


@pytest.fixture(scope="module")
def someone():
    """Somebody else than the free body's mean, in a rest pose that is two degrees off, in SMPL's order of vertices.

    The hips are where SMPL has them, nearer together than the free body's: joints shall not tell where keypoints are.
    """
    generator, free = torch.Generator().manual_seed(0), read_free_body()
    body = BodyModel(free)
    turns = roma.rotvec_to_rotmat(0.03 * torch.randn(1, 24, 3, generator=generator))
    betas, shift = torch.randn(10, generator=generator), torch.tensor([[0.02, -0.1, 0.05]])
    vertices = body.vertices(turns[:, 1:], turns[:, 0], shift, betas)[0].double().numpy()

    marked = [int(free.surface_regressor[SURFACE_NAMES.index(name)].argmax()) for name in SMPLX_NAMES]
    taken = [vertex_ids["smplh"][name] for name in SMPLX_NAMES.values()]
    needed = set(marked) | set(np.flatnonzero(free.surface_regressor.any(axis=0)))
    spare = [vertex for vertex in range(len(vertices)) if vertex not in needed][: len(vertices) - VERTICES]
    others = np.setdiff1d(np.arange(len(vertices)), marked + spare)
    order = np.empty(VERTICES, np.int64)
    order[taken] = marked
    order[np.setdiff1d(np.arange(VERTICES), taken)] = np.random.default_rng(0).permutation(others)
    renamed = np.full(len(vertices), -1)
    renamed[order] = np.arange(VERTICES)
    faces = renamed[free.faces]
    joints = free.joint_regressor[:, order]
    joints /= joints.sum(axis=1, keepdims=True)
    hips = [JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]
    joints[hips] = 0.75 * joints[hips] + 0.25 * joints[hips[::-1]]
    return replace(
        free,
        v_template=vertices[order],
        shapedirs=free.shapedirs[order],
        posedirs=1e-4 * np.random.default_rng(0).normal(size=(VERTICES, 3, 207)),
        lbs_weights=free.lbs_weights[order],
        faces=faces[(faces >= 0).all(axis=1)],
        joint_regressor=joints,
        surface_regressor=free.surface_regressor[:, order],
    )


@pytest.fixture(scope="module")
def smpl_file(someone, tmp_path_factory):
    path = tmp_path_factory.mktemp("smpl") / "SMPL_NEUTRAL.npz"
    np.savez(
        path,
        v_template=someone.v_template,
        shapedirs=someone.shapedirs,
        posedirs=someone.posedirs,
        J_regressor=someone.joint_regressor,
        weights=someone.lbs_weights,
        kintree_table=np.array([[2**32 - 1, *PARENTS[1:]], range(24)], dtype=np.int64),
        f=someone.faces,
    )
    return path


@pytest.fixture
def posing():
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    pose = roma.rotvec_to_rotmat(0.5 * draw(4, 24, 3))
    return pose[:, 1:], pose[:, 0], 3 * draw(4, 3), draw(10)


def made_up(count):
    """Weights over five vertices each, one of them negative, as published regressors may have."""
    rng, rows = np.random.default_rng(2), np.zeros((count, VERTICES))
    for row in rows:
        row[rng.choice(VERTICES, 5, replace=False)] = [0.4, 0.3, 0.2, 0.2, -0.1]
    return rows


def write(path, rows):
    if path.suffix == ".npy":
        np.save(path, rows)
    elif path.suffix == ".npz":
        np.savez(path, regressor=rows)
    else:
        path.write_bytes(pickle.dumps({"J_regressor": scipy.sparse.csc_matrix(rows)}, protocol=2))
    return path


@pytest.mark.parametrize(("count", "name"), [(17, "coco.npy"), (23, "coco.npz"), (17, "coco.pkl")])
def test_keypoints_are_the_given_rows_of_the_posed_mesh(count, name, smpl_file, posing, tmp_path):
    rows = made_up(count)
    body = load_body(smpl_file, write(tmp_path / name, rows))

    keypoints = body.landmarks(*posing)[:, 24:]

    expected = torch.as_tensor(rows) @ body.vertices(*posing).double()
    assert torch.allclose(keypoints[:, :count].double(), expected, atol=1e-5)
    if count == 17:  # the feet are smplx's vertices all the same
        heel = body.vertices(*posing)[:, vertex_ids["smplh"]["LHeel"]]
        assert torch.allclose(keypoints[:, SURFACE_NAMES.index("left_heel")], heel, atol=1e-5)


def test_without_a_regressor_limbs_are_where_the_same_skin_has_them(smpl_file, someone):
    """Within a centimetre, where the joints that stood for them before are off by three and more."""
    body, joints = load_body(smpl_file), someone.joint_regressor @ someone.v_template
    rest = torch.eye(3).expand(1, 24, 3, 3)
    found = body.landmarks(rest[:, 1:], rest[:, 0], torch.zeros(1, 3), torch.zeros(10))[0, 24:].double().numpy()
    true = someone.surface_regressor @ someone.v_template

    error = np.linalg.norm(found - true, axis=1)[LIMBS]
    hips = [SURFACE_NAMES.index("left_hip"), SURFACE_NAMES.index("right_hip")]
    assert error.max() < 0.011 and error.mean() < 0.006
    assert np.linalg.norm(true[hips] - joints[[JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]], axis=1).min() > 0.03


def test_a_limb_that_moves_takes_its_fitted_keypoint_along(smpl_file, someone, posing):
    found = load_body(smpl_file).landmarks(*posing)[:, 24:]
    true = torch.as_tensor(someone.surface_regressor) @ load_body(smpl_file).vertices(*posing).double()
    assert (found - true).norm(dim=-1)[:, LIMBS].max() < 0.02


def test_transferred_rows_are_means_of_few_vertices_at_the_same_place():
    free, rng = read_free_body(), np.random.default_rng(3)
    registered = free.v_template
    template = rng.permutation(registered) + rng.normal(scale=0.004, size=registered.shape)
    for row in free.surface_regressor[LIMBS]:
        moved = transfer(row, registered, template)

        assert (moved >= 0).all() and moved.sum() == pytest.approx(1, abs=1e-9)
        assert np.count_nonzero(moved) <= np.count_nonzero(row)
        assert np.abs(moved @ template - row @ registered).max() < 2e-4


def refused(smpl_file, path):
    with pytest.raises(DiffoptError) as error:
        load_body(smpl_file, path)
    assert "\n" not in str(error.value) and path.name in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("shape", [(31, VERTICES), (17, 10475), (VERTICES,)])
def test_another_shape_is_refused_with_both(shape, smpl_file, tmp_path):
    told = refused(smpl_file, write(tmp_path / "other.npy", np.zeros(shape)))
    assert str(shape) in told and "(17, 6890)" in told and "(23, 6890)" in told


def test_rows_that_are_no_means_are_refused_by_name(smpl_file, tmp_path):
    rows = made_up(17)
    rows[11, 0] += 0.3
    told = refused(smpl_file, write(tmp_path / "sum.npy", rows))
    assert "row 11 (left_hip)" in told and "1.3" in told
    rows[12, 7] = np.nan
    assert "row 12 (right_hip)" in refused(smpl_file, write(tmp_path / "nan.npy", rows))


def test_a_sum_that_is_slightly_off_does_not_move_a_keypoint_far_from_the_origin(smpl_file, posing, tmp_path):
    body_pose, global_orient, transl, betas = posing
    body = load_body(smpl_file, write(tmp_path / "float16.npy", 0.996 * made_up(17)))
    near, far = (body.landmarks(body_pose, global_orient, transl + shift, betas) for shift in (0, 100))
    assert torch.allclose(far - near, torch.tensor(100.0), atol=1e-3)


def test_files_that_hold_no_regressor_are_refused(smpl_file, tmp_path):
    assert "no such file" in refused(smpl_file, tmp_path / "absent.npz")
    assert "no such file" in refused(smpl_file, tmp_path / "absent.npy")
    np.savez(tmp_path / "two.npz", hips=made_up(17), knees=made_up(17))
    assert "hips, knees" in refused(smpl_file, tmp_path / "two.npz")
    (tmp_path / "words.pkl").write_bytes(pickle.dumps("a regressor"))
    assert "a str" in refused(smpl_file, tmp_path / "words.pkl")
    (tmp_path / "code.pkl").write_bytes(pickle.dumps({"rows": print}))
    assert "builtins.print" in refused(smpl_file, tmp_path / "code.pkl")


def test_other_keypoints_make_another_body(smpl_file, tmp_path):
    prints = [load_body(smpl_file).fingerprint() for _ in range(2)]
    given = load_body(smpl_file, write(tmp_path / "coco.npy", made_up(17))).fingerprint()
    assert prints[0] == prints[1] != given


def test_the_free_body_takes_no_other_regressor(tmp_path):
    with pytest.raises(DiffoptError, match=r"body\.model=free"):
        load_body("free", write(tmp_path / "coco.npy", made_up(17)))
