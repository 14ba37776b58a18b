"""The paper's Tables 2 to 5 on a folder in EMDB's layout, from motion capture or, without it, from synthetic walks.

    python benchmarks/emdb_layout.py [--mocap FILE ...] [--out FOLDER] [--sequences 7] [--frames 100] [key=value ...]

Every sequence of the paper's Table 2 is filmed by a virtual camera and written as EMDB writes its truth, and as
4DHumans, ViTPose and DROID-SLAM write what they see; with fewer sequences the tables show what is missing. Overrides
are those of `diffopt evaluate`: `max_steps=2` shows within a minute what the tables look like, not what the method can
do. The files are written anew each time, and so everything is scored anew.
"""

import argparse
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import roma
import torch
from numpy import ndarray
from rich.console import Console
from scipy.spatial.transform import Rotation

from diffopt.body.keypoints import keypoint_regressor
from diffopt.body.model import BodyModel, load_body
from diffopt.body.skeleton import BODY_JOINTS
from diffopt.commands.evaluate import evaluate
from diffopt.config import load_evaluation
from diffopt.evaluation.truth import true_cameras, true_motion
from diffopt.formats.parts import REST_PELVIS_M
from diffopt.geometry.cameras import project
from diffopt.mocap.clip import MotionClip
from diffopt.mocap.reading import read_motions
from diffopt.observation.observation import Observation
from diffopt.simulation.performance import retarget
from diffopt.simulation.synthetic import simulate_observation, synthetic_walk

CLIPS = {
    "P0_09_outdoor_walk": ("train_walking_33", 0, "follow"),
    "P1_14_outdoor_climb": ("49_02", 180, "orbit"),  # hops: there is no climber to spare
    "P1_16_outdoor_warmup": ("02_06", 60, "orbit"),
    "P3_32_outdoor_soccer_warmup_a": ("02_07", 100, "follow"),  # fencing: quick footwork
    "P4_37_outdoor_run_circle": ("dataset-2_run_normal_010", 0, "follow"),
    "P5_41_indoor_jogging_workout": ("02_05", 100, "follow"),
    "P7_58_outdoor_parcours": ("02_04", 0, "dolly"),
}
"""The paper's sequences; the captured clip to use for each, its first frame, and the camera."""
EVALUATIONS = ("emdb_short", "emdb_full", "emdb_ablations")
SMPL_PELVIS = np.array(REST_PELVIS_M["smpl"])
FIRST_BAD = 5
"""EMDB marks frames in which the person cannot be seen; here the first few, so that the mask matters."""


def write_dataset(folder: Path, names: Sequence[str], frames: int, mocap: Sequence[Path] = ()) -> None:
    """The truth to `folder/EMDB`, what the tools saw to `folder/files`.

    Args:
        folder: where to.
        names: of `CLIPS`.
        frames: of each sequence, at most.
        mocap: files or folders of motions that hold the clips; none: synthetic walks.
    """
    body = load_body()
    clips = {clip.name: clip for path in mocap for clip in read_motions(path)}
    lacking = [CLIPS[name][0] for name in names if CLIPS[name][0] not in clips]
    if mocap and lacking:
        raise SystemExit(f"--mocap: no clip named {', '.join(lacking)}; give its file too, or leave --mocap out.")
    for seed, name in enumerate(names):
        clip_name, start, camera = CLIPS[name]
        if mocap:
            part, whole = slice(start, start + frames), clips[clip_name]
            clip = replace(whole, rotations=whole.rotations[part], root=whole.root[part])
        else:
            clip = _walk(body, frames, seed)
        performance = retarget(clip, body, torch.zeros(10))
        observation = simulate_observation(body, *performance, fps=clip.fps, camera=camera, seed=seed, name=name)
        write_truth(folder / "EMDB", name, observation, body)
        write_front_end(folder / "files", name, observation, body)


def _walk(body: BodyModel, frames: int, seed: int) -> MotionClip:
    """A synthetic walk as a captured one."""
    pose, orient, transl, betas = synthetic_walk(body, frames, 30.0, seed=seed)
    skeleton = body.skeleton(betas)[:BODY_JOINTS]
    rotations = roma.rotvec_to_rotmat(torch.cat([orient[:, None], pose[:, : BODY_JOINTS - 1]], dim=1)).float()
    offsets = torch.cat([torch.zeros(1, 3), skeleton[1:]])
    return MotionClip("walk", "synthetic", "locomotion", 30.0, rotations, transl.float() + skeleton[0], offsets)


