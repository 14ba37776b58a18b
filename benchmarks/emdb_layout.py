"""Writes simulated sequences as EMDB, 4DHumans, ViTPose and DROID-SLAM write theirs."""

import pickle
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray
from scipy.spatial.transform import Rotation

from diffopt.body.keypoints import keypoint_regressor
from diffopt.body.model import BodyModel
from diffopt.evaluation.truth import true_cameras, true_motion
from diffopt.formats.parts import REST_PELVIS_M
from diffopt.geometry.cameras import project
from diffopt.observation.observation import Observation

SMPL_PELVIS = np.array(REST_PELVIS_M["smpl"])
FIRST_BAD = 5
"""EMDB marks frames in which the person cannot be seen; here the first few, so that the mask matters."""


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
