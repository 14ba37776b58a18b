"""Captured motion performed by a body of another build: what a simulation films."""

from dataclasses import replace
from typing import NamedTuple

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.body.keypoints import FOOT_POINTS
from diffopt.body.model import BodyModel
from diffopt.body.skeleton import BODY_JOINTS
from diffopt.mocap.clip import MotionClip
from diffopt.mocap.retargeting import LEGS, Windows, approach_skeleton

_FLOOR_QUANTILE = 0.05


class Performance(NamedTuple):
    """A motion as a body performs it: axis-angle, radians, metres, world y up, floor y = 0."""

    body_pose: Float[Tensor, "T 23 3"]
    global_orient: Float[Tensor, "T 3"]
    transl: Float[Tensor, "T 3"]
    betas: Float[Tensor, "10"]


def retarget(clip: MotionClip, body: BodyModel, betas: Float[Tensor, "10"]) -> Performance:
    """A clip on a body: bones point where the performer's did, the path is scaled with the legs, soles on the floor.

    Longer legs make longer steps; so the feet stand as still as they did in the capture. Rest poses differ between
    skeletons: with the angles copied, the performer would lean.

    Args:
        clip: the captured motion.
        body: who performs it.
        betas: the performer's shape.
    """
    skeleton = body.skeleton(betas)[:BODY_JOINTS].clone()
    skeleton[0] = 0
    exists = torch.ones(1, len(clip.root), dtype=torch.bool)
    captured = Windows(clip.rotations[None], clip.root[None], clip.offsets[None], exists, clip.trusted[None])
    there = approach_skeleton(captured, skeleton, torch.ones(1))
    rotations, offsets = there.rotations[0], there.offsets[0]
    scale = skeleton[LEGS].norm(dim=-1).sum() / offsets[LEGS].norm(dim=-1).sum()
    rotvec = roma.rotmat_to_rotvec(rotations)
    body_pose = torch.cat([rotvec[:, 1:], torch.zeros(len(rotvec), 24 - BODY_JOINTS, 3)], dim=1)
    transl = scale * there.root[0] - body.rest_joints(betas)[0]
    landmarks = body.landmarks(roma.rotvec_to_rotmat(body_pose), rotations[:, 0], transl, betas)
    heights = (landmarks[:, FOOT_POINTS, 1] - body.sole_heights(betas)).amin(dim=1)
    floor = torch.tensor([0.0, float(torch.quantile(heights, _FLOOR_QUANTILE)), 0.0])
    return Performance(body_pose, rotvec[:, 0], transl - floor, betas)


def concatenate(clips: list[MotionClip], blend_s: float = 0.4) -> MotionClip:
    """Clips one after the other as one long motion: each goes on where the last one stands, and looks, and blends in.

    Args:
        clips: of one frame rate; the first one lends its skeleton.
        blend_s: how long two clips overlap, seconds.
    """
    whole = clips[0]
    for following in clips[1:]:
        overlap = min(round(blend_s * whole.fps), len(whole.root), len(following.root))
        turn = _heading(whole.rotations[-overlap, 0]) @ _heading(following.rotations[0, 0]).mT
        root = (following.root - following.root[0]) @ turn.mT
        root = root + torch.cat([whole.root[-overlap, :1], following.root[:1, 1], whole.root[-overlap, 2:]])
        rotations = torch.cat([(turn @ following.rotations[:, 0])[:, None], following.rotations[:, 1:]], dim=1)
        share = (torch.arange(overlap) + 0.5) / overlap
        share = share * share * (3 - 2 * share)
        before, after = whole.rotations[-overlap:], rotations[:overlap]
        step = roma.rotmat_to_rotvec(before.mT @ after)
        mixed = before @ roma.rotvec_to_rotmat(share[:, None, None] * step)
        place = torch.lerp(whole.root[-overlap:], root[:overlap], share[:, None])
        whole = replace(
            whole,
            rotations=torch.cat([whole.rotations[:-overlap], mixed, rotations[overlap:]]),
            root=torch.cat([whole.root[:-overlap], place, root[overlap:]]),
        )
    return whole


def _heading(orient: Float[Tensor, "3 3"]) -> Float[Tensor, "3 3"]:
    """The turn about the vertical that a root's orientation makes: where its left points, seen from above."""
    left = orient[:, 0]
    angle = torch.atan2(-left[2], left[0])
    return roma.rotvec_to_rotmat(torch.stack([0 * angle, angle, 0 * angle]))
