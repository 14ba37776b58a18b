"""The body against smplx, with and without pose blend shapes: values, gradients, and the fast keypoints."""

import numpy as np
import pytest
import roma
import smplx
import torch
from smplx.utils import Struct

from diffopt.body.arrays import BodyArrays
from diffopt.body.free import read_free_body
from diffopt.body.model import BodyModel, load_body
from diffopt.body.skeleton import PARENTS, forward_kinematics

# smplx wants a vertex for each joint that it appends; which ones does not matter here.
_APPENDED = ["nose", "reye", "leye", "rear", "lear", "LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel"]
_FINGERS = [f"{side}{finger}" for side in "lr" for finger in ("thumb", "index", "middle", "ring", "pinky")]
SMPLX_VERTICES = {name: index for index, name in enumerate(_APPENDED + _FINGERS)}


@pytest.fixture(scope="module")
def posing():
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    return 0.4 * draw(6, 23, 3), draw(6, 3), draw(6, 3), draw(10)


def arrays_with(posedirs: bool) -> BodyArrays:
    arrays = read_free_body()
    if not posedirs:
        return arrays
    made = 1e-3 * np.random.default_rng(0).normal(size=(len(arrays.v_template), 3, 207))
    return BodyArrays(**{**vars(arrays), "posedirs": made})


def smplx_model(arrays: BodyArrays, batch: int) -> smplx.SMPL:
    num_vertices = len(arrays.v_template)
    parents = np.array([[2**32 - 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]])
    struct = Struct(
        v_template=arrays.v_template,
        shapedirs=arrays.shapedirs,
        posedirs=np.zeros((num_vertices, 3, 207)) if arrays.posedirs is None else arrays.posedirs,
        J_regressor=arrays.joint_regressor,
        weights=arrays.lbs_weights,
        kintree_table=np.concatenate([parents, np.arange(24)[None]]),
        f=arrays.faces,
    )
    return smplx.SMPL(model_path="", data_struct=struct, vertex_ids=SMPLX_VERTICES, batch_size=batch)


@pytest.mark.parametrize("posedirs", [False, True])
def test_body_equals_smplx_in_values_and_gradients(posedirs, posing):
    arrays = arrays_with(posedirs)
    body, reference = BodyModel(arrays), smplx_model(arrays, 6)
    results = []
    for ours in (True, False):
        body_pose, global_orient, transl, betas = (part.clone().requires_grad_() for part in posing)
        if ours:
            rotations = roma.rotvec_to_rotmat(body_pose), roma.rotvec_to_rotmat(global_orient)
            vertices = body.vertices(*rotations, transl, betas)
            joints = body.joints(*rotations, transl, betas)
        else:
            posed = reference(
                betas=betas.expand(6, -1), body_pose=body_pose.flatten(1), global_orient=global_orient, transl=transl
            )
            vertices, joints = posed.vertices, posed.joints[:, :24]
        (vertices[:, ::50].sin().sum() + joints.cos().sum()).backward()
        results.append([vertices, joints, body_pose.grad, global_orient.grad, transl.grad, betas.grad])
    for ours, theirs in zip(*results, strict=True):
        assert (ours - theirs).abs().max() < 1e-5 * max(1.0, theirs.abs().max())


@pytest.mark.parametrize("posedirs", [False, True])
def test_keypoints_without_the_mesh_equal_keypoints_of_the_mesh(posedirs, posing):
    arrays = arrays_with(posedirs)
    body = BodyModel(arrays)
    body_pose, global_orient, transl, betas = posing
    rotations = roma.rotvec_to_rotmat(body_pose), roma.rotvec_to_rotmat(global_orient)

    fast = body.landmarks(*rotations, transl, betas)[:, 24:]

    regressor = torch.as_tensor(arrays.surface_regressor).float()
    slow = torch.einsum("kv,tvd->tkd", regressor, body.vertices(*rotations, transl, betas))
    assert (fast - slow).abs().max() < 1e-5


def test_rest_pose_stands_at_the_skeleton():
    body = load_body("free")
    betas = torch.zeros(10)
    eye = torch.eye(3).expand(1, 24, 3, 3)

    joints = body.joints(eye[:, 1:], eye[:, 0], torch.zeros(1, 3), betas)[0]

    assert torch.allclose(joints, body.rest_joints(betas), atol=1e-6)
    assert torch.allclose(body.skeleton(betas)[0], joints[0], atol=1e-6)
    assert 1.5 < float(body.rest_vertices(betas)[:, 1].max() - body.rest_vertices(betas)[:, 1].min()) < 1.9


@pytest.mark.parametrize("joints", [22, 24])
def test_joints_are_posed_as_one_by_one(joints):
    generator = torch.Generator().manual_seed(1)
    rotations = roma.random_rotmat(size=(2, 5, joints), dtype=torch.float64, generator=generator)
    offsets = torch.randn(2, 1, joints, 3, generator=generator, dtype=torch.float64)

    world, positions = forward_kinematics(rotations, offsets)

    for joint in range(1, joints):
        parent = PARENTS[joint]
        there = positions[:, :, parent] + (world[:, :, parent] @ offsets[:, :, joint, :, None])[..., 0]
        torch.testing.assert_close(positions[:, :, joint], there)
        torch.testing.assert_close(world[:, :, joint], world[:, :, parent] @ rotations[:, :, joint])
