"""A motion in another world is the same motion: joints move rigidly, although SMPL's pelvis is not its origin."""

import roma
import torch

from diffopt.body.model import load_body
from diffopt.motion.motion import Motion, turn_world


def test_turning_the_world_moves_every_joint_rigidly():
    generator = torch.Generator().manual_seed(0)
    body, betas = load_body(), torch.linspace(-1, 1, 10)
    motion = Motion.from_axis_angle(
        0.3 * torch.randn(4, 23, 3, generator=generator),
        torch.randn(4, 3, generator=generator),
        torch.randn(4, 3, generator=generator),
    )
    rotation = roma.rotvec_to_rotmat(torch.tensor([0.3, -1.0, 0.5]))
    translation = torch.tensor([0.5, 2.0, -1.0])

    turned = turn_world(motion, body.rest_joints(betas)[0], rotation, translation)

    expected = body.joints(motion.body_pose, motion.global_orient, motion.transl, betas) @ rotation.mT + translation
    found = body.joints(turned.body_pose, turned.global_orient, turned.transl, betas)
    assert torch.allclose(found, expected, atol=1e-5)


def test_axis_angle_round_trip():
    generator = torch.Generator().manual_seed(0)
    # Shorter than half a turn: only then is an axis-angle vector the only one of its rotation.
    vectors = [0.4 * torch.randn(*shape, generator=generator) for shape in ((3, 23, 3), (3, 3), (3, 3))]
    for given, back in zip(vectors, Motion.from_axis_angle(*vectors).axis_angle(), strict=True):
        assert torch.allclose(given, back, atol=1e-5)
