"""The SMPL skeleton: joint names, parents and forward kinematics.

Source: Loper et al., SMPL (2015). Every motion in diffopt is written on these 24 joints; the first 22 are the body
(SMPL-H's and SMPL-X's body joints too), the last two are the hands.
"""

import functools
import itertools

import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.device import rows
from diffopt.observation.keypoint_sets import JOINT_NAMES

PARENTS: tuple[int, ...] = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
JOINT_INDEX: dict[str, int] = {name: index for index, name in enumerate(JOINT_NAMES)}
BODY_JOINTS = 22
"""Joints without the two hands: what SMPL-H, SMPL-X, HumanML3D and AMASS share."""


def forward_kinematics(
    rotations: Float[Tensor, "*T J 3 3"],
    offsets: Float[Tensor, "*#T J 3"],
) -> tuple[Float[Tensor, "*T J 3 3"], Float[Tensor, "*T J 3"]]:
    """Pose a skeleton whose root joint stands at `offsets[..., 0, :]`.

    Args:
        rotations: each joint's rotation relative to its parent; index 0 is the root's relative to the world.
        offsets: each joint from its parent in the rest pose, metres; index 0 is where the root is.

    Returns:
        Every joint's rotation relative to the world, and its position, metres.
    """
    local = torch.cat([rotations, offsets.expand(rotations.shape[:-1])[..., None]], dim=-1)
    # A generation at a time, rotation and offset in one product: joint by joint it is hundreds of tiny operations.
    generations = _generations(rotations.shape[-3])
    world, positions = [local[..., :1, :, :3]], [local[..., :1, :, 3]]
    for parents, children in itertools.pairwise(generations):
        above = rows([parents.index(PARENTS[joint]) for joint in children], local.device)
        turned = world[-1].index_select(-3, above) @ local.index_select(-3, rows(children, local.device))
        world.append(turned[..., :3])
        positions.append(positions[-1].index_select(-2, above) + turned[..., 3])
    # SMPL numbers its joints by generations, so that they already stand in their order.
    return torch.cat(world, dim=-3), torch.cat(positions, dim=-2)


@functools.cache
def _generations(joints: int) -> list[list[int]]:
    """The first `joints` joints by their distance from the root."""
    generations = [[0]]
    while following := [joint for joint in range(joints) if PARENTS[joint] in generations[-1]]:
        generations.append(following)
    return generations
