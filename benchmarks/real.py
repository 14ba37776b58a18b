"""Real detections under moving cameras with multi-view truth: the initial estimate and the fit, side by side.

    python benchmarks/real.py FOLDER [FOLDER ...] [--seeds 0,1,2] [--cases PATTERN]

A folder holds cases `pan_view*.npz` and `dolly_view*.npz`: `kp2d (T,23,3)`, the camera as SLAM would give it (`slam_R`,
`slam_t`, first frame identity, no scale) and triangulated joints (`joints3d_world`). The initial body is fitted to the
keypoints alone by the front end's inverse kinematics. Truth and estimate are compared on the twelve joints that the
detector and the body share, after one rigid alignment of the clip.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import roma
import torch
from rich.progress import Progress

from diffopt.body.keypoints import keypoint_regressor
from diffopt.body.model import load_body
from diffopt.config import load_config
from diffopt.fitting.run import fit_sequence
from diffopt.frontend.cleaning import CleanTrack
from diffopt.frontend.inverse_kinematics import BodyOptions, fit_body
from diffopt.motion.motion import Motion
from diffopt.observation.keypoint_sets import KEYPOINT_SETS
from diffopt.observation.observation import Observation
from diffopt.prior.motion_prior import load_prior

SHARED = slice(5, 17)
"""Shoulders, elbows, wrists, hips, knees, ankles among the 23."""
HIPS = [11, 12]


def read_case(path: Path) -> tuple[Observation, np.ndarray]:
    """The observation of a case, and its true joints (T, 23, 3) with NaN where they are not known."""
    case = np.load(path, allow_pickle=False)
    keypoints, confidence = case["kp2d"][..., :2].copy(), case["kp2d"][..., 2].clip(0, 1)
    keypoints[confidence <= 0] = np.nan
    frames, fps = len(keypoints), float(case["fps"])
    focal, center = case["K"][:, 0, 0].astype(np.float32), case["K"][:, :2, 2].astype(np.float32)
    initial = fit_body(
        load_body(), _as_blazepose(keypoints, confidence), focal, center, fps,
        BodyOptions(landmark_weight=0.0), Progress(disable=True),
    )  # fmt: skip
    observation = Observation(
        name=f"{path.parent.name}_{path.stem}",
        fps=fps,
        image_size_px=case["image_size"],
        keypoint_set="coco23",
        keypoints_px=keypoints.astype(np.float32),
        confidence=confidence.astype(np.float32),
        frame_valid=_seen(confidence),
        body_model="free",
        body_pose=initial.body_pose,
        global_orient_c=initial.global_orient_c,
        transl_c=initial.transl_c,
        betas=initial.betas,
        rotation_w2c=case["slam_R"].astype(np.float32),
        translation_w2c=case["slam_t"].astype(np.float32),
        focal_px=focal,
        center_px=center,
        camera_scale="unknown",
        provenance=json.dumps({"tool": "benchmarks/real.py", "case": path.name}),
    )
    truth = np.where(case["joints3d_valid"][..., None], case["joints3d_world"], np.nan)
    assert len(truth) == frames
    return observation, truth


def _as_blazepose(keypoints: np.ndarray, confidence: np.ndarray) -> CleanTrack:
    """The 23 keypoints under the 33 names that the inverse kinematics knows."""
    names = {name: row for row, name in enumerate(KEYPOINT_SETS["coco23"])}
    points, trust = np.full((len(keypoints), 33, 2), np.nan), np.zeros((len(keypoints), 33))
    for row, name in enumerate(KEYPOINT_SETS["blazepose33"]):
        if name in names:
            points[:, row], trust[:, row] = keypoints[:, names[name]], confidence[:, names[name]]
    valid = _seen(confidence)
    low, high = (np.full((len(keypoints), 2), np.nan) for _ in range(2))
    low[valid], high[valid] = np.nanmin(keypoints[valid], axis=1), np.nanmax(keypoints[valid], axis=1)
    return CleanTrack(
        keypoints_px=points,
        confidence=trust,
        landmarks_c=_standing(len(keypoints)),
        landmark_weight=np.zeros((len(keypoints), 33)),
        crop_center_px=_filled((low + high) / 2),
        crop_side_px=_filled((high - low).max(axis=1)[:, None])[:, 0],
        frame_valid=valid,
        swapped_frames=0,
        rejected_keypoints=0,
    )


def _seen(confidence: np.ndarray) -> np.ndarray:
    """Frames with enough of the person to count, (T,)."""
    return (confidence > 0.3).sum(axis=1) >= 6


def _standing(frames: int) -> np.ndarray:
    """A body at rest that faces the camera: where the inverse kinematics starts."""
    body = load_body()
    facing = roma.rotvec_to_rotmat(torch.tensor([torch.pi, 0.0, 0.0])).expand(1, 3, 3)
    upright = torch.eye(3).expand(1, 23, 3, 3)
    landmarks = body.landmarks(upright, facing, torch.zeros(1, 3), torch.zeros(10))
    return (keypoint_regressor("blazepose33") @ landmarks)[0].double().numpy()[None].repeat(frames, axis=0)


def _filled(values: np.ndarray) -> np.ndarray:
    frames = np.arange(len(values))
    known = np.isfinite(values).all(axis=1)
    return np.stack([np.interp(frames, frames[known], column[known]) for column in values.T], axis=1)


def errors(motion: Motion, betas: torch.Tensor, truth: np.ndarray) -> dict[str, float]:
    """Global and root-aligned joint error and the root's drift, millimetres."""
    body = load_body()
    landmarks = body.landmarks(motion.body_pose, motion.global_orient, motion.transl, betas)
    joints = (keypoint_regressor("coco23") @ landmarks).detach().double()
    true = torch.as_tensor(truth)
    known = torch.isfinite(true[:, SHARED]).all(dim=-1)
    rotation, shift = roma.rigid_points_registration(joints[:, SHARED][known], true[:, SHARED][known])
    placed = joints @ rotation.T + shift
    off = (placed - true)[:, SHARED].norm(dim=-1)
    hips, true_hips = placed[:, HIPS].mean(dim=1), true[:, HIPS].mean(dim=1)
    seen = torch.isfinite(true_hips).all(dim=-1)
    local = ((placed - hips[:, None]) - (true - true_hips[:, None]))[:, SHARED].norm(dim=-1)
    return {
        "g_mpjpe": 1e3 * float(off[known].mean()),
        "mpjpe": 1e3 * float(local[known & seen[:, None]].mean()),
        "root_drift": 1e3 * float((hips - true_hips)[seen].norm(dim=-1).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--cases", default="*_view[0-9].npz", help="pattern of the cases' file names")
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = load_config(None, ["logging.wandb=disabled"])
    body, prior = load_body(), load_prior(config.prior.path)
    print("| case | seed | " + " | ".join(f"{name} mm, before > after" for name in ("G-MPJPE", "MPJPE", "root drift")))
    print("|---|---|---|---|---|")
    for path in sorted(path for folder in options.folders for path in folder.glob(options.cases)):
        observation, truth = read_case(path)
        for seed in map(int, options.seeds.split(",")):
            with tempfile.TemporaryDirectory() as work:
                fitted = fit_sequence(
                    observation, body, prior, config.fit, config.guidance, config.logging, seed, "cpu", Path(work),
                    show_progress=False,
                )  # fmt: skip
            before = errors(fitted.initial.composed, fitted.initial.betas, truth)
            after = errors(fitted.motion, fitted.initial.betas, truth)
            cells = " | ".join(f"{before[name]:.0f} > {after[name]:.0f}" for name in before)
            print(f"| {observation.name} | {seed} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
