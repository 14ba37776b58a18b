"""The losses of one update, each computed only when it is asked for, on one window of the clip."""

from dataclasses import dataclass
from functools import cached_property

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from diffopt.body.keypoints import FOOT_POINTS
from diffopt.body.model import BodyModel
from diffopt.body.skeleton import BODY_JOINTS
from diffopt.device import rows
from diffopt.fitting.batch import SequenceBatch
from diffopt.fitting.options import LossScales
from diffopt.fitting.start import Start
from diffopt.geometry.cameras import project
from diffopt.losses.guidance import Guidance, GuidanceTarget, guidance_loss, guidance_target
from diffopt.losses.pose_prior import pose_prior_loss
from diffopt.losses.reprojection import reprojection_loss
from diffopt.losses.terms import (
    acceleration_loss,
    correction_roughness_loss,
    correction_size_loss,
    floor_loss,
    foot_sliding_loss,
)
from diffopt.losses.warmup import articulation_loss, warmup_loss
from diffopt.motion.correction import CameraCorrection
from diffopt.motion.field import MotionField
from diffopt.motion.free import FreeMotion
from diffopt.motion.local_field import LocalField
from diffopt.motion.motion import Motion
from diffopt.prior.interface import GuidingPrior
from diffopt.prior.pose_prior import PosePrior


