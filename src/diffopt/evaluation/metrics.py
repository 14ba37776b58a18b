"""How far a motion and a camera path are from the truth.

Every function gives one value per frame (or per foot contact, or per clip where it says so), so that a mean over
several clips can be taken over all their frames, as the field does. What an alignment forgives differs from metric to
metric; none stands for another:

| name | what is forgiven before measuring |
|---|---|
| `mpjpe_mm` | nothing; given bodies without root orientation, translation and shape it is the paper's local MPJPE |
| `mpjpe_cam_mm` | in the camera frame, the pelvis' position in each frame (WHAM) |
| `pa_mpjpe_mm` | in each frame a similarity |
| `g_mpjpe_mm`, `g_mpjpe_first_frame_mm` | one rigid move, from the whole clip or its first frame (the paper's global) |
| `w_mpjpe_mm`, `wa_mpjpe_mm` | in each chunk a similarity from its first two frames, or from all (SLAHMR, WHAM) |
| `glamr_g_mpjpe_mm` | in each block the place and heading of its first frame, for each side its own (GLAMR) |

Inputs are metres and y up; results millimetres, degrees or percent. Sources: the DiffOpt paper; WHAM (Shin et al. 2024)
and GVHMR (Shen et al. 2024) for the EMDB protocol; TRAM (Wang et al. 2024) for camera paths.
"""

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diffopt.body.skeleton import JOINT_INDEX
from diffopt.geometry import alignment
from diffopt.geometry.cameras import camera_centers, to_camera

