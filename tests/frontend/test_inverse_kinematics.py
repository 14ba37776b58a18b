"""A body is recovered from its own landmarks and keypoints, seen from the side of the picture and through gaps."""

import numpy as np
import pytest
import roma
import torch
from rich.progress import Progress

from diffopt.body.keypoints import keypoint_regressor
from diffopt.body.model import load_body
from diffopt.frontend.cleaning import CleanTrack
from diffopt.frontend.inverse_kinematics import BodyOptions, fit_body, unusualness
from diffopt.simulation.walk import synthetic_walk

FPS, FRAMES = 30.0, 24
FOCAL, CENTER = 700.0, (320.0, 240.0)
SILENT = Progress(disable=True)
BODY = load_body()


def walker(sideways_m: float = 0.0) -> tuple[CleanTrack, np.ndarray]:
    """A walk before a camera, y down, as a perfect detector sees it; and the true joints in that camera."""
    pose, orient, transl, betas = synthetic_walk(BODY, FRAMES, FPS)
    to_camera = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    middle = transl.mean(dim=0)
    landmarks = BODY.landmarks(roma.rotvec_to_rotmat(pose), roma.rotvec_to_rotmat(orient), transl - middle, betas)
    landmarks = landmarks @ to_camera.T + torch.tensor([sideways_m, 0.0, 4.0])
    points = (keypoint_regressor("blazepose33") @ landmarks).double().numpy()
    known = keypoint_regressor("blazepose33").sum(dim=1).numpy() > 0
    hips = points[:, [23, 24]].mean(axis=1)
    pixels = FOCAL * points[..., :2] / points[..., 2:].clip(0.1) + np.array(CENTER)
    crop = FOCAL * hips[:, :2] / hips[:, 2:] + np.array(CENTER)
    # The network sees the crop as if it were in the middle of the picture.
    ray = torch.nn.functional.normalize(torch.as_tensor(hips), dim=-1)
    ahead = torch.tensor([0.0, 0.0, 1.0]).double().expand_as(ray)
    axis = torch.nn.functional.normalize(torch.linalg.cross(ahead, ray), dim=-1)
    turn = roma.rotvec_to_rotmat(axis * torch.arccos(ray[:, 2:].clamp(-1, 1))).numpy()
    seen = known[None] & np.ones((FRAMES, 1), dtype=bool)
    track = CleanTrack(
        keypoints_px=pixels,
        confidence=seen.astype(float),
        landmarks_c=np.einsum("tji,tkj->tki", turn, points - hips[:, None]),
        landmark_weight=seen.astype(float),
        crop_center_px=crop,
        crop_side_px=np.full(FRAMES, 400.0),
        frame_valid=np.ones(FRAMES, dtype=bool),
        swapped_frames=0,
        rejected_keypoints=0,
    )
    return track, landmarks[:, :24].numpy()


def fitted_joints(track: CleanTrack, steps: int = 120) -> np.ndarray:
    focal = np.full(FRAMES, FOCAL, np.float32)
    center = np.tile(np.array(CENTER, np.float32), (FRAMES, 1))
    body = fit_body(BODY, track, focal, center, FPS, BodyOptions(steps=steps), SILENT)
    return BODY.joints(
        roma.rotvec_to_rotmat(torch.as_tensor(body.body_pose)),
        roma.rotvec_to_rotmat(torch.as_tensor(body.global_orient_c)),
        torch.as_tensor(body.transl_c),
        torch.as_tensor(body.betas),
    ).numpy()


def error_mm(found: np.ndarray, truth: np.ndarray) -> float:
    """Root-aligned."""
    off = (found - found[:, :1]) - (truth - truth[:, :1])
    return float(1000 * np.linalg.norm(off, axis=-1).mean())


@pytest.mark.parametrize("sideways_m", [0.0, 2.0])
def test_a_walk_is_recovered_wherever_it_is_in_the_picture(sideways_m):
    track, truth = walker(sideways_m)
    found = fitted_joints(track)

    assert error_mm(found, truth) < 30
    assert np.linalg.norm(found[:, 0] - truth[:, 0], axis=-1).mean() < 0.25


def test_depths_turned_over_in_one_frame_are_outvoted():
    track, truth = walker()
    track.landmarks_c[12] *= [1.0, 1.0, -1.0]

    assert error_mm(fitted_joints(track), truth) < 35


def test_unseen_frames_lie_between_their_neighbours():
    track, truth = walker()
    track.frame_valid[9:14] = False
    track.confidence[9:14] = 0.0
    track.landmark_weight[9:14] = 0.0
    track.keypoints_px[9:14] = np.nan
    found = fitted_joints(track)

    assert np.isfinite(found).all()
    steps = np.linalg.norm(np.diff(found[8:15, 0], axis=0), axis=-1)
    assert steps.max() < 0.06
    assert error_mm(found, truth) < 60


def test_before_the_first_sight_the_body_waits():
    track, _ = walker()
    track.frame_valid[:5] = False
    track.confidence[:5] = 0.0
    track.landmark_weight[:5] = 0.0
    found = fitted_joints(track, steps=20)

    assert np.abs(found[:5] - found[5]).max() < 1e-5


def test_people_at_rest_are_usual_and_broken_ones_are_not():
    usual = torch.zeros(1, 23, 3)
    usual[0, 15, 2], usual[0, 16, 2] = -1.1, 1.1
    broken = usual.clone()
    broken[0, 3, 0] = -1.5  # a knee bent the wrong way

    def cost(pose: torch.Tensor) -> float:
        return float(unusualness(roma.rotvec_to_rotmat(pose)))

    assert cost(usual) < 1.0
    assert cost(broken) > 2 * cost(usual)
