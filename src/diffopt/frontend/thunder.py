"""MoveNet Thunder on one person: COCO's 17 keypoints, a second opinion beside BlazePose's.

Google, Apache-2.0. `scripts/convert_networks.py` makes its file.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from diffopt.frontend.blazepose import CROP_PX, Roi
from diffopt.frontend.network import ASSETS, Network

THUNDER = "movenet_thunder"
"""The network's file by name: part of the key of everything that is kept of what it read."""


class Points(NamedTuple):
    """Somebody's joints in COCO's order."""

    keypoints_px: Float[ndarray, "17 2"]
    scores: Float[ndarray, "17"]
    """0 to 1; below 0.3 it guesses."""


class Thunder:
    """The network, loaded once."""

    def __init__(self, threads: int = 2) -> None:
        self._network = Network(ASSETS / f"{THUNDER}.tflite", threads)

    def read(self, picture: UInt8[ndarray, "H W 3"], roi: Roi) -> Points:
        """The person that fills most of the region; beyond the picture's border it is black."""
        to_image = roi.to_image()
        crop = cv2.warpAffine(picture, to_image, (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        # Rows of y, x and score, in shares of the crop; unlike BlazePose it takes colours as they are, 0 to 255.
        rows = self._network(crop)[(1, 1, 17, 3)][0].astype(np.float64)
        return Points(CROP_PX * rows[:, 1::-1] @ to_image[:, :2].T + to_image[:, 2], rows[:, 2])
