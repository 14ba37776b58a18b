"""How tall a body is, and the body of a given height."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.body.model import BodyModel


@dataclass(frozen=True)
class SizedBody:
    """A body of known height, as far away as it must be to look the same."""

    betas: Float[Tensor, "10"]
    transl_c: Float[Tensor, "T 3"]


def stature(body: BodyModel, betas: Float[Tensor, "10"]) -> Float[Tensor, ""]:
    """Height of the body at rest, metres."""
    heights = body.rest_vertices(betas)[:, 1]
    return heights.max() - heights.min()


def resize(body: BodyModel, betas: Float[Tensor, "10"], transl_c: Float[Tensor, "T 3"], height_m: float) -> SizedBody:
    """The least change of shape that gives a body its height; the pelvis moves along its line of sight.

    Args:
        body: the body that the betas belong to.
        betas: estimated shape.
        transl_c: estimated translation in the camera frame, metres.
        height_m: the true height, metres.
    """
    sized = betas.detach().clone()
    # Height is linear in the betas as long as crown and sole stay the same vertices: a step or two is exact.
    for _ in range(5):
        sized.requires_grad_(True)
        now = stature(body, sized)
        (slope,) = torch.autograd.grad(now, sized)
        sized = (sized + (height_m - now) / slope.square().sum() * slope).detach()
    pelvis_c = transl_c + body.rest_joints(betas)[0]
    ratio = height_m / stature(body, betas)
    return SizedBody(sized, (ratio * pelvis_c - body.rest_joints(sized)[0]).detach())
