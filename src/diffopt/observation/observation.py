"""What a fit starts from: the initial body, the 2D keypoints and the given camera of one sequence, in one checked file.

The file's page is docs/formats.md; the names of the fields are fixed, since other tools write them.
"""

import json
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy import ndarray

from diffopt.errors import DiffoptError
from diffopt.observation.keypoint_sets import KEYPOINT_SETS
from diffopt.observation.schema import Field, check_fields, read_npz, write_npz

SCHEMA = "diffopt/observation/1"

FIELDS: dict[str, Field] = {
    "name": Field("text"),
    "fps": Field("float", positive=True),
    "image_size_px": Field("int", (2,), positive=True),
    "keypoint_set": Field("text", choices=tuple(KEYPOINT_SETS)),
    "keypoints_px": Field("float", ("T", "K", 2), nan_allowed=True),
    "confidence": Field("float", ("T", "K")),
    "frame_valid": Field("bool", ("T",)),
    "body_model": Field("text", choices=("free", "smpl")),
    "body_pose": Field("float", ("T", 23, 3)),
    "global_orient_c": Field("float", ("T", 3)),
    "transl_c": Field("float", ("T", 3)),
    "betas": Field("float", (10,)),
    "rotation_w2c": Field("float", ("T", 3, 3), rotation=True),
    "translation_w2c": Field("float", ("T", 3)),
    "focal_px": Field("float", ("T",), positive=True),
    "center_px": Field("float", ("T", 2)),
    "camera_scale": Field("text", choices=("unknown", "metric")),
    "camera_trust": Field("text", choices=("estimated", "known", "static")),
    "gravity_w": Field("float", (3,), optional=True),
    "height_m": Field("float", positive=True, optional=True),
    "truth_body_pose": Field("float", ("T", 23, 3), optional=True),
    "truth_global_orient": Field("float", ("T", 3), optional=True),
    "truth_transl": Field("float", ("T", 3), optional=True),
    "truth_betas": Field("float", (10,), optional=True),
    "truth_rotation_w2c": Field("float", ("T", 3, 3), optional=True, rotation=True),
    "truth_translation_w2c": Field("float", ("T", 3), optional=True),
    "truth_focal_px": Field("float", ("T",), optional=True, positive=True),
    "provenance": Field("text"),
}
_TRUTH_MOTION = ("truth_body_pose", "truth_global_orient", "truth_transl", "truth_betas")
_TRUTH_CAMERA = ("truth_rotation_w2c", "truth_translation_w2c", "truth_focal_px")
_HEIGHT_RANGE_M = (0.4, 2.6)
"""Toddlers to the tallest man on record: outside it the unit is wrong, not the person."""


@dataclass(frozen=True, eq=False)
class Observation:
    """One person in one video, as the tools before diffopt saw them; the arrays' shapes are in `FIELDS`.

    Checked when it is made: whatever gets past the constructor can be fitted. Frames in which the person was not seen
    carry plausible numbers all the same (interpolated or repeated) and `frame_valid` False.
    """

    name: str
    fps: float
    image_size_px: ndarray
    """Width, height."""
    keypoint_set: str
    """A key of `keypoint_sets.KEYPOINT_SETS`."""
    keypoints_px: ndarray
    """Detections, pixels; NaN only where `confidence` is 0."""
    confidence: ndarray
    """0 to 1."""
    frame_valid: ndarray
    """False where the person was not seen."""
    body_model: str
    """`free` or `smpl`: the body that `betas` belong to."""
    body_pose: ndarray
    """Initial articulation, axis-angle, radians."""
    global_orient_c: ndarray
    """Initial root orientation in the camera frame, axis-angle, radians."""
    transl_c: ndarray
    """Initial root translation in the camera frame as smplx's `transl` (the pelvis is rest pelvis + this), metres."""
    betas: ndarray
    rotation_w2c: ndarray
    """The given camera, world-to-camera, in a world of its own."""
    translation_w2c: ndarray
    """In the given camera's scale; metres if `camera_scale` is `metric`."""
    focal_px: ndarray
    center_px: ndarray
    camera_scale: str
    """`unknown` or `metric`."""
    camera_trust: str = "estimated"
    """`estimated`, `known` (held exactly) or `static` (a tripod)."""
    gravity_w: ndarray | None = None
    """Known down direction in the given camera's world; of length 1 once here, whatever its length in the file."""
    height_m: float | None = None
    """Known body height."""
    truth_body_pose: ndarray | None = None
    """Ground truth: motion in the world, y up, metres and radians."""
    truth_global_orient: ndarray | None = None
    truth_transl: ndarray | None = None
    truth_betas: ndarray | None = None
    truth_rotation_w2c: ndarray | None = None
    """Ground truth: the camera in the world of the true motion."""
    truth_translation_w2c: ndarray | None = None
    truth_focal_px: ndarray | None = None
    provenance: str = "{}"
    """JSON: which tool made which part, versions, settings."""

    def __post_init__(self) -> None:
        where = f"Observation '{self.name}'"
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in check_fields(where, FIELDS, values).items():
            object.__setattr__(self, name, value)
        _check_frames(where, self.frame_valid)
        _check_keypoints(where, self)
        _check_truth(where, self)
        _check_provenance(where, self.provenance)
        if self.gravity_w is not None:
            object.__setattr__(self, "gravity_w", _unit_gravity(where, self.gravity_w))
        if self.height_m is not None and not _HEIGHT_RANGE_M[0] <= self.height_m <= _HEIGHT_RANGE_M[1]:
            raise DiffoptError(
                f"{where}: 'height_m' is {self.height_m:g}; expected a body height between {_HEIGHT_RANGE_M[0]} and "
                f"{_HEIGHT_RANGE_M[1]} metres; convert it to metres."
            )

    @property
    def num_frames(self) -> int:
        return len(self.frame_valid)

    @property
    def has_truth(self) -> bool:
        """Whether the true motion is known (the true camera may be missing)."""
        return self.truth_transl is not None

    @property
    def has_truth_camera(self) -> bool:
        return self.truth_rotation_w2c is not None

    def cut(self, start: int, stop: int) -> "Observation":
        """Frames `start` to `stop` (exclusive) as an observation of their own.

        Raises:
            DiffoptError: the span leaves the sequence or has fewer than two frames.
        """
        if not 0 <= start < stop <= self.num_frames:
            raise DiffoptError(
                f"Observation '{self.name}': cannot cut frames [{start}, {stop}) out of {self.num_frames}; expected "
                f"0 <= start < stop <= {self.num_frames}; choose a span inside the sequence."
            )
        per_frame = [name for name, field in FIELDS.items() if field.shape[:1] == ("T",)]
        cut = {name: getattr(self, name)[start:stop] for name in per_frame if getattr(self, name) is not None}
        return replace(self, **cut)

    def save(self, path: str | Path) -> Path:
        """Write the observation as an `.npz`; a file already there is replaced only once the new one is complete."""
        return write_npz(path, SCHEMA, asdict(self))

    @classmethod
    def load(cls, path: str | Path) -> "Observation":
        """Read and check an observation.

        Raises:
            DiffoptError: one sentence with the file, the field, what was found, what was expected and how to mend it.
        """
        values = read_npz(path, SCHEMA, FIELDS)
        for field in fields(cls):
            if field.default is not MISSING:
                values.setdefault(field.name, field.default)
        checked = check_fields(str(path), FIELDS, values)
        try:
            return cls(**checked)
        except DiffoptError as error:
            raise DiffoptError(f"{path}: {error}") from error


