"""What the pictures draw: a result with its body, and the truth and the detections where they are known."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.transform import Rotation

from diffopt.body.model import BodyModel
from diffopt.errors import DiffoptError
from diffopt.motion.motion import Motion
from diffopt.observation.observation import Observation
from diffopt.result.result import Result
from diffopt.show.raster import View

_FRAMES_AT_ONCE = 8
"""The mesh of a long clip does not fit into memory."""


@dataclass(frozen=True)
class Scene:
    """A result and what it is shown with.

    Raises:
        DiffoptError: the observation has another number of frames than the result.
    """

    result: Result
    body: BodyModel
    observation: Observation | None = None

    def __post_init__(self) -> None:
        if self.observation is not None and self.observation.num_frames != self.result.num_frames:
            raise DiffoptError(
                f"Observation '{self.observation.name}' has {self.observation.num_frames} frames but the result has "
                f"{self.result.num_frames}; expected the observation that the result was fitted to; give that one."
            )

    @property
    def root(self) -> Float[ndarray, "T 3"]:
        """The pelvis in the world, metres."""
        return self.result.joints[:, 0].astype(np.float64)

    @property
    def seconds(self) -> Float[ndarray, "T"]:
        """The time of each frame."""
        return np.arange(self.result.num_frames) / self.result.fps

    def view(self, frame: int) -> View:
        """The filming camera, at the size of the video."""
        result = self.result
        width, height = result.image_size_px.tolist()
        return View(
            rotation_w2c=result.rotation_w2c[frame].astype(np.float64),
            translation_w2c=result.translation_w2c[frame].astype(np.float64),
            focal_px=float(result.focal_px[frame]),
            center_px=result.center_px[frame].astype(np.float64),
            size_px=(width, height),
        )

    def meshes(self) -> Iterator[Float[ndarray, "V 3"]]:
        """The body's vertices in the world, frame by frame, metres."""
        result = self.result
        betas = torch.as_tensor(result.betas)
        for start in range(0, result.num_frames, _FRAMES_AT_ONCE):
            span = slice(start, start + _FRAMES_AT_ONCE)
            motion = Motion.from_axis_angle(
                torch.as_tensor(result.body_pose[span]),
                torch.as_tensor(result.global_orient[span]),
                torch.as_tensor(result.transl[span]),
            )
            with torch.no_grad():
                vertices = self.body.vertices(motion.body_pose, motion.global_orient, motion.transl, betas)
            yield from vertices.double().numpy()

    @property
    def low_trust(self) -> list[tuple[int, int]]:
        """Spans of frames, [start, stop), that the fit does not vouch for; none where its diagnostics do not say."""
        try:
            return [(int(start), int(stop)) for start, stop in self.result.diagnostics["low_trust"]]
        except (KeyError, TypeError, ValueError):
            return []

    @cached_property
    def truth(self) -> "Truth | None":
        """The ground truth, laid over the result; None where it is not known."""
        known = self.observation
        if known is None or known.truth_body_pose is None or known.truth_global_orient is None:
            return None
        motion = Motion.from_axis_angle(
            torch.as_tensor(known.truth_body_pose),
            torch.as_tensor(known.truth_global_orient),
            torch.as_tensor(known.truth_transl),
        )
        with torch.no_grad():
            joints = self.body.joints(
                motion.body_pose, motion.global_orient, motion.transl, torch.as_tensor(known.truth_betas)
            )
        joints = joints.double().numpy()
        rotation, shift = heading_alignment(joints, self.result.joints.astype(np.float64))
        camera = None
        if known.truth_rotation_w2c is not None and known.truth_translation_w2c is not None:
            camera = -np.einsum("tji,tj->ti", known.truth_rotation_w2c, known.truth_translation_w2c)
            camera = camera.astype(np.float64) @ rotation.T + shift
        return Truth(joints @ rotation.T + shift, camera)


@dataclass(frozen=True)
class Truth:
    """Ground truth in the result's world, metres.

    No video tells where north or the origin is: the truth is turned about the vertical and moved over the floor so
    that it lies best on the result over the whole clip. Heights are left as they are.
    """

    joints: Float[ndarray, "T 24 3"]
    camera: Float[ndarray, "T 3"] | None
    """Where the camera stood."""


def heading_alignment(
    source: Float[ndarray, "T J 3"], target: Float[ndarray, "T J 3"]
) -> tuple[Float[ndarray, "3 3"], Float[ndarray, "3"]]:
    """The turn about the vertical and the horizontal shift that lay `source` best on `target` (least squares).

    Returns:
        R and t with target ~ R source + t; t has no vertical part.
    """
    # The floor as the complex plane z + ix: a turn about y by an angle is a product with exp(i angle).
    start = source[..., 2] + 1j * source[..., 0]
    end = target[..., 2] + 1j * target[..., 0]
    turn = np.sum(np.conj(start - start.mean()) * (end - end.mean()))
    turn = turn / np.abs(turn) if np.abs(turn) > 1e-12 else 1.0 + 0j
    shift = end.mean() - turn * start.mean()
    return Rotation.from_rotvec([0.0, np.angle(turn), 0.0]).as_matrix(), np.array([shift.imag, 0.0, shift.real])
