"""OpenPose's and AlphaPose's JSON keypoints.

Convention: pixels of the full frame, (x, y, score), x right and y down; (0, 0, 0) is a point that was not found.
OpenPose: a folder with one `*_keypoints.json` per frame, BODY_25 (flat 75 numbers, or 25 x 3 as SLAHMR stores them).
AlphaPose: one list with `image_id` and flat COCO-17 (51 numbers) or Halpe-26, whose first 17 are COCO's. The number in
the file's or the image's name is the frame's, counted from the first one's.
"""

import re
from typing import Any

import numpy as np

from diffopt.errors import DiffoptError
from diffopt.formats.containers import Folder
from diffopt.formats.parts import Contents, Detections


def matches(content: Any) -> bool:
    """A folder of OpenPose's files, or AlphaPose's list."""
    if isinstance(content, Folder):
        return all(isinstance(entry, dict) and "people" in entry for entry in content.files.values())
    return (
        isinstance(content, list)
        and len(content) > 0
        and all(isinstance(entry, dict) and {"image_id", "keypoints"} <= entry.keys() for entry in content)
    )


def parse(content: Any) -> Contents:
    """Detections of all people in all frames."""
    if isinstance(content, Folder):
        rows = [
            (name, person["pose_keypoints_2d"]) for name, entry in content.files.items() for person in entry["people"]
        ]
        numbers = _numbers(list(content.files))
        keypoint_set, count = "openpose25", 25
    else:
        rows = [(str(entry["image_id"]), entry["keypoints"]) for entry in content]
        numbers = _numbers(sorted({name for name, _ in rows}))
        keypoint_set, count = "coco17", 17
    points = []
    for name, values in rows:
        table = np.asarray(values, np.float64).reshape(-1, 3)
        if len(table) < count or (count == 25 and len(table) != 25):
            raise DiffoptError(
                f"{name}: {len(table)} keypoints; expected {count} ({keypoint_set}); run OpenPose with BODY_25 or "
                "AlphaPose with a COCO or Halpe-26 model."
            )
        points.append(table[:count])
    if not points:
        raise DiffoptError("no keypoints of anyone; expected detections; run the detector on the right video.")
    stacked = np.stack(points)
    if stacked[..., 2].max() > 1:  # AlphaPose's scores are heat map heights, now and then a little above 1
        stacked[..., 2] = np.clip(stacked[..., 2], 0, 1)
    frames = np.asarray([numbers[name] for name, _ in rows])
    return Contents(detections=Detections(keypoint_set, frames, stacked), num_frames=max(numbers.values()) + 1)


def _numbers(names: list[str]) -> dict[str, int]:
    """Frame numbers from the last number in each name; the first file's is 0."""
    found = {name: re.findall(r"\d+", name) for name in names}
    if not all(found.values()):
        return {name: row for row, name in enumerate(names)}
    numbers = {name: int(digits[-1]) for name, digits in found.items()}
    first = min(numbers.values())
    return {name: number - first for name, number in numbers.items()}
