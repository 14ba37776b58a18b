"""What GLAMR and GVHMR said of their own demo clips, and what a fit makes of it, side by side.

    python benchmarks/published.py GLAMR_RUNNING/hybrik_glamr.npz GVHMR_TENNIS/gvhmr.npz [--seeds 0]

The arrays are put into the tools' own layouts and read by the importers, as a user's files would be. There is no truth:
what can be measured is whether feet that are down stand still, how much everything trembles, and whether the body falls
on the detections.
"""

import argparse
import pickle
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffopt.body.keypoints import FOOT_POINTS, keypoint_regressor
from diffopt.body.model import load_body
from diffopt.config import load_config
from diffopt.evaluation.clip import Estimate, given_world
from diffopt.evaluation.metrics import jitter
from diffopt.fitting.run import fit_sequence
from diffopt.formats.reading import read
from diffopt.geometry.cameras import project
from diffopt.observation.observation import Observation
from diffopt.prior.motion_prior import load_prior

DOWN_M = 0.05
"""A foot point nearer than this to the floor is down."""


def read_answer(path: Path, folder: Path) -> Observation:
    """The observation of a tool's arrays, by way of the tool's own layout in `folder`."""
    arrays = np.load(path, allow_pickle=False)
    if "glamr_cam_pose" in arrays:
        names = [
            "smpl_pose",
            "smpl_beta",
            "smpl_orient_world",
            "root_trans_world",
            "kp_2d",
            "kp_2d_score",
            "cam_K",
            "visible",
        ]
        person = {name: arrays[name] for name in names}
        answer = {"person_data": {0: person}, "cam_pose": arrays["glamr_cam_pose"]}
        (folder / "clip_seed1.pkl").write_bytes(pickle.dumps(answer))
        return read(folder / "clip_seed1.pkl", name="GLAMR running")
    result: dict[str, Any] = {"K_fullimg": torch.from_numpy(arrays["K"])}
    for layout, prefix in (("smpl_params_incam", "incam_"), ("smpl_params_global", "global_")):
        fields = ("body_pose", "betas", "global_orient", "transl")
        result[layout] = {name: torch.from_numpy(arrays[prefix + name]) for name in fields}
    torch.save(result, folder / "hmr4d_results.pt")
    torch.save(torch.from_numpy(arrays["vitpose_coco17"]), folder / "vitpose.pt")
    return read([folder / "hmr4d_results.pt", folder / "vitpose.pt"], name="GVHMR tennis")


def on_a_tripod(observation: Observation) -> Observation:
    """The same, told that the camera stands still."""
    first = np.repeat(observation.rotation_w2c[:1], observation.num_frames, axis=0)
    still = np.repeat(observation.translation_w2c[:1], observation.num_frames, axis=0)
    return replace(observation, rotation_w2c=first, translation_w2c=still, camera_trust="static")


def measure(estimate: Estimate, observation: Observation) -> dict[str, float]:
    """Feet, trembling, reprojection and path of a motion in a world with y up."""
    body, motion, cameras = load_body(), estimate.motion, estimate.cameras
    landmarks = body.landmarks(motion.body_pose, motion.global_orient, motion.transl, estimate.betas)
    feet = landmarks[:, FOOT_POINTS] - torch.tensor([0.0, 1.0, 0.0]) * body.sole_heights(estimate.betas)[:, None]
    height = feet[..., 1] - feet[..., 1].quantile(0.05)
    down = (height[1:] < DOWN_M) & (height[:-1] < DOWN_M)
    points = project(
        keypoint_regressor(observation.keypoint_set) @ landmarks, cameras.rotation_w2c, cameras.translation_w2c,
        cameras.focal_px, cameras.center_px,
    ).numpy()  # fmt: skip
    seen = observation.confidence > 0.3
    found = np.where(seen[..., None], observation.keypoints_px, np.nan)
    size = np.linalg.norm(np.nanmax(found, axis=1) - np.nanmin(found, axis=1), axis=-1)
    off = np.linalg.norm(points - found, axis=-1) / size[:, None]
    root = landmarks[:, 0, [0, 2]]
    centers = -(cameras.rotation_w2c.mT @ cameras.translation_w2c[..., None]).squeeze(-1)
    return {
        "feet that are down move, mm per frame": 1e3 * float(feet.diff(dim=0).norm(dim=-1)[down].mean()),
        "jitter": float(jitter(landmarks[:, :24], observation.fps).mean()),
        "reprojection, % of the person's size": 100 * float(np.nanmedian(off)),
        "path, m": float(root.diff(dim=0).norm(dim=-1).sum()),
        "camera's path, m": float(centers.diff(dim=0).norm(dim=-1).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("answers", nargs="+", type=Path)
    parser.add_argument("--seeds", default="0")
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = load_config(None, ["logging.wandb=disabled"])
    body, prior = load_body(), load_prior(config.prior.path)
    header = False
    for path in options.answers:
        with tempfile.TemporaryDirectory() as work:
            observation = read_answer(path, Path(work))
            systems = {f"{observation.name}: the published answer": given_world(observation, body)}
            told = {"diffopt": observation}
            if observation.name == "GVHMR tennis":
                told["diffopt, told of the tripod"] = on_a_tripod(observation)
            for name, one in told.items():
                for seed in map(int, options.seeds.split(",")):
                    fitted = fit_sequence(
                        one, body, prior, config.fit, config.guidance, config.logging, seed, "cpu", Path(work),
                        show_progress=False,
                    )  # fmt: skip
                    systems[f"{name}, seed {seed}"] = Estimate(fitted.motion, fitted.cameras, fitted.initial.betas)
            for name, estimate in systems.items():
                found = measure(estimate, observation)
                if not header:
                    print("| | " + " | ".join(found) + " |\n" + "|---" * (len(found) + 1) + "|")
                    header = True
                print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in found.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