def write_truth(folder: Path, name: str, observation: Observation, body: BodyModel) -> None:
    """`P0/09_outdoor_walk/P0_09_outdoor_walk_data.pkl` of a sequence filmed with the mean shape."""
    subject, _, take = name.partition("_")
    frames = observation.num_frames
    intrinsics = np.eye(3)
    intrinsics[0, 0] = intrinsics[1, 1] = observation.truth_focal_px[0]
    intrinsics[:2, 2] = observation.center_px[0]
    extrinsics = np.tile(np.eye(4), (frames, 1, 1))
    extrinsics[:, :3, :3], extrinsics[:, :3, 3] = observation.truth_rotation_w2c, observation.truth_translation_w2c
    good = np.arange(frames) >= FIRST_BAD
    content = {
        "gender": "neutral",
        "name": name,
        "emdb1": False,
        "emdb2": True,
        "n_frames": frames,
        "good_frames_mask": good,
        "camera": {
            "intrinsics": intrinsics,
            "extrinsics": extrinsics,
            "width": int(observation.image_size_px[0]),
            "height": int(observation.image_size_px[1]),
        },
        "smpl": {
            "poses_root": observation.truth_global_orient,
            "poses_body": observation.truth_body_pose.reshape(frames, 69),
            "trans": observation.truth_transl + body.rest_joints(torch.zeros(10))[0].numpy() - SMPL_PELVIS,
            "betas": np.zeros(10),
        },
        "kp2d": _truth_px(observation, body)[:, :24],
        "bboxes": {"bboxes": _boxes(observation, body), "invalid_idxs": np.flatnonzero(~good)},
    }
    path = folder / subject / take / f"{name}_data.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))


def write_front_end(folder: Path, name: str, observation: Observation, body: BodyModel) -> None:
    """What the three tools saw: `demo_phalp.pkl`, `vitpose.pt`, `droid_traj.npy` in the sequence's folder."""
    folder = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "demo_phalp.pkl").write_bytes(pickle.dumps(_phalp(observation, body)))
    points = np.concatenate([np.nan_to_num(observation.keypoints_px), observation.confidence[..., None]], axis=-1)
    torch.save(torch.from_numpy(points).float(), folder / "vitpose.pt")
    turn = observation.rotation_w2c.transpose(0, 2, 1)
    center = -np.einsum("nij,nj->ni", turn, observation.translation_w2c)
    poses = np.concatenate([(center - center[0]) @ turn[0], Rotation.from_matrix(turn[0].T @ turn).as_quat()], axis=1)
    np.save(folder / "droid_traj.npy", poses.astype(np.float32))


def _phalp(observation: Observation, body: BodyModel) -> dict[str, dict]:
    width, height = (int(side) for side in observation.image_size_px)
    rest = body.rest_joints(torch.as_tensor(observation.betas).float())[0].numpy()
    pelvis = observation.transl_c + rest
    # The same pixels through 4DHumans' longer lens, which looks through the middle of the image.
    pelvis[:, 2] *= 5000 / 256 * max(width, height) / observation.focal_px
    pose = Rotation.from_rotvec(observation.body_pose.reshape(-1, 3)).as_matrix().reshape(-1, 23, 3, 3)
    orient = Rotation.from_rotvec(observation.global_orient_c).as_matrix()
    boxes = _boxes(observation, body)
    content = {}
    for frame in range(observation.num_frames):
        entry: dict = {"time": frame, "tid": [], "bbox": [], "tracked_time": [], "size": [], "smpl": [], "camera": []}
        if observation.frame_valid[frame]:
            left, top, right, bottom = boxes[frame]
            entry["tid"].append(1)
            entry["bbox"].append(np.array([left, top, right - left, bottom - top]))
            entry["tracked_time"].append(0)
            entry["size"].append([height, width])
            entry["smpl"].append(
                {"global_orient": orient[None, frame], "body_pose": pose[frame], "betas": observation.betas}
            )
            entry["camera"].append((pelvis[frame] - SMPL_PELVIS).astype(np.float32))
        content[f"frames/{frame:06d}.jpg"] = entry
    return content


def _truth_px(observation: Observation, body: BodyModel) -> ndarray:
    """The true joints in the image."""
    motion = true_motion(observation)
    joints = body.landmarks(motion.body_pose, motion.global_orient, motion.transl, torch.zeros(10))
    return _project(keypoint_regressor("smpl24") @ joints, observation)


def _boxes(observation: Observation, body: BodyModel) -> ndarray:
    """Around the true body: left, top, right, bottom."""
    motion = true_motion(observation)
    points = _project(
        body.vertices(motion.body_pose, motion.global_orient, motion.transl, torch.zeros(10)), observation
    )
    return np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1).astype(np.float64)


def _project(points: torch.Tensor, observation: Observation) -> ndarray:
    cameras = true_cameras(observation)
    assert cameras is not None
    return project(points, cameras.rotation_w2c, cameras.translation_w2c, cameras.focal_px, cameras.center_px).numpy()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mocap", nargs="+", type=Path, default=[], help="motions that hold the clips; else walks")
    parser.add_argument("--out", type=Path, default=Path("out/emdb_layout"))
    parser.add_argument("--sequences", type=int, default=len(CLIPS), help="how many of the paper's seven")
    parser.add_argument("--frames", type=int, default=100, help="of each sequence")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for `diffopt evaluate`: max_steps=2 ...")
    options = parser.parse_intermixed_args(arguments)
    write_dataset(options.out, list(CLIPS)[: options.sequences], options.frames, options.mocap)
    for name in EVALUATIONS:
        folders = [
            f"{key}={options.out / end}" for key, end in (("dataset", "EMDB"), ("files", "files"), ("out", name))
        ]
        config = load_evaluation(name, [*folders, *options.overrides])
        config.tables = {table: one for table, one in config.tables.items() if table.startswith("table_")}
        evaluate(config, Console())


if __name__ == "__main__":
    main()
