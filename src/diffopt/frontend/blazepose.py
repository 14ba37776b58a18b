"""BlazePose on one picture: 33 keypoints, the same in metres about the hips, and the person's mask.

Two networks (Bazarevsky et al., 2020; Apache-2.0): one finds a person, the other reads the pose from an upright square
crop. Their files come out of the installed mediapipe package, of which nothing is imported or run.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from diffopt.errors import DiffoptError
from diffopt.frontend.network import INSTALL, Network

KEYPOINTS = 33
LEFT_RIGHT = ((1, 4), (2, 5), (3, 6), (7, 8), (9, 10), *((left, left + 1) for left in range(11, 33, 2)))
"""Pairs of keypoints that a mirror exchanges."""
Pairs = tuple[tuple[int, int], ...]
LIMBS: tuple[Pairs, Pairs] = (
    tuple(pair for pair in LEFT_RIGHT if 11 <= pair[0] < 23),
    tuple(pair for pair in LEFT_RIGHT if pair[0] >= 23),
)
"""Of those the arms', with shoulders and hands, and the legs', with hips and feet."""
CROP_PX = 256

_DETECTOR_PX = 224
_MIN_SCORE = 0.5
_ROI_MARGIN = 1.25


@dataclass(frozen=True)
class Roi:
    """An upright square about the person: where it is in the picture."""

    center_px: Float[ndarray, "2"]
    side_px: float
    roll: float
    """Of the body's axis from the picture's vertical, radians."""

    def to_image(self) -> Float[ndarray, "2 3"]:
        """Affine map from crop pixels to picture pixels."""
        turn = _rotation(self.roll) * (self.side_px / CROP_PX)
        return np.column_stack([turn, self.center_px - turn @ np.full(2, CROP_PX / 2)])


@dataclass(frozen=True)
class Pose:
    """What the landmark network says of one picture."""

    keypoints_px: Float[ndarray, "33 2"]
    visibility: Float[ndarray, "33"]
    landmarks_c: Float[ndarray, "33 3"]
    """Metres about the middle of the hips; axes of a camera that looks straight at the middle of the crop."""
    score: float
    """That there is a person in the crop, 0 to 1."""
    mask: Bool[ndarray, "H W"]
    next_roi: Roi
    """Where to look in the next frame."""
    crop_center_px: Float[ndarray, "2"]


class BlazePose:
    """The two networks, loaded once. `find` looks over the whole picture, `read` looks closely."""

    def __init__(self, model_folder: Path | None = None, threads: int = 2) -> None:
        folder = model_folder or find_models()
        self._detector = Network(folder / "pose_detection" / "pose_detection.tflite", threads)
        self._reader = Network(folder / "pose_landmark" / "pose_landmark_full.tflite", threads)
        self._anchors = _anchors()

    def find(self, picture: UInt8[ndarray, "H W 3"]) -> Roi | None:
        """The most certain person of the picture, None if there is none."""
        height, width = picture.shape[:2]
        shrink = _DETECTOR_PX / max(height, width)
        small = cv2.resize(picture, (round(width * shrink), round(height * shrink)), interpolation=cv2.INTER_AREA)
        top, left = (_DETECTOR_PX - small.shape[0]) // 2, (_DETECTOR_PX - small.shape[1]) // 2
        padded = np.zeros((_DETECTOR_PX, _DETECTOR_PX, 3), np.float32)
        padded[top : top + small.shape[0], left : left + small.shape[1]] = small / 127.5 - 1
        outputs = self._detector(padded)
        scores = _sigmoid(outputs[(1, 2254, 1)][:, 0])
        best = int(scores.argmax())
        if scores[best] < _MIN_SCORE:
            return None
        # Four points: middle of the hips, a point of the circle round the whole body, and the same for the upper body.
        points = outputs[(1, 2254, 12)][best, 4:].reshape(4, 2) + self._anchors[best] * _DETECTOR_PX
        hips, rim = (points[:2] - [left, top]) / shrink
        return _roi(hips, rim)

    def read(self, picture: UInt8[ndarray, "H W 3"], roi: Roi) -> Pose:
        """The pose inside the region."""
        to_image = roi.to_image()
        crop = cv2.warpAffine(picture, to_image, (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        outputs = self._reader(crop.astype(np.float32) / 255)
        points = outputs[(1, 195)].reshape(39, 5)
        crop_px = _refine(points[:, :2], _sigmoid(outputs[(1, 64, 64, 39)]))
        keypoints_px = crop_px @ to_image[:, :2].T + to_image[:, 2]
        landmarks = outputs[(1, 117)].reshape(39, 3)[:KEYPOINTS].astype(np.float64)
        landmarks[:, :2] = landmarks[:, :2] @ _rotation(roi.roll).T
        mask = cv2.warpAffine(_sigmoid(outputs[(1, 256, 256, 1)][..., 0]), to_image, picture.shape[1::-1])
        return Pose(
            keypoints_px=keypoints_px[:KEYPOINTS],
            visibility=_sigmoid(points[:KEYPOINTS, 3]).astype(np.float64),
            landmarks_c=landmarks,
            score=float(outputs[(1, 1)].item()),
            mask=mask > 0.5,
            next_roi=_roi(keypoints_px[KEYPOINTS], keypoints_px[KEYPOINTS + 1]),
            crop_center_px=np.asarray(roi.center_px, dtype=np.float64),
        )


def find_models() -> Path:
    """The folder with BlazePose's network files inside the installed mediapipe package, which is not imported.

    Raises:
        DiffoptError: the package is not installed, or is a version without the files.
    """
    spec = find_spec("mediapipe")
    places = [Path(place) / "modules" for place in (spec.submodule_search_locations or [])] if spec else []
    for folder in places:
        if (folder / "pose_landmark" / "pose_landmark_full.tflite").is_file():
            return folder
    found = f"mediapipe without BlazePose's files in {places[0].parent}" if places else "no mediapipe package"
    raise DiffoptError(f"Found {found}; expected BlazePose's network files of mediapipe 0.10.14; run: {INSTALL}")


def _anchors() -> Float[ndarray, "2254 2"]:
    """Centres of the detector's cells, as fractions of its input: strides 8 and 16 twice, 32 six times over."""
    layers = []
    for stride, copies in ((8, 2), (16, 2), (32, 6)):
        centers = (np.arange(_DETECTOR_PX // stride) + 0.5) * stride / _DETECTOR_PX
        grid = np.stack(np.meshgrid(centers, centers), axis=-1).reshape(-1, 2)
        layers.append(np.repeat(grid, copies, axis=0))
    return np.concatenate(layers)


def _roi(center_px: Float[ndarray, "2"], rim_px: Float[ndarray, "2"]) -> Roi:
    """The square round a circle about the hips; `rim_px` lies on it, above the hips of an upright person."""
    axis = rim_px - center_px
    return Roi(center_px, float(2 * _ROI_MARGIN * np.hypot(*axis)), float(np.arctan2(axis[0], -axis[1])))


def _rotation(angle: float) -> Float[ndarray, "2 2"]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _refine(points: Float[ndarray, "L 2"], heatmaps: Float[ndarray, "64 64 L"]) -> Float[ndarray, "L 2"]:
    """Move each point to the centre of mass of its heat map nearby (7 x 7 cells of 4 pixels), where that is certain."""
    cell, reach = 4, 3
    refined = points.astype(np.float64)
    for index, (column, row) in enumerate((points / cell).astype(int)):
        if not (0 <= column < 64 and 0 <= row < 64):
            continue
        rows = slice(max(row - reach, 0), row + reach + 1)
        columns = slice(max(column - reach, 0), column + reach + 1)
        patch = heatmaps[rows, columns, index]
        if patch.max() >= 0.5:
            y, x = np.mgrid[rows.start : rows.start + patch.shape[0], columns.start : columns.start + patch.shape[1]]
            refined[index] = cell * np.array([(patch * x).sum(), (patch * y).sum()]) / patch.sum()
    return refined


def _sigmoid(logits: ndarray) -> ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
