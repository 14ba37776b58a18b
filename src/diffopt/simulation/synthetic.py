"""What tools would have seen of a motion whose truth is known: input for tests, examples and benchmarks.

The motion (a synthetic walk, or motion capture) is filmed by a virtual camera; the Observation is the erroneous one
that real tools would have made of the film, with the truth beside it.
"""

import json
from dataclasses import asdict

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.body.keypoints import keypoint_regressor
from diffopt.body.model import BodyModel
from diffopt.motion.motion import Motion
from diffopt.observation.observation import Observation
from diffopt.simulation.detected_keypoints import detect_keypoints
from diffopt.simulation.front_end_errors import DETECTORS, FrontEndErrors, estimate_body, estimate_camera, lost_frames
from diffopt.simulation.virtual_camera import film
from diffopt.simulation.walk import synthetic_walk

__all__ = ["simulate_observation", "synthetic_walk"]


def simulate_observation(
    body: BodyModel,
    body_pose: Float[Tensor, "T 23 3"],
    global_orient: Float[Tensor, "T 3"],
    transl: Float[Tensor, "T 3"],
    betas: Float[Tensor, "10"],
    fps: float,
    camera: str = "follow",
    errors: FrontEndErrors = DETECTORS,
    seed: int = 0,
    name: str = "simulated",
    keypoint_set: str = "coco17",
    image_size_px: tuple[int, int] = (1280, 720),
) -> Observation:
    """What a detector, a body estimator and a SLAM system would have made of a motion whose truth is known.

    Args:
        body: the body that performs the motion, and that the estimator uses.
        body_pose, global_orient, transl, betas: the true motion, axis-angle radians and metres, world y up, floor
            y = 0.
        fps: frames per second.
        camera: how the virtual camera moves, one of `virtual_camera.CAMERA_MOVES`.
        errors: the tools' errors; `FrontEndErrors.scaled(0.0)` makes all of them perfect.
        seed: the camera's and the errors' random numbers; the same seed gives the same file.
        name: the sequence's name.
        keypoint_set: what the detector writes.
        image_size_px: width, height.

    Returns:
        An observation with its whole truth; `provenance` names camera, seed, errors and the drawn SLAM scale.
    """
    # A stream for each part: another camera or detector leaves the other errors as they were.
    streams = [np.random.default_rng([seed, part]) for part in range(5)]
    motion = Motion.from_axis_angle(body_pose.float(), global_orient.float(), transl.float())
    with torch.no_grad():
        landmarks = body.landmarks(motion.body_pose, motion.global_orient, motion.transl, betas.float()).double()
    pelvis = landmarks[:, 0]
    truth = film(camera, pelvis, fps, image_size_px, streams[0])

    valid = lost_frames(len(motion), fps, errors, streams[1])
    keypoints, confidence = detect_keypoints(
        landmarks, keypoint_set, keypoint_regressor(keypoint_set).double(), truth, fps, errors, valid, streams[2]
    )
    slam, slam_scale = estimate_camera(truth, fps, errors, streams[3])
    estimate = estimate_body(
        body, motion, betas.float(), truth, slam.focal_px / truth.focal_px, fps, errors, valid, streams[4]
    )

    def plain(tensor: Tensor) -> np.ndarray:
        return tensor.detach().numpy().astype(np.float32)

    estimated_pose, estimated_orient, estimated_transl = estimate.motion.axis_angle()
    return Observation(
        name=name,
        fps=float(fps),
        image_size_px=np.asarray(image_size_px),
        keypoint_set=keypoint_set,
        keypoints_px=plain(keypoints),
        confidence=plain(confidence),
        frame_valid=valid.numpy(),
        body_model=body.name,
        body_pose=plain(estimated_pose),
        global_orient_c=plain(estimated_orient),
        transl_c=plain(estimated_transl),
        betas=plain(estimate.betas),
        rotation_w2c=plain(slam.rotation_w2c),
        translation_w2c=plain(slam.translation_w2c),
        focal_px=plain(slam.focal_px),
        center_px=plain(slam.center_px),
        camera_scale="metric" if errors.slam_scale_factor == 1 else "unknown",
        truth_body_pose=plain(body_pose),
        truth_global_orient=plain(global_orient),
        truth_transl=plain(transl),
        truth_betas=plain(betas),
        truth_rotation_w2c=plain(truth.rotation_w2c),
        truth_translation_w2c=plain(truth.translation_w2c),
        truth_focal_px=plain(truth.focal_px),
        provenance=json.dumps(
            {"tool": "simulate", "camera": camera, "seed": seed, "slam_scale": slam_scale, "errors": asdict(errors)}
        ),
    )
