"""The body that explains a detector's landmarks and keypoints: shape, pose, and place in front of the camera.

A stand-in for a learned regressor (HMR2.0 and its kin) that needs no licensed weights. The landmarks say what is near
and what is far, roughly; the keypoints say exactly where things are in the picture; what people's joints usually do
(`pose_statistics.npz`) and smoothness over time settle the rest.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import roma
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from rich.progress import Progress
from scipy.interpolate import BSpline
from torch import Tensor

from diffopt.body.keypoints import keypoint_regressor
from diffopt.body.model import BodyModel
from diffopt.bounds import at_least, fraction, positive
from diffopt.frontend.cleaning import CleanTrack
from diffopt.geometry.alignment import shortest_turn
from diffopt.geometry.translation import solve_translation

STATISTICS_FILE = Path(__file__).parent / "assets" / "pose_statistics.npz"
_FACE = 11
"""The first keypoints are on the face, which BlazePose's landmarks place worse than the limbs."""
_FACE_TRUST = 0.5
_LEFT_HIP, _RIGHT_HIP, _LEFT_SHOULDER, _RIGHT_SHOULDER = 23, 24, 11, 12
_FIRST_WIDENING, _WIDENED_PART = 8.0, 0.7
_ACCELERATION_M_S2 = 30.0
"""Size of the accelerations that joints show in sport."""


@dataclass
class BodyOptions:
    """Inverse kinematics. Weights are of terms that are all about 1 at a typical error."""

    steps: int = at_least(1, 300)
    """Optimizer steps."""
    learning_rate: float = positive(0.05)
    """Of 6D rotations and betas; Adam."""
    landmark_scale_m: float = positive(0.20)
    """A landmark this far off counts half an outlier, metres."""
    depth_trust: float = fraction(0.5)
    """Weight of a landmark's error along the line of sight against one across it."""
    keypoint_scale: float = positive(0.04)
    """A keypoint this far off counts half an outlier; fraction of the square about the body."""
    keypoint_weight: float = at_least(0, 1.0)
    """2D keypoints against 3D landmarks."""
    pose_weight: float = at_least(0, 0.05)
    """Nearness to the poses that people take (Mahalanobis distance per degree of freedom)."""
    shape_weight: float = at_least(0, 0.05)
    """Nearness to the mean body, per squared beta."""
    knot_spacing_s: float = positive(0.08)
    """Time between the knots of the cubic splines that poses and places follow, seconds."""
    smooth_weight: float = at_least(0, 0.003)
    """Small joint accelerations."""
    landmark_weight: float = at_least(0, 1.0)
    """3D landmarks."""


@dataclass(frozen=True)
class InitialBody:
    """SMPL parameters in the camera frame; axis-angle, radians, metres."""

    body_pose: Float[np.ndarray, "T 23 3"]
    global_orient_c: Float[np.ndarray, "T 3"]
    transl_c: Float[np.ndarray, "T 3"]
    betas: Float[np.ndarray, "10"]
    residual_px: float
    """Median distance of the projected body to confident keypoints."""


