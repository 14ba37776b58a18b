"""What the files of other tools have in common, once their conventions are taken off: people, detections, cameras.

Camera frame: OpenCV axes, metres. Rotations are matrices. Which frame of the video a row belongs to is `frames`.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.spatial.transform import Rotation

from diffopt.body.skeleton import BODY_JOINTS

REST_PELVIS_M: dict[str, tuple[float, float, float]] = {
    "smpl": (-0.0018, -0.2233, 0.0282),
    "smplx": (0.0031, -0.3514, 0.0120),
}
"""Where the pelvis is in the rest pose of each body family's neutral mean shape. Betas move it by up to 3 cm; the exact
place is known where the licensed body is."""


@dataclass(frozen=True)
class Body:
    """One person's SMPL parameters over N frames, in the camera frame or in a world."""

    body_pose: Float[ndarray, "N 23 3 3"]
    global_orient: Float[ndarray, "N 3 3"]
    position: Float[ndarray, "N 3"]
    """Metres; what of the body is there, `anchor` says."""
    betas: Float[ndarray, "10"]
    family: str = "smpl"
    """`smpl` (SMPL-H too: same betas) or `smplx`: whose betas and rest pose these are."""
    anchor: str = "transl"
    """`transl` (smplx's: pelvis = rest pelvis + position), `pelvis` (the joint) or `hips` (midway between the hips)."""
    own: tuple[str, Float[ndarray, "10"]] | None = None
    """Written by diffopt itself: the body's name and its betas, which replace the family's."""


@dataclass(frozen=True)
class Lens:
    """Intrinsics per row: focal length and principal point, pixels of the full frame."""

    focal_px: Float[ndarray, "N"]
    center_px: Float[ndarray, "N 2"]


@dataclass(frozen=True)
class Person:
    """One track of a body file."""

    name: str
    """The file's own number or name of the person."""
    frames: Int[ndarray, "N"]
    """Rising; gaps are frames in which the person was not seen."""
    body: Body
    """In the camera frame, or in the world if `in_world`."""
    in_world: bool = False
    """`body` is given in the world of the file's camera."""
    world: Body | None = None
    """The same body in the file's gravity-aligned world, where the file has no camera: the two together give one."""
    lens: Lens | None = None
    """What the camera-frame position was placed with; None: the file's camera."""
    depth_follows_focal: bool = False
    """The position stands for a scale in the image (a weak-perspective camera): another focal, another depth."""
    boxes_px: Float[ndarray, "N 4"] | None = None
    """Left, top, right, bottom."""
    keypoints: "Detections | None" = None
    """The file's own 2D points of this person."""
    keypoints_are_detections: bool = True
    """False: the file's own projection of its body, good for checking conventions, not as an observation."""

    def only(self, seen: ndarray) -> "Person":
        """The rows of frames in which the person is seen, of bodies in the world (SLAHMR fills in the others)."""
        rows = np.isin(self.frames, np.flatnonzero(seen))
        body = replace(
            self.body,
            body_pose=self.body.body_pose[rows],
            global_orient=self.body.global_orient[rows],
            position=self.body.position[rows],
        )
        return replace(self, frames=self.frames[rows], body=body)


@dataclass(frozen=True)
class Detections:
    """2D keypoints, whoever they belong to; several rows may be of one frame."""

    keypoint_set: str
    frames: Int[ndarray, "N"]
    points: Float[ndarray, "N K 3"]
    """x, y in pixels and the score, 0 to 1."""


@dataclass(frozen=True)
class Camera:
    """World-to-camera over the frames that the file has."""

    frames: Int[ndarray, "N"]
    rotation_w2c: Float[ndarray, "N 3 3"]
    translation_w2c: Float[ndarray, "N 3"]
    scale: str
    """`metric` or `unknown`."""
    trust: str = "estimated"
    lens: Lens | None = None
    gravity_w: Float[ndarray, "3"] | None = None


@dataclass(frozen=True)
class Contents:
    """All that one file holds."""

    people: tuple[Person, ...] = ()
    detections: Detections | None = None
    camera: Camera | None = None
    truth: Person | None = None
    """The true motion in the world of `camera`; its own keypoints are projections of the truth."""
    lens: Lens | None = None
    """Intrinsics without a camera path."""
    boxes_of_tracks: tuple[tuple[Int[ndarray, "N"], Float[ndarray, "N 4"]], ...] = ()
    """Detector's boxes of tracks, for bodies in another file of the same tool."""
    seen: dict[str, ndarray] = field(default_factory=dict)
    """Which frames each person of another file of the same tool is seen in."""
    fps: float | None = None
    image_size_px: tuple[int, int] | None = None
    num_frames: int | None = None
    notes: dict[str, str] = field(default_factory=dict)
    """What the importer assumed, for the observation's provenance."""


def matrices(rotvec: ndarray) -> Float[ndarray, "*N 3 3"]:
    """Axis-angle vectors (..., 3 J) or (..., J, 3) as matrices (..., J, 3, 3)."""
    vectors = np.asarray(rotvec, np.float64)
    vectors = vectors if vectors.shape[-1] == 3 else vectors.reshape(*vectors.shape[:-1], -1, 3)
    return Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(*vectors.shape, 3)


def proper_rotations(rotations: ndarray) -> ndarray:
    """The nearest rotations: files store float32 and network output."""
    shape = rotations.shape
    return Rotation.from_matrix(np.asarray(rotations, np.float64).reshape(-1, 3, 3)).as_matrix().reshape(shape)


def with_hands(body_pose: Float[ndarray, "N J 3 3"]) -> Float[ndarray, "N 23 3 3"]:
    """SMPL's 23 joints below the pelvis from SMPL-H's or SMPL-X's 21: the hands stay straight."""
    kept = body_pose[:, : BODY_JOINTS - 1]
    hands = body_pose[:, BODY_JOINTS - 1 : 23]
    missing = 23 - kept.shape[1] - hands.shape[1]
    return np.concatenate([kept, hands, np.tile(np.eye(3), (len(kept), missing, 1, 1))], axis=1)


def one_shape(betas: ndarray) -> Float[ndarray, "10"]:
    """One shape for the whole track: the median over frames of the first ten betas."""
    rows = np.asarray(betas, np.float64)
    rows = rows.reshape(-1, rows.shape[-1])[:, :10]
    return np.pad(np.median(rows, axis=0), (0, 10 - rows.shape[1]))


def inverse(rotation: Float[ndarray, "N 3 3"], translation: Float[ndarray, "N 3"]) -> tuple[ndarray, ndarray]:
    """Camera-to-world as world-to-camera, or the other way round."""
    turned = np.swapaxes(rotation, -1, -2)
    return turned, -(turned @ translation[..., None])[..., 0]


def constant_lens(focal_px: float, center_px: ndarray, count: int) -> Lens:
    """The same intrinsics in every row."""
    return Lens(np.full(count, float(focal_px)), np.tile(np.asarray(center_px, np.float64), (count, 1)))


def lens_of_matrices(matrices_: Float[ndarray, "N 3 3"]) -> Lens:
    """Intrinsic matrices; the focal length is the mean of both directions."""
    return Lens((matrices_[:, 0, 0] + matrices_[:, 1, 1]) / 2, matrices_[:, :2, 2].astype(np.float64))
