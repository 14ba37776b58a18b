"""2D keypoints as a detector sees them: off by a part of the body's size, occluded, swapped, sometimes far out."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from numpy.random import Generator
from torch import Tensor

from diffopt.body.keypoints import mirrored_rows
from diffopt.geometry.cameras import to_camera, to_pixels
from diffopt.observation.keypoint_sets import KEYPOINT_SETS
from diffopt.simulation.front_end_errors import FrontEndErrors, spans_of_events
from diffopt.simulation.virtual_camera import FilmedCameras, correlated_noise


def detect_keypoints(
    landmarks: Float[Tensor, "T 47 3"],
    keypoint_set: str,
    regressor: Float[Tensor, "K 47"],
    camera: FilmedCameras,
    fps: float,
    errors: FrontEndErrors,
    valid: Bool[Tensor, "T"],
    random: Generator,
) -> tuple[Float[Tensor, "T K 2"], Float[Tensor, "T K"]]:
    """Keypoints in the image and their confidences; NaN with confidence 0 where nothing is seen."""
    names = KEYPOINT_SETS[keypoint_set]
    frames, count = len(landmarks), len(names)
    visible = to_camera(landmarks, camera.rotation_w2c, camera.translation_w2c)
    points = to_pixels(regressor @ visible, camera.focal_px, camera.center_px)
    everything = to_pixels(visible, camera.focal_px, camera.center_px)
    size_px = (everything.amax(dim=1) - everything.amin(dim=1)).norm(dim=-1)[:, None, None]

    smooth = correlated_noise(random, frames, 2 * count, errors.correlation_s * fps)
    smooth = rearrange(smooth, "t (k xy) -> t k xy", xy=2)
    white = torch.from_numpy(random.standard_normal((frames, count, 2)))
    occluded = torch.stack(
        [spans_of_events(random, frames, fps, errors.occlusions_per_s / len(_PARTS), errors.event_s) for _ in _PARTS],
        dim=-1,
    )[:, [_part(keypoint) for keypoint in names]]
    offset = errors.keypoint_drift * smooth + errors.keypoint_jitter * white
    offset = torch.where(occluded[..., None], 5 * offset, offset)
    outlier = torch.from_numpy(random.uniform(size=(frames, count)) < errors.outlier_rate)
    offset = offset + 0.2 * outlier[..., None] * torch.from_numpy(random.standard_normal((frames, count, 2)))
    detected = points + size_px * offset

    swapped = spans_of_events(random, frames, fps, errors.swaps_per_s, errors.event_s / 6)
    detected[swapped] = detected[swapped][:, mirrored_rows(keypoint_set)]

    # Honest scores fall to half at an error of five percent of the body's size.
    wrong = offset.norm(dim=-1) / 0.05
    honest = 0.95 / (1 + wrong.square()) * torch.where(occluded, 0.4, 1.0)
    invented = torch.from_numpy(random.uniform(0.3, 1.0, (frames, count)))
    confidence = torch.where(
        torch.from_numpy(random.uniform(size=(frames, count)) < errors.dishonest), invented, honest
    )

    width, height = camera.image_size_px
    inside = (points >= 0).all(dim=-1) & (points[..., 0] < width) & (points[..., 1] < height)
    in_front = (regressor @ visible)[..., 2] > 0.1
    seen = inside & in_front & valid[:, None] & (regressor.sum(dim=-1) > 0)
    return torch.where(seen[..., None], detected, torch.nan), torch.where(seen, confidence, 0.0)


_PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("left", ("shoulder", "elbow", "wrist", "hand", "collar")),
    ("right", ("shoulder", "elbow", "wrist", "hand", "collar")),
    ("left", ("hip", "knee", "ankle", "foot", "toe", "heel")),
    ("right", ("hip", "knee", "ankle", "foot", "toe", "heel")),
    ("", ("",)),
)
"""What is occluded together: arms, legs, and the rest (head and trunk)."""


def _part(keypoint: tuple[str, ...]) -> int:
    """The row of `_PARTS` that a keypoint vanishes with; one between two sides belongs to the trunk."""
    name = keypoint[0] if len(keypoint) == 1 else ""
    return next(row for row, (side, words) in enumerate(_PARTS) if side in name and any(word in name for word in words))
