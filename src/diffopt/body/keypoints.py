"""The points of the detectors' keypoint sets on the body (`observation.keypoint_sets` names them)."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.observation.keypoint_sets import JOINT_NAMES, KEYPOINT_SETS, SURFACE_NAMES
from diffopt.observation.observation import Observation

LANDMARK_NAMES: tuple[str, ...] = tuple(f"joint:{name}" for name in JOINT_NAMES) + SURFACE_NAMES
FOOT_LANDMARKS: dict[str, tuple[str, str]] = {
    "left": ("left_heel", "left_big_toe"),
    "right": ("right_heel", "right_big_toe"),
}
"""The two points by which a foot touches the floor."""
FOOT_POINTS: list[int] = [LANDMARK_NAMES.index(name) for points in FOOT_LANDMARKS.values() for name in points]
"""Their rows among the landmarks: left heel, left toe, right heel, right toe."""


def keypoint_regressor(keypoint_set: str) -> Float[Tensor, "K 47"]:
    """The keypoints of a detector as means of the body's landmarks: the paper's W (eq. 10), on what `landmarks` leaves.

    Args:
        keypoint_set: a key of `KEYPOINT_SETS`.

    Returns:
        Weights over the landmarks; a row of zeros where the body has no such point.

    Raises:
        ValueError: the set is unknown.
    """
    if keypoint_set not in KEYPOINT_SETS:
        raise ValueError(f"Unknown keypoint set '{keypoint_set}'; known are {', '.join(sorted(KEYPOINT_SETS))}.")
    keypoints = KEYPOINT_SETS[keypoint_set]
    regressor = torch.zeros(len(keypoints), len(LANDMARK_NAMES))
    for row, names in enumerate(keypoints):
        for name in names:
            regressor[row, LANDMARK_NAMES.index(name)] = 1.0 / len(names)
    return regressor


class Keypoints(NamedTuple):
    """Detections that can be compared with a body."""

    keypoints_px: Float[Tensor, "T K 2"]
    confidence: Float[Tensor, "T K"]
    """0 where the detector was unsure or the body has no such point."""
    regressor: Float[Tensor, "K 47"]
    """Keypoints as means of the body's landmarks."""


def confident_keypoints(observation: Observation, min_confidence: float) -> Keypoints:
    """The keypoints of an observation; those trusted less than `min_confidence` have confidence 0."""
    regressor = keypoint_regressor(observation.keypoint_set)
    seen = torch.as_tensor(observation.frame_valid)
    confidence = torch.as_tensor(observation.confidence).float() * (regressor.sum(dim=1) > 0)
    confidence = torch.where(confidence >= min_confidence, confidence, 0.0) * seen[:, None]
    return Keypoints(torch.as_tensor(observation.keypoints_px).float(), confidence, regressor)


def mirrored_rows(keypoint_set: str) -> list[int]:
    """For each keypoint of a detector the one on the body's other side; itself where there is none."""
    names = KEYPOINT_SETS[keypoint_set]

    def other(row: int) -> int:
        name = names[row][0] if len(names[row]) == 1 else ""
        mirrored = name.replace("left_", "right_") if "left_" in name else name.replace("right_", "left_")
        return names.index((mirrored,)) if (mirrored,) in names else row

    return [other(row) for row in range(len(names))]
