"""A short walk through a room, with its detections and its truth."""

import numpy as np
import pytest
import torch

from diffopt.body.keypoints import keypoint_regressor
from diffopt.body.model import BodyModel, load_body
from diffopt.geometry.cameras import look_at, project
from diffopt.motion.motion import Motion
from diffopt.observation.observation import Observation
from diffopt.result.result import Result

FRAMES = 9
SIZE_PX = (160, 120)


@pytest.fixture(scope="session")
def body() -> BodyModel:
    return load_body()


@pytest.fixture(scope="session")
def walk(body) -> tuple[Result, Observation]:
    """A result that drifts away from its truth by 1 cm per frame, and the observation of the truth."""
    phase = torch.linspace(0, 1, FRAMES)
    pose = torch.zeros(FRAMES, 23, 3)
    pose[:, 0, 0], pose[:, 1, 0] = 0.5 * torch.sin(6 * phase), -0.5 * torch.sin(6 * phase)
    orient = torch.stack([0 * phase, 0.5 + phase, 0 * phase], dim=1)
    transl = torch.stack([phase, 0 * phase + 1.15, 0.5 * phase], dim=1)
    betas = torch.zeros(10)
    eye = torch.stack([0.2 + 0.5 * phase, 0 * phase + 1.5, 0 * phase + 4], dim=1)
    rotation, translation = look_at(eye, transl)
    focal_px, center_px = torch.full((FRAMES,), 150.0), torch.tensor([[79.5, 59.5]]).repeat(FRAMES, 1)
    motion = Motion.from_axis_angle(pose, orient, transl)
    landmarks = body.landmarks(motion.body_pose, motion.global_orient, transl, betas)
    keypoints = keypoint_regressor("coco17") @ landmarks
    keypoints_px = project(keypoints, rotation, translation, focal_px, center_px)
    shift = torch.stack([0.01 * torch.arange(FRAMES), torch.zeros(FRAMES), torch.zeros(FRAMES)], dim=1)
    heights, speeds = np.full(FRAMES, 0.05), np.full(FRAMES, 0.1)
    feet = {"left": heights.tolist(), "right": heights.tolist()}
    result = Result(
        fps=10.0,
        body_model="free",
        body_pose=pose.numpy(),
        global_orient=orient.numpy(),
        transl=(transl + shift).numpy(),
        betas=betas.numpy(),
        joints=body.joints(motion.body_pose, motion.global_orient, transl + shift, betas).numpy(),
        rotation_w2c=rotation.numpy(),
        translation_w2c=(translation - (rotation @ shift[..., None]).squeeze(-1)).numpy(),
        focal_px=focal_px.numpy(),
        center_px=center_px.numpy(),
        image_size_px=np.array(SIZE_PX),
        diagnostics={
            "reprojection_px": [*range(1, FRAMES), None],
            "foot_height_m": feet,
            "foot_speed_m_s": {"left": speeds.tolist(), "right": speeds.tolist()},
            "correction": {
                "rotation_deg": [0.5] * FRAMES,
                "translation_m": [0.02] * FRAMES,
                "focal_scale": [1.0] * FRAMES,
                "translation_scale": [1.1] * FRAMES,
            },
            "losses": {"warmup": {"pose": [[0, 1.0], [10, 0.1]]}, "finetune": {"pose": [[10, 0.1], [20, 0.05]]}},
            "low_trust": [[2, 4]],
        },
        config_yaml="",
        run={},
    )
    observation = Observation(
        name="walk",
        fps=10.0,
        image_size_px=np.array(SIZE_PX),
        keypoint_set="coco17",
        keypoints_px=keypoints_px.numpy(),
        confidence=np.ones((FRAMES, 17), np.float32),
        frame_valid=np.arange(FRAMES) != 5,
        body_model="free",
        body_pose=pose.numpy(),
        global_orient_c=orient.numpy(),
        transl_c=transl.numpy(),
        betas=betas.numpy(),
        rotation_w2c=rotation.numpy(),
        translation_w2c=translation.numpy(),
        focal_px=focal_px.numpy(),
        center_px=center_px.numpy(),
        camera_scale="metric",
        truth_body_pose=pose.numpy(),
        truth_global_orient=orient.numpy(),
        truth_transl=transl.numpy(),
        truth_betas=betas.numpy(),
        truth_rotation_w2c=rotation.numpy(),
        truth_translation_w2c=translation.numpy(),
        truth_focal_px=focal_px.numpy(),
    )
    return result, observation