def fit_body(
    body: BodyModel,
    track: CleanTrack,
    focal_px: Float[np.ndarray, "T"],
    center_px: Float[np.ndarray, "T 2"],
    fps: float,
    options: BodyOptions,
    progress: Progress,
) -> InitialBody:
    """Fit one body to all frames at once (Adam on 6D rotations, translations and one shape, all on splines).

    Args:
        body: the body to pose.
        track: the person; frames that are not valid are bridged by smoothness.
        focal_px, center_px: the camera.
        fps: frames per second.
        options: weights and scales.
        progress: shows the steps done.
    """
    focal, center = torch.as_tensor(focal_px).float(), torch.as_tensor(center_px).float()
    regressor = keypoint_regressor("blazepose33")
    known = (regressor.sum(dim=1) > 0).float()
    trust = known * torch.where(torch.arange(len(known)) < _FACE, _FACE_TRUST, 1.0)
    confidence = torch.as_tensor(track.confidence).float() * known
    keypoints = torch.nan_to_num(torch.as_tensor(track.keypoints_px).float())
    size_px = torch.as_tensor(track.crop_side_px).float()[:, None]
    sight = _line_of_sight(torch.as_tensor(track.crop_center_px).float(), focal, center)
    goal = torch.as_tensor(track.landmarks_c).float() @ sight.mT
    goal = goal - goal[:, [_LEFT_HIP, _RIGHT_HIP]].mean(dim=1, keepdim=True)
    goal_weight = torch.as_tensor(track.landmark_weight).float() * trust
    scale_depth = torch.tensor([1.0, 1.0, options.depth_trust])

    betas = torch.zeros(10, requires_grad=True)
    start = _start(goal)
    first = body.landmarks(*_split(start), torch.zeros(len(goal), 3), betas).detach()
    place = solve_translation(regressor @ first, keypoints, confidence + 1e-6, focal, center)
    place = _bridge(place, track.frame_valid)
    spline = _spline(len(goal), fps, options.knot_spacing_s)
    to_knots = torch.linalg.pinv(spline)
    rotation_knots = (to_knots @ start).requires_grad_()
    place_knots = (to_knots @ place).requires_grad_()
    adam = torch.optim.Adam([rotation_knots, betas, place_knots], lr=options.learning_rate)
    slowdown = torch.optim.lr_scheduler.CosineAnnealingLR(adam, options.steps)
    still = torch.zeros(len(goal), 3)
    for step in progress.track(range(options.steps), description="body"):
        # From everything counts to outliers do not: at the start the body is far from every landmark.
        widening = 1 + _FIRST_WIDENING * max(1 - step / (_WIDENED_PART * options.steps), 0) ** 2
        pose, orient = _split(spline @ rotation_knots)
        place = spline @ place_knots
        landmarks = body.landmarks(pose, orient, still, betas)
        points = regressor @ landmarks
        off = points - points[:, [_LEFT_HIP, _RIGHT_HIP]].mean(dim=1, keepdim=True) - goal
        off = (off @ sight) * scale_depth
        loss = options.landmark_weight * (goal_weight * _robust(off / (options.landmark_scale_m * widening))).mean()
        placed = points + place[:, None]
        pixels = focal[:, None, None] * placed[..., :2] / placed[..., 2:].clamp_min(0.1) + center[:, None]
        off_px = (pixels - keypoints) / (options.keypoint_scale * widening * size_px[..., None])
        loss = loss + options.keypoint_weight * (confidence * _robust(off_px)).mean()
        loss = loss + options.pose_weight * unusualness(pose) + options.shape_weight * betas.square().mean()
        if len(goal) > 2:
            joints = landmarks[:, :24] + place[:, None]
            shake = (joints[2:] - 2 * joints[1:-1] + joints[:-2]) * (fps**2 / _ACCELERATION_M_S2)
            loss = loss + options.smooth_weight * shake.square().sum(dim=-1).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        slowdown.step()

    with torch.no_grad():
        pose, orient = _split(spline @ rotation_knots)
        place = spline @ place_knots
        points = regressor @ body.landmarks(pose, orient, still, betas)
        placed = points + place[:, None]
        pixels = focal[:, None, None] * placed[..., :2] / placed[..., 2:] + center[:, None]
        residual = (pixels - keypoints).norm(dim=-1)[confidence > 0.5]
        rotations = _bridge_rotations(torch.cat([orient[:, None], pose], dim=1), track.frame_valid)
        rotvecs = roma.rotmat_to_rotvec(rotations).numpy()
        return InitialBody(
            body_pose=rotvecs[:, 1:],
            global_orient_c=rotvecs[:, 0],
            transl_c=_bridge(place, track.frame_valid).numpy(),
            betas=betas.detach().numpy().copy(),
            residual_px=float(residual.median()) if len(residual) else float("nan"),
        )


def unusualness(body_pose: Float[Tensor, "T 23 3 3"]) -> Float[Tensor, ""]:
    """Mean squared Mahalanobis distance of poses from those in the motion capture, per degree of freedom.

    The hands (the last two joints) are not in the statistics: their distance is from rest, in units of 0.2 rad.
    """
    mean, whitening = _pose_statistics()
    rotvec = roma.rotmat_to_rotvec(body_pose)
    body = (rearrange(rotvec[:, :21], "t joint xyz -> t (joint xyz)") - mean) @ whitening.T
    return body.square().mean() + (rotvec[:, 21:] / 0.2).square().mean() * (2 / 21)


@cache
def _pose_statistics() -> tuple[Float[Tensor, "63"], Float[Tensor, "63 63"]]:
    with np.load(STATISTICS_FILE, allow_pickle=False) as statistics:
        mean, covariance = statistics["mean"].astype(np.float64), statistics["covariance"].astype(np.float64)
    return torch.as_tensor(mean).float(), torch.as_tensor(np.linalg.inv(np.linalg.cholesky(covariance))).float()


