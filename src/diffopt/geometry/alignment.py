"""Moving one point set onto another: rigid, with scale, frame by frame, and into a person's heading frame.

A metric says by its alignment what it forgives, so each alignment has a function of its own. Registration is
Kabsch's (1976) and Umeyama's (1991), from roma.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import roma
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from diffopt.device import axes

# How many values roma returns depends on an argument, which type checkers cannot follow.
_register: Callable[..., Any] = roma.rigid_points_registration
_procrustes: Callable[..., Any] = roma.special_procrustes


class Similarity(NamedTuple):
    """x -> scale * rotation x + translation, one for each leading index."""

    rotation: Float[Tensor, "*B 3 3"]
    translation: Float[Tensor, "*B 3"]
    scale: Float[Tensor, "*B"]

    def apply(self, points: Float[Tensor, "*B N 3"]) -> Float[Tensor, "*B N 3"]:
        turned = points @ self.rotation.mT
        return self.scale[..., None, None] * turned + self.translation[..., None, :]


def fit_rigid(points: Float[Tensor, "*B N 3"], target: Float[Tensor, "*B N 3"]) -> Similarity:
    """The rotation and translation (no scale, no mirror) that bring `points` closest to `target` in least squares."""
    rotation, translation = _register(points, target)
    return Similarity(rotation, translation, torch.ones_like(translation[..., 0]))


def fit_similarity(points: Float[Tensor, "*B N 3"], target: Float[Tensor, "*B N 3"]) -> Similarity:
    """As `fit_rigid`, with one scale. Points that all coincide have no scale: it comes out as NaN."""
    return Similarity(*_register(points, target, compute_scaling=True))


def align_clip(
    points: Float[Tensor, "T J 3"], target: Float[Tensor, "T J 3"], with_scale: bool = False
) -> tuple[Float[Tensor, "T J 3"], Similarity]:
    """Move a whole clip by the one transform that fits all its frames best; also returns the transform."""
    return _align_by(points, target, len(points), with_scale)


def align_first_frames(
    points: Float[Tensor, "T J 3"], target: Float[Tensor, "T J 3"], frames: int = 1, with_scale: bool = False
) -> tuple[Float[Tensor, "T J 3"], Similarity]:
    """Move a whole clip by the one transform that fits its first `frames` frames; also returns the transform."""
    return _align_by(points, target, frames, with_scale)


def align_each_frame(
    points: Float[Tensor, "T J 3"], target: Float[Tensor, "T J 3"]
) -> tuple[Float[Tensor, "T J 3"], Similarity]:
    """Procrustes: move every frame by a similarity of its own; also returns the transforms."""
    transform = fit_similarity(points, target)
    return transform.apply(points), transform


def _align_by(
    points: Float[Tensor, "T J 3"], target: Float[Tensor, "T J 3"], frames: int, with_scale: bool
) -> tuple[Float[Tensor, "T J 3"], Similarity]:
    fit = fit_similarity if with_scale else fit_rigid
    transform = fit(*(rearrange(each[:frames], "t j xyz -> (t j) xyz") for each in (points, target)))
    # A similarity takes any leading indices: here the frames'.
    return transform.apply(points), transform


def nearest_rotation(matrix: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B 3 3"]:
    """The rotation closest to a matrix (Kabsch): for a sum of outer products b a^T the one that best takes a to b."""
    return _procrustes(matrix)


def fit_world_turn(rotation_w2c: Float[Tensor, "T 3 3"], target_w2c: Float[Tensor, "T 3 3"]) -> Float[Tensor, "3 3"]:
    """The one turn A of the world for which `rotation_w2c @ A` comes closest to `target_w2c` over all frames."""
    return nearest_rotation((rotation_w2c.mT @ target_w2c).sum(dim=0))


def shortest_turn(first: Float[Tensor, "*B 3"], second: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3"]:
    """The smallest turn that takes the direction `first` to the direction `second`, axis-angle, radians.

    Between opposite directions all half turns are as small; one of them is chosen.
    """
    first, second = (torch.nn.functional.normalize(each, dim=-1) for each in (first, second))
    # Twice the half angle's sine and cosine, times twice that cosine.
    axis, real = torch.linalg.cross(first, second), 1 + (first * second).sum(dim=-1, keepdim=True)
    across = torch.linalg.cross(first, axes(like=first)[first.abs().argmin(dim=-1)])
    quaternion = torch.cat((torch.where(real > 1e-9, axis, across), real), dim=-1)
    return roma.unitquat_to_rotvec(roma.quat_normalize(quaternion))


def heading_rotation(root_rotation: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B 3 3"]:
    """The turn about the vertical (y) that is in a root orientation: its twist, as in GLAMR (Yuan et al., 2022).

    Unlike the direction in which the pelvis points this stays defined for a body that lies, and through a cartwheel. It
    is undefined only for a body turned upside down by exactly half a turn, and then the identity.
    """
    # The twist's sine and cosine, both times 1 + the cosine of the swing; faster than by quaternions.
    sine = root_rotation[..., 0, 2] - root_rotation[..., 2, 0]
    cosine = root_rotation[..., 0, 0] + root_rotation[..., 2, 2]
    ahead = torch.stack((sine, torch.zeros_like(sine), cosine), dim=-1)
    ahead = torch.where(ahead.norm(dim=-1, keepdim=True) > 1e-6, ahead, axes(like=ahead)[2])
    up = axes(like=ahead)[1].expand_as(ahead)
    up, ahead, left = roma.special_gramschmidt(torch.stack((up, ahead), dim=-1)).unbind(dim=-1)
    return torch.stack((left, up, ahead), dim=-1)


def to_heading_frame(points: Float[Tensor, "T J 3"], root_rotation: Float[Tensor, "T 3 3"]) -> Float[Tensor, "T J 3"]:
    """A clip as seen from its own first frame: root above the origin, facing +z. Heights above the floor stay.

    Args:
        points: world points, y up, metres; point 0 is the root.
        root_rotation: the root's orientation in the world.
    """
    origin = points[0, 0] * points.new_tensor([1.0, 0.0, 1.0])
    return (points - origin) @ heading_rotation(root_rotation[0])  # from the right: by the inverse
