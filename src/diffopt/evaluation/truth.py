"""An estimate of a fit against the truth that its observation carries."""

import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.body.keypoints import FOOT_POINTS
from diffopt.body.model import BodyModel
from diffopt.evaluation.metrics import Track, score
from diffopt.geometry.cameras import Cameras
from diffopt.motion.motion import Motion
from diffopt.observation.observation import Observation


def track(
    motion: Motion, betas: Float[Tensor, "10"], body: BodyModel, cameras: Cameras | None, vertices: bool = False
) -> Track:
    """One side of a comparison.

    Args:
        motion: in the world, y up, metres.
        betas: shape of the body.
        body: the body model.
        cameras: in the same world, if they are to be compared as well.
        vertices: the mesh too, which takes memory.
    """
    landmarks = body.landmarks(motion.body_pose, motion.global_orient, motion.transl, betas)
    upright, nowhere, mean_shape = torch.eye(3).expand(len(motion), 3, 3), torch.zeros(len(motion), 3), torch.zeros(10)
    return Track(
        joints=landmarks[:, :24],
        root_rotation=motion.global_orient,
        feet=landmarks[:, FOOT_POINTS],
        vertices=body.vertices(motion.body_pose, motion.global_orient, motion.transl, betas) if vertices else None,
        local_joints=body.joints(motion.body_pose, upright, nowhere, mean_shape),
        local_vertices=body.vertices(motion.body_pose, upright, nowhere, mean_shape) if vertices else None,
        rotation_w2c=None if cameras is None else cameras.rotation_w2c,
        translation_w2c=None if cameras is None else cameras.translation_w2c,
    )


def true_motion(observation: Observation) -> Motion:
    """The true motion that an observation carries."""
    parts = (observation.truth_body_pose, observation.truth_global_orient, observation.truth_transl)
    return Motion.from_axis_angle(*(torch.as_tensor(values).float() for values in parts))


def true_cameras(observation: Observation) -> Cameras | None:
    """The true camera in the same world, where the observation carries it."""
    if not observation.has_truth_camera:
        return None
    return Cameras(
        torch.as_tensor(observation.truth_rotation_w2c).float(),
        torch.as_tensor(observation.truth_translation_w2c).float(),
        torch.as_tensor(observation.truth_focal_px).float(),
        torch.as_tensor(observation.center_px).float(),
    )


class TruthScore:
    """Scores estimates of one observation against its truth."""

    def __init__(self, observation: Observation, body: BodyModel) -> None:
        """
        Raises:
            ValueError: the observation carries no truth.
        """
        if not observation.has_truth:
            raise ValueError(f"Observation '{observation.name}' carries no truth to score against.")
        self.fps = observation.fps
        self.body = body
        self.betas = torch.as_tensor(observation.betas).float()
        self.true = track(
            true_motion(observation), torch.as_tensor(observation.truth_betas).float(), body, true_cameras(observation)
        )

    def __call__(self, motion: Motion, cameras: Cameras) -> dict[str, float]:
        """All metrics of an estimate by name."""
        compared = cameras if self.true.rotation_w2c is not None else None
        return score(track(motion, self.betas, self.body, compared), self.true, self.fps)
