"""SMPL-native motion features: a root block (how the body travels) and an articulation block (how it is posed).

The articulation block knows nothing of the root's path. The path enters as what is left of the root's velocity once the
foot in contact has said its part (see `kinematics`): a network then never has to guess how fast a person is, which it
cannot do for people it has not seen. Features do not change when the motion is turned about the vertical axis or moved
on the floor, and are differentiable everywhere but at a pelvis upside down, where no heading exists.

A motion of T frames gives T - 1 feature vectors: frame t, and the step from t to t + 1. World: y up, floor y = 0, m.
"""

import itertools

import roma
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from diffopt.geometry.alignment import heading_rotation
from diffopt.motion.foot_contact import foot_contact

_BLOCKS = (
    ("velocity_residual", 3),
    ("clearance", 1),
    ("yaw_rate", 1),
    ("tilt", 6),
    ("rotations", 126),
    ("positions", 63),
    ("velocities", 63),
    ("contact_velocity", 3),
    ("support", 2),
)
_STARTS = [0, *itertools.accumulate(size for _, size in _BLOCKS)]
SLICES: dict[str, slice] = {
    name: slice(start, start + size) for (name, size), start in zip(_BLOCKS, _STARTS[:-1], strict=True)
}
"""Where each quantity stands in a feature vector.

`velocity_residual`: root velocity less `contact_velocity`, m/s. `clearance`: height of the lowest joint over a standing
toe, m. `yaw_rate`: rad/s. `tilt`: root rotation without its heading. `rotations`: the 21 body joints'. Both as 6D, the
first two columns row by row, as roma flattens them. `positions`, `velocities`: the 21 body joints' relative to the
root, m and m/s. `contact_velocity`: the root velocity that keeps the toe in contact in place, m/s. `support`: how far
the left and right toe is in contact, 0 to 1. All vectors in the heading frame of frame t: y up, z where the pelvis
faces.
"""
FEATURE_SIZE = _STARTS[-1]
ROOT = slice(0, SLICES["clearance"].stop)
ARTICULATION = slice(ROOT.stop, FEATURE_SIZE)
LOWEST_M, TOE_HEIGHT = 0.02, 0.02


def features_from_motion(
    rotations: Float[Tensor, "*B T 22 3 3"],
    joints: Float[Tensor, "*B T 22 3"],
    fps: float,
    valid: Bool[Tensor, "*B T"] | None = None,
) -> Float[Tensor, "*B S D"]:
    """Features of a motion, in their physical units.

    Args:
        rotations: local rotations, index 0 the root's relative to the world.
        joints: world positions, metres, floor at y = 0.
        fps: frames per second.
        valid: frames that exist, else all; what does not exist does not reach the features of what does.

    Returns:
        T - 1 feature vectors; `SLICES` says what stands where.
    """
    frames = joints.shape[-3]
    if frames < 2:
        raise ValueError(
            f"Motion features describe steps between frames, but the motion has {frames}. Give at least 2."
        )
    root = joints[..., 0, :]
    relative = joints - root[..., None, :]
    facing = heading_rotation(rotations[..., 0, :, :])
    now, after = facing[..., :-1, :, :], facing[..., 1:, :, :]

    def to_heading(vectors: Float[Tensor, "*B S V 3"]) -> Float[Tensor, "*B S V 3"]:
        return vectors @ now

    turn = now.mT @ after
    yaw_rate = fps * torch.atan2(turn[..., 0, 2], turn[..., 0, 0])
    tilt = now.mT @ rotations[..., :-1, 0, :, :]
    contact = foot_contact(relative, fps, valid)
    velocity = fps * torch.diff(root, dim=-2)
    blocks = {
        "velocity_residual": to_heading((velocity - contact.velocity)[..., None, :]).squeeze(-2),
        "clearance": (root[..., :-1, 1] + lowest(relative[..., :-1, :, 1]) - TOE_HEIGHT)[..., None],
        "yaw_rate": yaw_rate[..., None],
        "tilt": _six_numbers(tilt[..., None, :, :]),
        "rotations": _six_numbers(rotations[..., :-1, 1:, :, :]),
        "positions": _listed(to_heading(relative[..., :-1, 1:, :])),
        "velocities": _listed(to_heading(fps * torch.diff(relative[..., 1:, :], dim=-3))),
        "contact_velocity": to_heading(contact.velocity[..., None, :]).squeeze(-2),
        "support": contact.support,
    }
    return torch.cat([blocks[name] for name in SLICES], dim=-1)


def root_velocity(features: Float[Tensor, "*B S D"]) -> Float[Tensor, "*B S 3"]:
    """The root's velocity in the heading frame, m/s: what the foot in contact implies plus the residual."""
    return features[..., SLICES["contact_velocity"]] + features[..., SLICES["velocity_residual"]]


def root_height(features: Float[Tensor, "*B S D"]) -> Float[Tensor, "*B S"]:
    """Height of the root over the floor, metres, from the clearance and the pose."""
    heights = rearrange(features[..., SLICES["positions"]], "... (joint xyz) -> xyz ... joint", xyz=3)[1]
    heights = torch.cat((torch.zeros_like(heights[..., :1]), heights), dim=-1)
    return features[..., SLICES["clearance"]].squeeze(-1) - lowest(heights) + TOE_HEIGHT


def integrate(
    velocity: Float[Tensor, "*B S 3"], facing: Float[Tensor, "*B S 3 3"], fps: float
) -> Float[Tensor, "*B T 3"]:
    """The root's path in the world from its velocities in the heading frames `facing`, beginning at the origin."""
    steps = (facing @ velocity[..., None]).squeeze(-1) / fps
    return torch.cat((torch.zeros_like(steps[..., :1, :]), steps.cumsum(dim=-2)), dim=-2)


def headings_from_yaw_rate(features: Float[Tensor, "*B S D"], fps: float) -> Float[Tensor, "*B S 3 3"]:
    """Heading frames by summing up the yaw rates, beginning with the one that faces +z."""
    turned = features[..., SLICES["yaw_rate"]].squeeze(-1).cumsum(dim=-1) / fps
    angle = torch.cat((torch.zeros_like(turned[..., :1]), turned[..., :-1]), dim=-1)
    zero = torch.zeros_like(angle)
    return roma.rotvec_to_rotmat(torch.stack((zero, angle, zero), dim=-1))


def lowest(heights: Float[Tensor, "*B J"]) -> Float[Tensor, "*B"]:
    """Smooth minimum over the last axis, metres; a centimetre or so below the true one where several are as low."""
    return -LOWEST_M * torch.logsumexp(-heights / LOWEST_M, dim=-1)


def _six_numbers(rotations: Float[Tensor, "*B J 3 3"]) -> Float[Tensor, "*B N"]:
    return rearrange(rotations[..., :2], "... joint row column -> ... (joint row column)")


def _listed(vectors: Float[Tensor, "*B J 3"]) -> Float[Tensor, "*B N"]:
    return rearrange(vectors, "... joint xyz -> ... (joint xyz)")
