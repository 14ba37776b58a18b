"""An estimate of a fit against the truth that its observation carries."""

import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.body.keypoints import FOOT_POINTS
from diffopt.body.model import BodyModel
from diffopt.data.observation import Observation
from diffopt.evaluation.metrics import Track, score
from diffopt.geometry.cameras import Cameras
from diffopt.motion.motion import Motion


def track(motion: Motion, betas: Float[Tensor, "10"], body: BodyModel, cameras: Cameras | None) -> Track:
    """One side of a comparison.

    Args:
        motion: in the world, y up, metres.
        betas: shape of the body.
        body: the body model.
        cameras: in the same world, if they are to be compared as well.
    """
    landmarks = body.landmarks(motion.body_pose, motion.global_orient, motion.transl, betas)
    upright = torch.eye(3).expand(len(motion), 3, 3)
    return Track(
        joints=landmarks[:, :24],
        root_rotation=motion.global_orient,
        feet=landmarks[:, FOOT_POINTS],
        local_joints=body.joints(motion.body_pose, upright, torch.zeros(len(motion), 3), torch.zeros(10)),
        rotation_w2c=None if cameras is None else cameras.rotation_w2c,
        translation_w2c=None if cameras is None else cameras.translation_w2c,
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
        truth = Motion.from_axis_angle(
            *(
                torch.as_tensor(values).float()
                for values in (observation.truth_body_pose, observation.truth_global_orient, observation.truth_transl)
            )
        )
        cameras = None
        if observation.has_truth_camera:
            cameras = Cameras(
                torch.as_tensor(observation.truth_rotation_w2c).float(),
                torch.as_tensor(observation.truth_translation_w2c).float(),
                torch.as_tensor(observation.truth_focal_px).float(),
                torch.as_tensor(observation.center_px).float(),
            )
        self.true = track(truth, torch.as_tensor(observation.truth_betas).float(), body, cameras)

    def __call__(self, motion: Motion, cameras: Cameras) -> dict[str, float]:
        """All metrics of an estimate by name."""
        compared = cameras if self.true.rotation_w2c is not None else None
        return score(track(motion, self.betas, self.body, compared), self.true, self.fps)