HIPS = (JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"])
CHUNK_FRAMES = 100
GLAMR_BLOCK_FRAMES = 250
CONTACT_STEP_M = 0.01
"""A true foot that moves less than this from one frame to the next stands (WHAM)."""


def mpjpe_mm(points: Float[Tensor, "T J 3"], true: Float[Tensor, "T J 3"]) -> Float[Tensor, "T"]:
    """Mean distance of corresponding points, nothing aligned."""
    return 1000 * (points - true).norm(dim=-1).mean(dim=-1)


def mpjpe_cam_mm(joints_c: Float[Tensor, "T 24 3"], true_c: Float[Tensor, "T 24 3"]) -> Float[Tensor, "T"]:
    """Mean joint distance in the camera frame, the middle of the hips laid upon each other in every frame."""
    return mpjpe_mm(_hips_centred(joints_c), _hips_centred(true_c))


def _hips_centred(joints: Float[Tensor, "T 24 3"]) -> Float[Tensor, "T 24 3"]:
    return joints - joints[:, HIPS].mean(dim=1, keepdim=True)


def pa_mpjpe_mm(points: Float[Tensor, "T J 3"], true: Float[Tensor, "T J 3"]) -> Float[Tensor, "T"]:
    """Mean distance after a similarity of every frame's own (Procrustes)."""
    return mpjpe_mm(alignment.align_each_frame(points, true)[0], true)


def g_mpjpe_mm(points: Float[Tensor, "T J 3"], true: Float[Tensor, "T J 3"]) -> Float[Tensor, "T"]:
    """Mean distance after one rigid move of the whole clip, without scale: the paper's G-MPJPE (and G-MPVPE)."""
    return mpjpe_mm(alignment.align_clip(points, true)[0], true)


def g_mpjpe_first_frame_mm(points: Float[Tensor, "T J 3"], true: Float[Tensor, "T J 3"]) -> Float[Tensor, "T"]:
    """Mean distance after the one rigid move, without scale, that fits the first frame: drift is not forgiven."""
    return mpjpe_mm(alignment.align_first_frames(points, true)[0], true)


class ChunkedError(NamedTuple):
    """Errors of all frames, and the scale that each chunk's alignment took: a good error at scale 0.5 is no success."""

    error_mm: Float[Tensor, "T"]
    scale: Float[Tensor, "C"]


def w_mpjpe_mm(
    joints: Float[Tensor, "T J 3"], true: Float[Tensor, "T J 3"], chunk_frames: int = CHUNK_FRAMES
) -> ChunkedError:
    """World MPJPE: in each chunk one similarity, scale included, from the first two frames."""
    return _chunked(joints, true, chunk_frames, aligned_frames=2)


def wa_mpjpe_mm(
    joints: Float[Tensor, "T J 3"], true: Float[Tensor, "T J 3"], chunk_frames: int = CHUNK_FRAMES
) -> ChunkedError:
    """World-aligned MPJPE: in each chunk one similarity, scale included, from all of its frames."""
    return _chunked(joints, true, chunk_frames, aligned_frames=chunk_frames)


def _chunked(
    joints: Float[Tensor, "T J 3"], true: Float[Tensor, "T J 3"], chunk_frames: int, aligned_frames: int
) -> ChunkedError:
    errors, scales = [], []
    for chunk, true_chunk in zip(joints.split(chunk_frames), true.split(chunk_frames), strict=True):
        aligned, move = alignment.align_first_frames(chunk, true_chunk, aligned_frames, with_scale=True)
        errors.append(mpjpe_mm(aligned, true_chunk))
        scales.append(move.scale)
    return ChunkedError(torch.cat(errors), torch.stack(scales))


def glamr_g_mpjpe_mm(
    joints: Float[Tensor, "T J 3"],
    root_rotation: Float[Tensor, "T 3 3"],
    true: Float[Tensor, "T J 3"],
    true_root_rotation: Float[Tensor, "T 3 3"],
    block_frames: int = GLAMR_BLOCK_FRAMES,
) -> Float[Tensor, "T"]:
    """GLAMR's G-MPJPE: in blocks, each side seen from its own first frame (root above the origin, facing +z)."""
    seen, true_seen = (
        torch.cat(
            [
                alignment.to_heading_frame(block, roots)
                for block, roots in zip(points.split(block_frames), rotation.split(block_frames), strict=True)
            ]
        )
        for points, rotation in ((joints, root_rotation), (true, true_root_rotation))
    )
    return mpjpe_mm(seen, true_seen)


def rte_percent(root: Float[Tensor, "T 3"], true: Float[Tensor, "T 3"]) -> Float[Tensor, "T"]:
    """Root translation error after one rigid move, without scale, in percent of the true path's length.

    Not finite for a person who does not move at all.
    """
    aligned = alignment.fit_rigid(root, true).apply(root)
    return 100 * (aligned - true).norm(dim=-1) / true.diff(dim=0).norm(dim=-1).sum()


def roe_deg(
    joints: Float[Tensor, "T J 3"],
    root_rotation: Float[Tensor, "T 3 3"],
    true: Float[Tensor, "T J 3"],
    true_root_rotation: Float[Tensor, "T 3 3"],
) -> Float[Tensor, "T"]:
    """Root orientation error, after the rigid move of `g_mpjpe_mm`."""
    _, move = alignment.align_clip(joints, true)
    return roma.rotmat_geodesic_distance(move.rotation @ root_rotation, true_root_rotation).rad2deg()


def erve_mm(
    root: Float[Tensor, "T 3"],
    root_rotation: Float[Tensor, "T 3 3"],
    true: Float[Tensor, "T 3"],
    true_root_rotation: Float[Tensor, "T 3 3"],
) -> Float[Tensor, "S"]:
    """Egocentric root velocity error, per frame: steps seen from the root itself, so that nothing needs aligning."""
    step, true_step = (
        (rotation[:-1].mT @ points.diff(dim=0)[..., None]).squeeze(-1)
        for points, rotation in ((root, root_rotation), (true, true_root_rotation))
    )
    return 1000 * (step - true_step).norm(dim=-1)


def accel_m_s2(joints: Float[Tensor, "T J 3"], true: Float[Tensor, "T J 3"], fps: float) -> Float[Tensor, "S"]:
    """Acceleration error in the world, m/s², after the rigid move of `g_mpjpe_mm`."""
    return _acceleration_error(alignment.align_clip(joints, true)[0], true, fps)


def accel_cam_m_s2(
    joints_c: Float[Tensor, "T 24 3"], true_c: Float[Tensor, "T 24 3"], fps: float
) -> Float[Tensor, "S"]:
    """Acceleration error in the camera frame, m/s², the middle of the hips laid upon each other (EMDB-1's `accel`)."""
    return _acceleration_error(_hips_centred(joints_c), _hips_centred(true_c), fps)


def _acceleration_error(joints: Float[Tensor, "T J 3"], true: Float[Tensor, "T J 3"], fps: float) -> Float[Tensor, "S"]:
    return (joints - true).diff(n=2, dim=0).norm(dim=-1).mean(dim=-1) * fps**2


def jitter(joints: Float[Tensor, "T J 3"], fps: float) -> Float[Tensor, "S"]:
    """Mean jerk, in units of 10 m/s³ (WHAM). Needs no truth; compare it with the true motion's own."""
    return joints.diff(n=3, dim=0).norm(dim=-1).mean(dim=-1) * fps**3 / 10


def foot_sliding_mm(feet: Float[Tensor, "T F 3"], true: Float[Tensor, "T F 3"]) -> Float[Tensor, "C"]:
    """Step from frame to frame, of every foot point while its truth stands. A frozen body slides nowhere."""
    standing = true.diff(dim=0).norm(dim=-1) < CONTACT_STEP_M
    return 1000 * feet.diff(dim=0).norm(dim=-1)[standing]


def ate_mm(centers: Float[Tensor, "T 3"], true: Float[Tensor, "T 3"], with_scale: bool = False) -> Float[Tensor, "1"]:
    """Absolute trajectory error of a camera path: root mean square after one rigid move, one value per clip.

    With scale it is `ate_s_mm` in `score`. Beware: TRAM's tables call the aligned-with-scale figure ATE and the one
    without ATE-S.
    """
    fit = alignment.fit_similarity if with_scale else alignment.fit_rigid
    aligned = fit(centers, true).apply(centers)
    return 1000 * (aligned - true).square().sum(dim=-1).mean(dim=0, keepdim=True).sqrt()


def camera_rotation_deg(rotation_w2c: Float[Tensor, "T 3 3"], true_w2c: Float[Tensor, "T 3 3"]) -> Float[Tensor, "T"]:
    """Camera orientation error after the one turn of the world that fits all frames best."""
    turn = alignment.fit_world_turn(rotation_w2c, true_w2c)
    return roma.rotmat_geodesic_distance(rotation_w2c @ turn, true_w2c).rad2deg()


@dataclass(frozen=True)
class Track:
    """One side of a comparison: a motion in the world, and what else is known of it. Metres, y up."""

    joints: Float[Tensor, "T 24 3"]
    root_rotation: Float[Tensor, "T 3 3"]
    feet: Float[Tensor, "T F 3"] | None = None
    """Points of the feet that touch the floor."""
    vertices: Float[Tensor, "T V 3"] | None = None
    local_joints: Float[Tensor, "T 24 3"] | None = None
    """The body posed without root orientation, translation and shape (the paper's local errors)."""
    local_vertices: Float[Tensor, "T V 3"] | None = None
    rotation_w2c: Float[Tensor, "T 3 3"] | None = None
    translation_w2c: Float[Tensor, "T 3"] | None = None

    def double(self, valid: Bool[Tensor, "T"] | None = None) -> "Track":
        """The same in float64, as scores are computed; only the valid frames if these are given."""
        kept = slice(None) if valid is None else valid
        present = {field.name: getattr(self, field.name) for field in fields(self)}
        cut = {name: value[kept].double() for name, value in present.items() if value is not None}
        return replace(self, **cut)


def frame_errors(predicted: Track, true: Track, fps: float) -> dict[str, Tensor]:
    """Every metric that the two sides allow, each as the values whose mean is the score."""
    w, wa = w_mpjpe_mm(predicted.joints, true.joints), wa_mpjpe_mm(predicted.joints, true.joints)
    roots, true_roots = predicted.joints[:, 0], true.joints[:, 0]
    rotations = predicted.root_rotation, true.root_rotation
    errors = {
        "g_mpjpe_mm": g_mpjpe_mm(predicted.joints, true.joints),
        "g_mpjpe_first_frame_mm": g_mpjpe_first_frame_mm(predicted.joints, true.joints),
        "pa_mpjpe_mm": pa_mpjpe_mm(predicted.joints, true.joints),
        "w_mpjpe_100_mm": w.error_mm,
        "w_mpjpe_100_scale": w.scale,
        "wa_mpjpe_100_mm": wa.error_mm,
        "wa_mpjpe_100_scale": wa.scale,
        "glamr_g_mpjpe_mm": glamr_g_mpjpe_mm(predicted.joints, rotations[0], true.joints, rotations[1]),
        "rte_percent": rte_percent(roots, true_roots),
        "roe_deg": roe_deg(predicted.joints, rotations[0], true.joints, rotations[1]),
        "erve_mm": erve_mm(roots, rotations[0], true_roots, rotations[1]),
        "accel_m_s2": accel_m_s2(predicted.joints, true.joints, fps),
        "jitter": jitter(predicted.joints, fps),
    }
    if predicted.feet is not None and true.feet is not None:
        errors["foot_sliding_mm"] = foot_sliding_mm(predicted.feet, true.feet)
    if predicted.vertices is not None and true.vertices is not None:
        errors["g_mpvpe_mm"] = g_mpjpe_mm(predicted.vertices, true.vertices)
    if predicted.local_joints is not None and true.local_joints is not None:
        errors["mpjpe_mm"] = mpjpe_mm(predicted.local_joints, true.local_joints)
    if predicted.local_vertices is not None and true.local_vertices is not None:
        errors["mpvpe_mm"] = mpjpe_mm(predicted.local_vertices, true.local_vertices)
    return errors | _camera_errors(predicted, true, fps)


def _camera_errors(predicted: Track, true: Track, fps: float) -> dict[str, Tensor]:
    if predicted.rotation_w2c is None or predicted.translation_w2c is None:
        return {}
    if true.rotation_w2c is None or true.translation_w2c is None:
        return {}
    centers = camera_centers(predicted.rotation_w2c, predicted.translation_w2c)
    true_centers = camera_centers(true.rotation_w2c, true.translation_w2c)
    joints_c = to_camera(predicted.joints, predicted.rotation_w2c, predicted.translation_w2c)
    true_c = to_camera(true.joints, true.rotation_w2c, true.translation_w2c)
    return {
        "mpjpe_cam_mm": mpjpe_cam_mm(joints_c, true_c),
        "accel_cam_m_s2": accel_cam_m_s2(joints_c, true_c, fps),
        "ate_mm": ate_mm(centers, true_centers),
        "ate_s_mm": ate_mm(centers, true_centers, with_scale=True),
        "camera_rotation_deg": camera_rotation_deg(predicted.rotation_w2c, true.rotation_w2c),
    }


def score(predicted: Track, true: Track, fps: float, valid: Bool[Tensor, "T"] | None = None) -> dict[str, float]:
    """All metrics of one clip by name, units in the names.

    Args:
        predicted: what is judged.
        true: the truth.
        fps: frames per second.
        valid: frames that count; the others are cut out beforehand, as the field does with EMDB. None: all count.

    Returns:
        Means over frames, NaN where a metric has nothing to measure; metrics whose inputs are not there are left out.
    """
    errors = frame_errors(predicted.double(valid), true.double(valid), fps)
    return {name: values.mean().item() for name, values in errors.items()}
