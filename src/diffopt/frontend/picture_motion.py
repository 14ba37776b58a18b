"""How the picture as a whole moves from look to look: somebody who stands still is expected where a pan puts them.

Corners are followed by Lucas-Kanade outside of everybody's box, and a similarity is fitted by RANSAC: rough, but cheap,
and needed long before the camera is solved.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

_SIDE_PX = 480
_CORNERS, _SPACING_PX = 200, 8
_MIN_CORNERS, _MIN_AGREEING = 12, 0.3


@dataclass
class PictureMotion:
    """Similarities from each frame that was looked at to the first one."""

    to_first: dict[int, Float[ndarray, "3 3"]] = field(default_factory=dict)

    def carry(self, box: Float[ndarray, "4"], before: int, now: int) -> Float[ndarray, "4"]:
        """Where a box of the scene in frame `before` is in frame `now`; it stays upright. Both were looked at."""
        if before not in self.to_first or now not in self.to_first:
            return box
        step = np.linalg.solve(self.to_first[now], self.to_first[before])
        center = step[:2, :2] @ (box[:2] + box[2:]) / 2 + step[:2, 2]
        half = np.sqrt(np.linalg.det(step[:2, :2])) * (box[2:] - box[:2]) / 2
        return np.concatenate([center - half, center + half])


class MotionEstimate:
    """Watches the pictures go by."""

    def __init__(self) -> None:
        self.motion = PictureMotion()
        self._before: UInt8[ndarray, "h w"] | None = None
        self._people: ndarray = np.zeros((0, 4))
        self._to_first = np.eye(3)

    def look(self, frame: int, picture: UInt8[ndarray, "H W 3"], people: Float[ndarray, "N 4"]) -> None:
        """The next picture, and the boxes of those in it, who may move as they like."""
        shrink = min(1.0, _SIDE_PX / max(picture.shape[:2]))
        gray = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), None, fx=shrink, fy=shrink)
        if self._before is not None:
            step = _similarity(self._before, gray, self._people * shrink)
            scaled = np.diag([1 / shrink, 1 / shrink, 1]) @ step @ np.diag([shrink, shrink, 1])
            self._to_first = self._to_first @ np.linalg.inv(scaled)
        self.motion.to_first[frame] = self._to_first
        self._before, self._people = gray, people


def _similarity(
    before: UInt8[ndarray, "h w"], now: UInt8[ndarray, "h w"], people: Float[ndarray, "N 4"]
) -> Float[ndarray, "3 3"]:
    """From the one picture to the other; the identity where too little is seen."""
    free = np.full(before.shape, 255, np.uint8)
    for x0, y0, x1, y1 in people.clip(0).astype(int).tolist():
        free[y0:y1, x0:x1] = 0
    corners = cv2.goodFeaturesToTrack(before, _CORNERS, 0.01, _SPACING_PX, mask=free)
    if corners is None or len(corners) < _MIN_CORNERS:
        return np.eye(3)
    there, followed, _ = cv2.calcOpticalFlowPyrLK(before, now, corners, corners.copy(), winSize=(21, 21), maxLevel=4)
    good = followed[:, 0] > 0
    if good.sum() < _MIN_CORNERS:
        return np.eye(3)
    step, agreeing = cv2.estimateAffinePartial2D(corners[good], there[good], ransacReprojThreshold=2.0)
    if step is None or agreeing.mean() < _MIN_AGREEING:
        return np.eye(3)
    return np.vstack([step, [0, 0, 1]])