@dataclass
class Objective:
    """One step's view of a fit. Each loss is a property named as its weight in `LossWeights`.

    What several losses need (the field's motion, its landmarks) is computed once.
    """

    field: MotionField | LocalField | FreeMotion
    start: Start
    correction: CameraCorrection
    body: BodyModel
    prior: GuidingPrior | None
    pose_network: PosePrior | None
    guidance: Guidance
    scales: LossScales
    batch: SequenceBatch
    window: slice
    """The frames that this step looks at."""
    scale_px: Float[Tensor, "N"]
    """Residual that costs half of L_2D's ceiling, pixels, in each frame of the window."""
    progress: float
    """How far the stage is, 0 to 1."""
    generator: torch.Generator
    """Says which windows the prior looks at, and their noise."""
    target: GuidanceTarget | None
    """What these windows are drawn to, if the prior was asked in a step before."""
    sole_heights: Float[Tensor, "4"]
    """Of the body's `FOOT_POINTS` over the ground that they stand on, metres."""
    guided: bool
    """Whether `diffusion` will be asked for: the field is then read once for the pixels and the prior together."""

    @property
    def _guiding_prior(self) -> GuidingPrior:
        if self.prior is None:
            raise ValueError("A loss `diffusion` needs a prior; set `prior.path` or the loss's weight to 0.")
        return self.prior

    @cached_property
    def _prior_phases(self) -> Float[Tensor, "B N"]:
        return prior_phases(self.batch.duration_s, self._guiding_prior, self.guidance.windows, self.generator)

    @cached_property
    def _read(self) -> Motion:
        """The field at the frames of the window, then at the prior's phases if they are asked for."""
        frames = torch.linspace(0, 1, self.batch.num_frames, device=self.batch.trust.device)[self.window]
        return self.field(torch.cat([frames, rearrange(self._prior_phases, "b n -> (b n)")]) if self.guided else frames)

    @cached_property
    def _read_landmarks(self) -> Float[Tensor, "M 47 3"]:
        motion = self._read
        return self.body.landmarks(motion.body_pose, motion.global_orient, motion.transl, self.batch.betas)

    @property
    def _num_frames(self) -> int:
        return self.window.stop - self.window.start

    @cached_property
    def _sole_points(self) -> Float[Tensor, "N 4 3"]:
        return self.landmarks[:, rows(FOOT_POINTS, self.landmarks.device)]

    @cached_property
    def motion(self) -> Motion:
        return self._read[: self._num_frames]

    @property
    def landmarks(self) -> Float[Tensor, "N 47 3"]:
        return self._read_landmarks[: self._num_frames]

    @cached_property
    def initial(self) -> Motion:
        return self.start.motion[self.window]

    @property
    def warmup(self) -> Float[Tensor, ""]:
        return warmup_loss(self.motion, self.initial, self.batch.trust[self.window])

    @property
    def articulation(self) -> Float[Tensor, ""]:
        return articulation_loss(self.motion.body_pose, self.initial.body_pose, self.batch.trust[self.window])

    @property
    def pose_prior(self) -> Float[Tensor, ""]:
        if self.pose_network is None:
            raise ValueError("A loss `pose_prior` needs its network; set `fit.pose_prior` or the loss's weight to 0.")
        return pose_prior_loss(self.pose_network, self.motion.body_pose)

    @property
    def reprojection(self) -> Float[Tensor, ""]:
        """L_2D: landmarks to keypoints (eq. 10), to pixels of the corrected cameras (eq. 9), to a distance (eq. 8)."""
        cameras = self.correction(self.start.cameras, self.window)
        joints_px = project(
            self.batch.regressor @ self.landmarks,
            cameras.rotation_w2c,
            cameras.translation_w2c,
            cameras.focal_px,
            cameras.center_px,
        )
        keypoints, confidence = self.batch.keypoints_px[self.window], self.batch.confidence[self.window]
        return reprojection_loss(joints_px, keypoints, confidence, self.scale_px[:, None])

    @property
    def foot_sliding(self) -> Float[Tensor, ""]:
        return foot_sliding_loss(
            self._sole_points, self.batch.fps, self.scales.sliding_height_m, self.scales.sliding_m_s
        )

    @property
    def floor(self) -> Float[Tensor, ""]:
        skin = torch.zeros(len(FOOT_POINTS), 3, device=self.landmarks.device)
        skin[:, 1] = self.sole_heights
        soles = self._sole_points - skin
        return floor_loss(soles, self.batch.fps, self.scales.floor_height_m, self.scales.floor_m_s)

    @property
    def acceleration(self) -> Float[Tensor, ""]:
        return acceleration_loss(self.landmarks[:, :BODY_JOINTS], self.batch.fps, self.scales.acceleration_m_s2)

    @property
    def correction_size(self) -> Float[Tensor, ""]:
        return correction_size_loss(self.correction, self.scales.rotation, self.scales.translation_m, self.scales.ratio)

    @property
    def correction_roughness(self) -> Float[Tensor, ""]:
        return correction_roughness_loss(
            self.correction,
            self.batch.fps,
            self.scales.rotation_per_s2,
            self.scales.translation_m_s2,
            self.scales.ratio_per_s2,
        )

    @property
    def diffusion(self) -> Float[Tensor, ""]:
        """L_Diff on windows of the field, read at the prior's own rate wherever they fall between the frames."""
        prior = self._guiding_prior
        rotations = self._read[self._num_frames :].body_rotations()
        joints = self._read_landmarks[self._num_frames :, :BODY_JOINTS]
        windows = [rearrange(each, "(b n) ... -> b n ...", b=len(self._prior_phases)) for each in (rotations, joints)]
        features = prior.features(*windows)
        if self.target is None:
            self.target = guidance_target(prior, self.guidance, features.detach(), self.progress, self.generator)
        return guidance_loss(prior, self.guidance, features, self.target)


def prior_phases(
    duration_s: float, prior: GuidingPrior, windows: int, generator: torch.Generator
) -> Float[Tensor, "B N"]:
    """Phases of windows of the clip at the prior's rate: as long as the prior knows, or the whole clip if shorter.

    Windows start at random times between frames, so that over many steps all of the field is looked at.

    Args:
        duration_s: length of the clip, seconds.
        prior: gives its rate and its longest window.
        windows: B; 1 if one window shows most of the clip.
        generator: source of randomness, on the device of the result.
    """
    # One frame more than features: velocities are differences.
    frames = min(prior.window + 1, int(duration_s * prior.fps) + 1)
    slack = duration_s - (frames - 1) / prior.fps
    count = windows if slack > 0.5 * prior.window / prior.fps else 1
    starts = slack * torch.rand(count, generator=generator, device=generator.device)
    times = starts[:, None] + torch.arange(frames, device=generator.device) / prior.fps
    return (times / duration_s).clamp(0, 1)
