"""What one optimizer step sees of a sequence."""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.body.keypoints import confident_keypoints
from diffopt.observation.observation import Observation

NEAREST_M = 0.3
"""Nobody is filmed from nearer, whatever an initial body says."""


@dataclass(frozen=True)
class SequenceBatch:
    """What was observed of one sequence, as tensors on the fit's device."""

    fps: float
    betas: Float[Tensor, "10"]
    trust: Float[Tensor, "T"]
    """Trust in the initial motion, 0 to 1."""
    keypoints_px: Float[Tensor, "T K 2"]
    confidence: Float[Tensor, "T K"]
    """0 where the detector was unsure or the body has no such point."""
    regressor: Float[Tensor, "K 47"]
    """Keypoints as means of the body's landmarks."""
    person_px: Float[Tensor, "T"]
    """Height of the person in the image, pixels."""

    @property
    def num_frames(self) -> int:
        return len(self.trust)

    @property
    def duration_s(self) -> float:
        return (self.num_frames - 1) / self.fps

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "SequenceBatch":
        """The batch on another device."""
        moved = {
            field.name: value.to(device, non_blocking=non_blocking)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **moved)


def sequence_batch(observation: Observation, min_confidence: float, unseen_trust: float) -> SequenceBatch:
    """Put an observation into a batch.

    Args:
        observation: the sequence as it was observed.
        min_confidence: keypoints trusted less than this are left out.
        unseen_trust: trust in the initial motion of frames out of sight, 0 to 1.
    """
    keypoints, confidence, regressor = confident_keypoints(observation, min_confidence)
    seen = torch.as_tensor(observation.frame_valid)
    return SequenceBatch(
        fps=observation.fps,
        betas=torch.as_tensor(observation.betas).float(),
        trust=torch.where(seen, 1.0, unseen_trust),
        keypoints_px=keypoints,
        confidence=confidence,
        regressor=regressor,
        person_px=_person_height_px(
            keypoints,
            confidence,
            px_per_m=torch.as_tensor(observation.focal_px / np.maximum(observation.transl_c[:, 2], NEAREST_M)).float(),
        ),
    )


def _person_height_px(
    keypoints: Float[Tensor, "T K 2"], confidence: Float[Tensor, "T K"], px_per_m: Float[Tensor, "T"]
) -> Float[Tensor, "T"]:
    """Larger side of the box about the keypoints, pixels.

    Typical of the clip in metres, and carried to every frame by how far off the person is there: the box of a single
    frame tells what can be seen of somebody, who may also crouch.
    """
    seen = (confidence > 0)[..., None]
    low = torch.where(seen, keypoints, torch.inf).amin(dim=1)
    high = torch.where(seen, keypoints, -torch.inf).amax(dim=1)
    side_m = (high - low).amax(dim=-1) / px_per_m
    side_m = side_m[side_m.isfinite() & (side_m > 0)]
    return px_per_m * (side_m.median() if len(side_m) else 1.0)
