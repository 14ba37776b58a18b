import math

import pytest
import roma
import torch

from diffopt.geometry.alignment import heading_rotation
from diffopt.mocap.clip import AVERAGE_OFFSETS, pose
from diffopt.prior import features as smpl_features
from diffopt.prior.features import SLICES, features_from_motion
from tests.random_motion import random_motion

FPS = 20.0


def test_slices_tile_the_feature_vector():
    covered = [index for block in SLICES.values() for index in range(block.start, block.stop)]

    assert covered == list(range(smpl_features.FEATURE_SIZE))
    assert smpl_features.ROOT.stop == smpl_features.ARTICULATION.start == 4


def test_path_comes_back_to_the_millimetre():
    rotations, root, joints = random_motion()
    features = features_from_motion(rotations, joints, FPS)

    facing = smpl_features.headings_from_yaw_rate(features, FPS)
    path = smpl_features.integrate(smpl_features.root_velocity(features), facing, FPS)

    first = heading_rotation(rotations[0, 0])
    torch.testing.assert_close(first @ facing, heading_rotation(rotations[:-1, 0]))
    torch.testing.assert_close(path @ first.mT + root[0], root, atol=1e-6, rtol=0)
    torch.testing.assert_close(smpl_features.root_height(features), root[:-1, 1])


def test_features_do_not_see_heading_and_place():
    rotations, _, joints = random_motion()
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, 2.0, 0.0], dtype=torch.float64))
    moved = rotations.clone()
    moved[:, 0] = turn @ rotations[:, 0]

    there = features_from_motion(moved, joints @ turn.T + torch.tensor([3.0, 0.0, -2.0]), FPS)

    torch.testing.assert_close(there, features_from_motion(rotations, joints, FPS))


def test_articulation_does_not_see_the_path():
    rotations, root, joints = random_motion()
    other = joints - root[:, None] + torch.randn_like(root)[:, None]

    difference = features_from_motion(rotations, other, FPS) - features_from_motion(rotations, joints, FPS)

    assert difference[:, smpl_features.ARTICULATION].abs().max() < 1e-9
    assert difference[:, smpl_features.ROOT].abs().max() > 0.1


def test_features_are_what_their_names_say():
    rotations, root, joints = random_motion()
    features = features_from_motion(rotations, joints, FPS)
    frame = 11
    # A second way to the heading: the axis-angle swing-twist decomposition by quaternions.
    _, y, _, w = roma.rotmat_to_unitquat(rotations[frame, 0]).tolist()
    angle = 2 * math.atan2(y, w)
    cosine, sine = math.cos(angle), math.sin(angle)

    def in_heading(vector):
        return torch.stack((cosine * vector[0] - sine * vector[2], vector[1], sine * vector[0] + cosine * vector[2]))

    wrist = joints[frame, 20] - root[frame]
    wrist_next = joints[frame + 1, 20] - root[frame + 1]
    block = {name: features[frame, where] for name, where in SLICES.items()}
    torch.testing.assert_close(block["positions"].view(21, 3)[19], in_heading(wrist))
    torch.testing.assert_close(block["velocities"].view(21, 3)[19], in_heading((wrist_next - wrist) * FPS))
    torch.testing.assert_close(
        block["velocity_residual"] + block["contact_velocity"], in_heading((root[frame + 1] - root[frame]) * FPS)
    )
    elbow = roma.special_gramschmidt(block["rotations"].view(21, 3, 2)[17])
    torch.testing.assert_close(elbow, rotations[frame, 18])
    assert block["clearance"].item() == pytest.approx(joints[frame, :, 1].min().item() - 0.02, abs=0.02)


def test_yaw_rate_is_that_of_a_turning_person():
    rotations, _, joints = random_motion()
    upright = torch.eye(3, dtype=torch.float64).repeat(len(rotations), 22, 1, 1)
    turned = torch.zeros(len(rotations), 3, dtype=torch.float64)
    turned[:, 1] = 0.1 * torch.arange(len(rotations))
    upright[:, 0] = roma.rotvec_to_rotmat(turned)

    yaw_rate = features_from_motion(upright, joints, FPS)[:, SLICES["yaw_rate"]]

    torch.testing.assert_close(yaw_rate, torch.full_like(yaw_rate, 0.1 * FPS), atol=1e-5, rtol=0)


def test_heading_stays_defined_for_a_body_that_lies_or_stands_on_its_hands():
    turns = torch.tensor([[math.pi / 2, 0, 0], [-math.pi / 2, 0, 0], [0, 0, math.pi / 2], [math.pi, 0, 0]])

    frames = heading_rotation(roma.rotvec_to_rotmat(turns))

    assert frames.isfinite().all()
    torch.testing.assert_close(frames[:3], torch.eye(3).expand(3, 3, 3), atol=1e-6, rtol=0)


def test_features_have_the_gradient_of_their_values():
    rotations, root, _ = random_motion(frames=4)
    angles = roma.rotmat_to_rotvec(rotations).requires_grad_()
    root = root.requires_grad_()

    def features(angles, root):
        turned = roma.rotvec_to_rotmat(angles)
        return features_from_motion(turned, pose(turned, root, AVERAGE_OFFSETS.double()), FPS)

    assert torch.autograd.gradcheck(features, (angles, root), atol=1e-4, fast_mode=True)


def test_one_frame_is_refused():
    rotations, _, joints = random_motion(frames=1)

    with pytest.raises(ValueError, match="the motion has 1"):
        features_from_motion(rotations, joints, FPS)
