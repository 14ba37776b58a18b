"""SLAHMR's folder: `*_world_results.npz`, `cameras.npz`, `track_info.json`.

World results: one person (1, T, ...), SMPL-H, `cam_R`, `cam_t` world-to-camera with `world_scale` 1. They have one lens
for all frames: the median focal length; `cameras.npz` has every frame's.
"""

import json
from pathlib import Path

import numpy as np

from diffopt.body.model import BodyModel
from diffopt.body.skeleton import BODY_JOINTS
from diffopt.files.atomic import partial_file
from diffopt.formats.parameters import parameters_of
from diffopt.result.result import Result


def write_slahmr(path: Path, result: Result, body: BodyModel) -> Path:
    """Write the folder; files of these names that are there are replaced, each once the new one is complete."""
    motion = parameters_of(result, body)
    count = result.num_frames
    center = np.median(result.center_px, axis=0)
    focal = float(np.median(result.focal_px))
    world = {
        "trans": motion.transl_w("smpl")[None],
        "root_orient": motion.orient_w[None],
        "pose_body": motion.body_pose[:, : BODY_JOINTS - 1].reshape(1, count, -1),
        "betas": np.pad(motion.smpl_betas, (0, 6))[None],
        "cam_R": result.rotation_w2c[None],
        "cam_t": result.translation_w2c[None],
        "intrins": np.array([focal, focal, *center]),
        "world_scale": np.ones((1, 1)),
        "floor_plane": np.array([[0.0, 1.0, 0.0]]),
    }
    w2c = np.tile(np.eye(4), (count, 1, 1))
    w2c[:, :3, :3], w2c[:, :3, 3] = result.rotation_w2c, result.translation_w2c
    width, height = result.image_size_px
    cameras = {
        "w2c": w2c,
        "intrins": np.column_stack([result.focal_px, result.focal_px, result.center_px]),
        "focal": np.asarray(focal),
        "width": width,
        "height": height,
    }
    tracks = {
        "tracks": {"0": {"index": 0, "vis_mask": [True] * count}},
        "meta": {"seq_interval": [0, count], "data_interval": [0, count]},
    }
    for name, arrays in ((f"{path.name}_000000_world_results.npz", world | motion.own), ("cameras.npz", cameras)):
        with partial_file(path / name) as partial, open(partial, "wb") as stream:
            np.savez(stream, allow_pickle=False, **{key: _single(value) for key, value in arrays.items()})
    with partial_file(path / "track_info.json") as partial:
        partial.write_text(json.dumps(tracks), encoding="utf-8")
    return path


def _single(value: object) -> np.ndarray:
    """Single precision, as the tool writes it."""
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float64 and array.ndim > 0 else array
