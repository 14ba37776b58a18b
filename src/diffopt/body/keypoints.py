"""The detectors' keypoint sets, and each of their points on the body.

A body has 47 landmarks: SMPL's 24 joints, then 23 points of the surface (COCO-17 and three on each foot). A detector's
keypoint is a mean of landmarks; one that the body does not have (a finger, a corner of the mouth) is left out.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.body.skeleton import JOINT_NAMES

COCO17: tuple[str, ...] = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
FEET: tuple[str, ...] = (
    "left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe", "left_heel", "right_heel",
)  # fmt: skip
SURFACE_NAMES: tuple[str, ...] = COCO17 + FEET
LANDMARK_NAMES: tuple[str, ...] = tuple(f"joint:{name}" for name in JOINT_NAMES) + SURFACE_NAMES
FOOT_LANDMARKS: dict[str, tuple[str, str]] = {
    "left": ("left_heel", "left_big_toe"),
    "right": ("right_heel", "right_big_toe"),
}
"""The two points by which a foot touches the floor."""
FOOT_POINTS: list[int] = [LANDMARK_NAMES.index(name) for points in FOOT_LANDMARKS.values() for name in points]
"""Their rows among the landmarks: left heel, left toe, right heel, right toe."""

# Each keypoint: the landmarks whose mean it is; an empty tuple where the body has no such point.
_OPENPOSE25: tuple[tuple[str, ...], ...] = (
    ("nose",), ("left_shoulder", "right_shoulder"), ("right_shoulder",), ("right_elbow",), ("right_wrist",),
    ("left_shoulder",), ("left_elbow",), ("left_wrist",), ("left_hip", "right_hip"), ("right_hip",), ("right_knee",),
    ("right_ankle",), ("left_hip",), ("left_knee",), ("left_ankle",), ("right_eye",), ("left_eye",), ("right_ear",),
    ("left_ear",), ("left_big_toe",), ("left_small_toe",), ("left_heel",), ("right_big_toe",), ("right_small_toe",),
    ("right_heel",),
)  # fmt: skip
_BLAZEPOSE33: tuple[tuple[str, ...], ...] = (
    ("nose",), (), ("left_eye",), (), (), ("right_eye",), (), ("left_ear",), ("right_ear",), (), (),
    ("left_shoulder",), ("right_shoulder",), ("left_elbow",), ("right_elbow",), ("left_wrist",), ("right_wrist",),
    (), (), (), (), (), (), ("left_hip",), ("right_hip",), ("left_knee",), ("right_knee",), ("left_ankle",),
    ("right_ankle",), ("left_heel",), ("right_heel",), ("left_big_toe",), ("right_big_toe",),
)  # fmt: skip
KEYPOINT_SETS: dict[str, tuple[tuple[str, ...], ...]] = {
    "coco17": tuple((name,) for name in COCO17),
    "coco23": tuple((name,) for name in SURFACE_NAMES),
    "openpose25": _OPENPOSE25,
    "blazepose33": _BLAZEPOSE33,
    "smpl24": tuple((f"joint:{name}",) for name in JOINT_NAMES),
}


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


def mirrored_rows(keypoint_set: str) -> list[int]:
    """For each keypoint of a detector the one on the body's other side; itself where there is none."""
    names = KEYPOINT_SETS[keypoint_set]

    def other(row: int) -> int:
        name = names[row][0] if len(names[row]) == 1 else ""
        mirrored = name.replace("left_", "right_") if "left_" in name else name.replace("right_", "left_")
        return names.index((mirrored,)) if (mirrored,) in names else row

    return [other(row) for row in range(len(names))]
