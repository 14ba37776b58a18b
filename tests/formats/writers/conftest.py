"""A short, wild motion: every joint turns, so that a wrong order or a transposed matrix cannot hide."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from diffopt.body.model import BodyModel, load_body
from diffopt.motion.motion import Motion
from diffopt.result.result import Result

FRAMES = 5


@pytest.fixture(scope="session")
def body() -> BodyModel:
    return load_body()


@pytest.fixture(scope="session")
def motion_of():
    """The result's motion as matrices, for the body model."""

    def convert(result: Result) -> Motion:
        return Motion.from_axis_angle(
            torch.from_numpy(result.body_pose), torch.from_numpy(result.global_orient), torch.from_numpy(result.transl)
        )

    return convert


@pytest.fixture(scope="session")
def wild(body, motion_of) -> Result:
    random = np.random.default_rng(0)
    values = {
        "fps": 29.97,
        "body_model": "free",
        "body_pose": random.normal(0, 0.7, (FRAMES, 23, 3)),
        "global_orient": random.normal(0, 1.5, (FRAMES, 3)),
        "transl": random.normal(0, 2, (FRAMES, 3)),
        "betas": random.normal(0, 1, 10),
        "joints": np.zeros((FRAMES, 24, 3)),
        "rotation_w2c": Rotation.random(FRAMES, rng=random).as_matrix(),
        "translation_w2c": random.normal(0, 2, (FRAMES, 3)),
        "focal_px": np.full(FRAMES, 500.0),
        "center_px": np.tile([320.0, 180.0], (FRAMES, 1)),
        "image_size_px": np.array([640, 360]),
        "diagnostics": {},
        "config_yaml": "",
        "run": {},
    }
    motion = motion_of(Result(**values))
    betas = torch.from_numpy(values["betas"]).float()
    values["joints"] = body.joints(motion.body_pose, motion.global_orient, motion.transl, betas).numpy()
    return Result(**values)
