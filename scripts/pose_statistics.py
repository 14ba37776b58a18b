"""How people's joints usually turn: mean and covariance of local rotations, for the front end's inverse kinematics.

usage: python scripts/pose_statistics.py MOCAP_FOLDER   (the folder with cmu_*.npz and split.json)

Writes src/diffopt/frontend/assets/pose_statistics.npz. Only training subjects of the CMU recordings are read.
"""

import json
import sys
from pathlib import Path

import numpy as np
from numpy import ndarray

OUT = Path(__file__).parents[1] / "src" / "diffopt" / "frontend" / "assets" / "pose_statistics.npz"
SLACK_RAD = 0.1
"""Added to every axis: the recordings' skeletons are not quite SMPL's, and some joints never turn in them."""


def training_poses(folder: Path) -> ndarray:
    """(F, 63) axis-angle of the 21 body joints in every frame of the training subjects, every clip weighed alike."""
    subjects = set(json.loads((folder / "split.json").read_text())["train_cmu"])
    poses = []
    for name in ("cmu_amc.npz", "cmu_expmap.npz", "cmu_daz.npz"):
        with np.load(folder / name, allow_pickle=False) as pack:
            for subject, start, length in zip(pack["subject"], pack["start"], pack["length"], strict=True):
                if str(subject) in subjects:
                    chosen = np.linspace(start, start + length - 1, 60).round().astype(int)
                    poses.append(pack["rotvec"][chosen, 1:].reshape(len(chosen), 63))
    return np.concatenate(poses)


def main() -> None:
    poses = training_poses(Path(sys.argv[1])).astype(np.float64)
    # People are symmetric, their recordings are not: each pose also counts mirrored.
    poses = np.concatenate([poses, mirrored(poses)])
    covariance = np.cov(poses.T) + SLACK_RAD**2 * np.eye(63)
    OUT.parent.mkdir(exist_ok=True)
    np.savez_compressed(OUT, mean=poses.mean(axis=0).astype(np.float32), covariance=covariance.astype(np.float32))
    print(f"{len(poses)} poses; wrote {OUT} ({OUT.stat().st_size / 1024:.0f} kB)")


def mirrored(poses: ndarray) -> ndarray:
    """Left and right joints exchanged; a mirror at x = 0 keeps the x part of a rotation vector and negates y and z."""
    # Joints 1 to 21 of SMPL, counted from 0 here: hips, knees, ankles, feet, collars, shoulders, elbows, wrists.
    order = list(range(21))
    for left in (0, 3, 6, 9, 12, 15, 17, 19):
        order[left], order[left + 1] = order[left + 1], order[left]
    return (poses.reshape(-1, 21, 3)[:, order] * [1.0, -1.0, -1.0]).reshape(-1, 63)


if __name__ == "__main__":
    main()
