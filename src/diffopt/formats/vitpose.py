"""ViTPose keypoints: mmpose's lists and JSON, easy_ViTPose's JSON, GVHMR's `vitpose.pt`.

Convention: COCO-17, pixels of the full frame, x right and y down. mmpose and GVHMR write (x, y, score);
easy_ViTPose writes (y, x, score) and names its points (17, or 25 with neck, hip and feet). People have no identity:
the ones that belong to a body are found by where it is.
"""

from typing import Any

import numpy as np

from diffopt.errors import DiffoptError
from diffopt.formats.parts import Contents, Detections
from diffopt.observation.keypoint_sets import COCO17, SURFACE_NAMES


def matches(content: Any) -> bool:
    """Any of the five layouts of `parse`."""
    if isinstance(content, np.ndarray):
        return content.ndim == 3 and content.shape[1:] == (17, 3)
    if isinstance(content, dict):
        return "instance_info" in content or {"keypoints", "skeleton"} <= content.keys()
    if isinstance(content, list) and content:
        people = [person for frame in content for person in (frame if isinstance(frame, list) else [frame])]
        return bool(people) and all(
            isinstance(person, dict) and "keypoints" in person and "image_id" not in person for person in people
        )
    return False


def parse(content: Any) -> Contents:
    """Detections of all people in all frames."""
    if isinstance(content, np.ndarray):
        return _contents("coco17", list(range(len(content))), list(content), len(content))
    if isinstance(content, list):
        return _mmpose_list(content)
    return _mmpose_json(content) if "instance_info" in content else _easy(content)


def _mmpose_list(content: list[Any]) -> Contents:
    frames, points = [], []
    for frame, entry in enumerate(content):
        for person in entry if isinstance(entry, list) else [entry]:
            frames.append(frame)
            points.append(np.asarray(person["keypoints"], np.float64)[:17])
    return _contents("coco17", frames, points, len(content))


def _mmpose_json(content: dict[str, Any]) -> Contents:
    """mmpose 1.x: frames count from 0 or 1, scores lie apart."""
    frames, points = [], []
    entries = content["instance_info"]
    first = min((int(entry.get("frame_id", 0)) for entry in entries), default=0)
    for order, entry in enumerate(entries):
        for person in entry["instances"]:
            places = np.asarray(person["keypoints"], np.float64)[:17]
            frames.append(int(entry.get("frame_id", order + first)) - first)
            points.append(np.column_stack([places, np.asarray(person["keypoint_scores"], np.float64)[:17]]))
    return _contents("coco17", frames, points, len(entries))


def _easy(content: dict[str, Any]) -> Contents:
    names = {name: int(row) for row, name in content["skeleton"].items()}
    wanted = SURFACE_NAMES if SURFACE_NAMES[-1] in names else COCO17
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DiffoptError(
            f"the keypoints' names lack {', '.join(missing)}; expected easy_ViTPose's `coco` or `coco_25`; "
            "run it with one of these datasets."
        )
    order = [names[name] for name in wanted]
    frames, points = [], []
    for frame, people in enumerate(content["keypoints"]):
        for person in people.values():
            frames.append(frame)
            points.append(np.asarray(person, np.float64)[order][:, [1, 0, 2]])
    return _contents("coco23" if len(wanted) > 17 else "coco17", frames, points, len(content["keypoints"]))


def _contents(keypoint_set: str, frames: list[int], points: list[np.ndarray], num_frames: int) -> Contents:
    if not points:
        raise DiffoptError("no keypoints of anyone; expected detections; run the detector on the right video.")
    detections = Detections(keypoint_set, np.asarray(frames), np.stack(points).astype(np.float64))
    return Contents(detections=detections, num_frames=num_frames)