def _check_frames(where: str, frame_valid: ndarray) -> None:
    if len(frame_valid) < 2:
        raise DiffoptError(
            f"{where}: 'frame_valid' covers {len(frame_valid)} frame(s); expected at least 2, since a motion is what "
            "changes between frames; give a longer span of the video."
        )
    if not frame_valid.any():
        raise DiffoptError(
            f"{where}: 'frame_valid' is False in all {len(frame_valid)} frames; expected the person in at least one; "
            "check the detector's output or choose another span."
        )


def _check_keypoints(where: str, observation: Observation) -> None:
    expected = len(KEYPOINT_SETS[observation.keypoint_set])
    found = observation.confidence.shape[1]
    if found != expected:
        raise DiffoptError(
            f"{where}: 'keypoints_px' has {found} keypoints per frame; expected {expected} for keypoint_set "
            f"'{observation.keypoint_set}'; name the set that the detector wrote ({', '.join(KEYPOINT_SETS)})."
        )
    confidence = observation.confidence
    outside = (confidence < 0) | (confidence > 1)
    if outside.any():
        frame, keypoint = (int(index) for index in np.argwhere(outside)[0])
        raise DiffoptError(
            f"{where}: 'confidence' is {confidence[frame, keypoint]:g} at frame {frame}, keypoint {keypoint}; expected "
            "0 to 1; rescale the detector's scores."
        )
    unknown = ~np.isfinite(observation.keypoints_px).all(axis=-1) & (confidence > 0)
    if unknown.any():
        frame, keypoint = (int(index) for index in np.argwhere(unknown)[0])
        raise DiffoptError(
            f"{where}: 'keypoints_px' is not finite at frame {frame}, keypoint {keypoint} although its confidence is "
            f"{confidence[frame, keypoint]:g}; expected pixels wherever confidence is above 0; set the confidence of "
            "missing keypoints to 0."
        )


def _check_truth(where: str, observation: Observation) -> None:
    for group in (_TRUTH_MOTION, _TRUTH_CAMERA):
        missing = [name for name in group if getattr(observation, name) is None]
        if missing and len(missing) < len(group):
            present = [name for name in group if name not in missing]
            raise DiffoptError(
                f"{where}: '{missing[0]}' is missing although '{present[0]}' is given; expected all of "
                f"{', '.join(group)} or none; add what is missing or leave the others out."
            )


def _check_provenance(where: str, provenance: str) -> None:
    try:
        parsed = json.loads(provenance)
    except json.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict):
        raise DiffoptError(
            f"{where}: 'provenance' is '{provenance[:40]}'; expected a JSON object such as {{\"camera\": \"DPVO\"}}; "
            "write it with json.dumps."
        )


def _unit_gravity(where: str, gravity_w: ndarray) -> ndarray:
    length = np.linalg.norm(gravity_w)
    if length < 1e-6:
        raise DiffoptError(f"{where}: 'gravity_w' has length 0; expected a direction; leave it out if it is not known.")
    return (gravity_w / length).astype(np.float32)
