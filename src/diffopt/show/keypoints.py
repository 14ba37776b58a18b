"""2D keypoints as a stick figure, whatever detector they come from."""

import cv2
import numpy as np
from jaxtyping import Float

from diffopt.observation.keypoint_sets import KEYPOINT_SETS
from diffopt.show.palette import INK, LEFT, RIGHT, rgb_bytes
from diffopt.show.raster import Image

_SEEN = 0.3
"""Keypoints of less confidence than this are not drawn."""
_LIMBS = (
    ("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "hand"), ("shoulder", "hip"), ("hip", "knee"),
    ("knee", "ankle"), ("ankle", "heel"), ("ankle", "foot"), ("heel", "big_toe"), ("ankle", "big_toe"),
    ("eye", "ear"),
)  # fmt: skip
_MIDDLE = (
    ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"), ("nose", "left_eye"), ("nose", "right_eye"),
    ("pelvis", "spine1"), ("spine1", "spine2"), ("spine2", "spine3"), ("spine3", "neck"), ("neck", "head"),
)  # fmt: skip


def bones(keypoint_set: str) -> list[tuple[int, int]]:
    """Pairs of keypoints to join by a line."""
    index = {
        landmarks[0].removeprefix("joint:"): keypoint
        for keypoint, landmarks in enumerate(KEYPOINT_SETS[keypoint_set])
        if len(landmarks) == 1
    }
    sides = [(f"{side}_{start}", f"{side}_{end}") for side in ("left", "right") for start, end in _LIMBS]
    return [(index[start], index[end]) for start, end in (*sides, *_MIDDLE) if start in index and end in index]


def draw_keypoints(
    image: Image, keypoints_px: Float[np.ndarray, "K 2"], confidence: Float[np.ndarray, "K"], keypoint_set: str
) -> None:
    """Draw the keypoints into a picture: the left side of the body, the right side and the middle in three colours.

    Args:
        image: drawn into.
        keypoints_px: pixels of this picture.
        confidence: 0 to 1; what is hardly seen is left out.
        keypoint_set: a key of `KEYPOINT_SETS`.
    """
    names = [landmarks[0].removeprefix("joint:") if landmarks else "" for landmarks in KEYPOINT_SETS[keypoint_set]]
    seen = (confidence > _SEEN) & np.isfinite(keypoints_px).all(axis=-1)
    places = np.clip(np.nan_to_num(keypoints_px), -1e4, 1e4).round().astype(int).tolist()
    for start, end in bones(keypoint_set):
        if seen[start] and seen[end]:
            cv2.line(image, places[start], places[end], _color(names[start], names[end]), 2, cv2.LINE_AA)
    for place, name, visible in zip(places, names, seen, strict=True):
        if visible:
            cv2.circle(image, place, 4, _color(name, name), -1, cv2.LINE_AA)


def _color(start: str, end: str) -> tuple[int, int, int]:
    for side, color in (("left_", LEFT), ("right_", RIGHT)):
        if start.startswith(side) and end.startswith(side):
            return rgb_bytes(color)
    return rgb_bytes(INK)