def _line_of_sight(
    crop_center_px: Float[Tensor, "T 2"], focal: Float[Tensor, "T"], center: Float[Tensor, "T 2"]
) -> Float[Tensor, "T 3 3"]:
    """Rotation from a camera that looks at the middle of the crop to the real camera.

    The network sees only the crop, as if the person stood before the lens; someone at the edge of the picture is seen
    from the side, and would otherwise be turned by that angle.
    """
    ray = torch.cat([(crop_center_px - center) / focal[:, None], torch.ones(len(focal), 1)], dim=-1)
    ahead = torch.tensor([0.0, 0.0, 1.0]).expand_as(ray)
    return roma.rotvec_to_rotmat(shortest_turn(ahead, ray))


def _start(goal: Float[Tensor, "T K 3"]) -> Float[Tensor, "T 144"]:
    """Everybody at rest, turned as hips and shoulders are: six numbers for each of 24 rotations."""
    rotations = torch.eye(3)[:, :2].repeat(len(goal), 24, 1, 1)
    left = goal[:, _LEFT_HIP] - goal[:, _RIGHT_HIP] + goal[:, _LEFT_SHOULDER] - goal[:, _RIGHT_SHOULDER]
    up = goal[:, _LEFT_SHOULDER] + goal[:, _RIGHT_SHOULDER] - goal[:, _LEFT_HIP] - goal[:, _RIGHT_HIP]
    rotations[:, 0] = roma.special_gramschmidt(torch.stack([left, up], dim=-1))[..., :2]
    return rearrange(rotations, "t joint row column -> t (joint row column)")


def _spline(frames: int, fps: float, knot_spacing_s: float) -> Float[Tensor, "T C"]:
    """Values of the cubic B-splines at the frames: smooth curves by construction, and far fewer unknowns.

    With free values per frame the smoothness term couples neighbours so stiffly that Adam trades it against the fit.
    """
    pieces = max(int(np.ceil((frames - 1) / max(fps * knot_spacing_s, 1.0))), 1)
    knots = np.concatenate([[0.0] * 3, np.linspace(0, 1, pieces + 1), [1.0] * 3])
    basis = BSpline.design_matrix(np.linspace(0, 1, frames), knots, 3).toarray()
    return torch.as_tensor(basis).float()


def _split(numbers: Float[Tensor, "T 144"]) -> tuple[Float[Tensor, "T 23 3 3"], Float[Tensor, "T 3 3"]]:
    columns = rearrange(numbers, "t (joint row column) -> t joint row column", row=3, column=2)
    rotations = roma.special_gramschmidt(columns)
    return rotations[:, 1:], rotations[:, 0]


def _robust(off: Float[Tensor, "T K D"]) -> Float[Tensor, "T K"]:
    """Geman-McClure: quadratic below 1, at most 1."""
    squared = off.square().sum(dim=-1)
    return squared / (squared + 1)


def _bridge(place: Float[Tensor, "T 3"], valid: Bool[np.ndarray, "T"]) -> Float[Tensor, "T 3"]:
    """Straight lines over the frames in which the person was not seen; the ends are held."""
    frames = np.arange(len(valid))
    filled = [np.interp(frames, frames[valid], column[valid]) for column in place.numpy().T]
    return torch.as_tensor(np.stack(filled, axis=1)).float()


def _bridge_rotations(rotations: Float[Tensor, "T J 3 3"], valid: Bool[np.ndarray, "T"]) -> Float[Tensor, "T J 3 3"]:
    """Great circles over the frames in which the person was not seen; the ends are held."""
    frames, seen = np.arange(len(valid)), np.flatnonzero(valid)
    after = np.searchsorted(seen, frames).clip(1, len(seen) - 1) if len(seen) > 1 else np.zeros(len(frames), dtype=int)
    before = (after - 1).clip(0)
    span = np.maximum(seen[after] - seen[before], 1)
    part = torch.as_tensor(((frames - seen[before]) / span).clip(0, 1)).float()
    first, last = rotations[seen[before]], rotations[seen[after]]
    turn = roma.rotmat_to_rotvec(first.mT @ last)
    return torch.where(
        torch.as_tensor(valid)[:, None, None, None],
        rotations,
        first @ roma.rotvec_to_rotmat(part[:, None, None] * turn),
    )
