"""The 2D that the files hold: what the body is checked against, and what of it becomes the observation's keypoints."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from diffopt.body.keypoints import keypoint_regressor
from diffopt.body.model import BodyModel
from diffopt.errors import DiffoptError
from diffopt.formats.check import check, tolerance
from diffopt.formats.parts import Contents, Detections, Lens, Person
from diffopt.formats.placement import Placed
from diffopt.formats.view import MAX_FRAMES, MAX_FRAMES_OF_MESH, View, landmarks_in_image, match, spread_indices

PROJECTED_CONFIDENCE = 0.5
"""Of keypoints that are only the projected initial body, where no file has detections."""


@dataclass(frozen=True)
class Source:
    """One file, read."""

    path: str
    format: str
    contents: Contents


@dataclass(frozen=True)
class Settings:
    """What the files do not say."""

    fps: float
    image_size_px: tuple[int, int]
    name: str
    notes: dict[str, Any]


def at_frames(lens: Lens, frames: ndarray) -> Lens:
    rows = np.clip(frames, 0, len(lens.focal_px) - 1)
    return Lens(lens.focal_px[rows], lens.center_px[rows])


def check_all(
    sources: list[Source],
    source: Source,
    person: Person,
    placed: Placed,
    lens: Lens,
    model: BodyModel,
    settings: Settings,
    rotation_w2c: Float[ndarray, "N 3 3"] | None,
    translation_w2c: Float[ndarray, "N 3"] | None,
    notes: dict[str, Any],
) -> None:
    """The body against the file's own points or boxes, and against every file of detections; notes what was found."""
    targets: list[tuple[str, str, ndarray | None, Detections | None]] = []
    if person.keypoints is not None:
        targets.append((source.path, "the file's own keypoints", person.boxes_px, person.keypoints))
    elif person.boxes_px is not None:
        targets.append((source.path, "the file's own boxes", person.boxes_px, None))
    for one in sources:
        if one.contents.detections is not None:
            targets.append(
                (source.path, f"the keypoints of {Path(one.path).name}", person.boxes_px, one.contents.detections)
            )
        if one.format == source.format and one.contents.boxes_of_tracks:
            boxes = _boxes_of(person.frames, one.contents.boxes_of_tracks)
            if boxes is not None:
                targets.append((source.path, f"the boxes of {Path(one.path).name}", boxes, None))
    found, imprecise = {}, []
    for where, what, boxes, detections in targets:
        near = np.arange(len(placed.frames))
        if detections is not None:
            near = np.flatnonzero(np.isin(placed.frames, detections.frames))
        if not len(near):
            raise DiffoptError(
                f"{where}: {what} have no frame in common with the person's (frames {placed.frames[0]} to "
                f"{placed.frames[-1]}); expected both of the same video; give files of one video."
            )
        rows = near[spread_indices(len(near), MAX_FRAMES_OF_MESH if detections is None else MAX_FRAMES)]
        view = View(
            bodies=placed[rows],
            lens=at_frames(lens, placed.frames[rows]),
            image_size_px=settings.image_size_px,
            family=person.body.family,
            position=person.body.position[rows],
            position_is_transl=person.body.anchor == "transl",
            boxes_px=None if boxes is None else boxes[rows],
            detections=detections,
            rotation_w2c=None if rotation_w2c is None else rotation_w2c[rows],
            translation_w2c=None if translation_w2c is None else translation_w2c[rows],
        )
        found[what] = round(check(view, model, where, what), 4)
        if found[what] > tolerance(view):
            imprecise.append(f"{what} ({found[what]:.0%} of the person's size away)")
    notes["check"] = found or "no 2D in the files to check against"
    if imprecise:
        notes["imprecise"] = f"the body is far from {', '.join(imprecise)}, but no other convention fits"


def _boxes_of(frames: ndarray, tracks: tuple[tuple[ndarray, ndarray], ...]) -> ndarray | None:
    """The boxes of the track that has all of the person's frames, if there is just one."""
    fitting = [(own, boxes) for own, boxes in tracks if np.isin(frames, own).all()]
    if len(fitting) != 1:
        return None
    own, boxes = fitting[0]
    return boxes[np.searchsorted(own, frames)]


def keypoints_of(
    sources: list[Source], person: Person, filled: Placed, lens: Lens, model: BodyModel, notes: dict[str, Any]
) -> tuple[str, Float[ndarray, "T K 3"]]:
    """Detections that belong to the person; the projected body where no file has any."""
    detections = next((one.contents.detections for one in sources if one.contents.detections is not None), None)
    if detections is None and person.keypoints_are_detections:
        detections = person.keypoints
    keypoint_set = detections.keypoint_set if detections else "coco17"
    projected = landmarks_in_image(filled, lens, keypoint_set, model)
    known = keypoint_regressor(keypoint_set).sum(dim=1).numpy() > 0
    if detections is not None:
        return keypoint_set, match(projected, known, filled.frames, detections)
    notes["keypoints"] = "no detections in the files; the initial body's projection stands in for them"
    seen = np.isin(filled.frames, person.frames)[:, None] & known
    return keypoint_set, np.concatenate([projected, PROJECTED_CONFIDENCE * seen[..., None]], axis=-1)
