"""SLAHMR: `*_world_results.npz` (people and cameras), `cameras.npz` (its SLAM's), `track_info.json` (who is seen when).

Convention: (B, T, ...) over people and frames; bodies are SMPL-H in the world, `trans` is smplx's `transl`, metres;
`cam_R`, `cam_t` are world-to-camera and `cam_t` is already multiplied by `world_scale`; `intrins` (fx, fy, cx, cy) of
the full frame. `cameras.npz`: `w2c` (N, 4, 4) world-to-camera at SLAM's own scale, `intrins` (N, 4). 30 Hz.

Written: one person (1, T, ...), `world_scale` 1. World results have one lens for all frames: the median focal length;
`cameras.npz` has every frame's.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from diffopt.body.model import BodyModel
from diffopt.body.skeleton import BODY_JOINTS
from diffopt.files.atomic import partial_file
from diffopt.formats.own import own_notes
from diffopt.formats.parameters import parameters_of
from diffopt.formats.parts import (
    Body,
    Camera,
    Contents,
    Lens,
    Person,
    constant_lens,
    matrices,
    one_shape,
    proper_rotations,
    with_hands,
)
from diffopt.result.result import Result

FPS = 30.0


def matches(content: Any) -> bool:
    """A world result, the cameras of its SLAM, or the track info."""
    if not isinstance(content, dict):
        return False
    world = {"trans", "root_orient", "pose_body"} <= content.keys() and np.ndim(content["trans"]) == 3
    return world or {"w2c", "intrins"} <= content.keys() or {"tracks", "meta"} <= content.keys()


def parse(content: Any) -> Contents:
    """All people of a result in the world, with its camera; the camera alone; or who is seen when."""
    if "tracks" in content:
        start, stop = content["meta"]["seq_interval"]
        masks = {str(one["index"]): np.asarray(one["vis_mask"])[start:stop] > 0 for one in content["tracks"].values()}
        return Contents(seen=masks)
    return _slam(content) if "w2c" in content else _results(content)


def _slam(content: dict[str, Any]) -> Contents:
    w2c = np.asarray(content["w2c"], np.float64)
    intrinsics = np.asarray(content["intrins"], np.float64)
    lens = Lens(intrinsics[:, :2].mean(axis=1), intrinsics[:, 2:4])
    camera = Camera(np.arange(len(w2c)), proper_rotations(w2c[:, :3, :3]), w2c[:, :3, 3], scale="unknown", lens=lens)
    size = (int(content["width"]), int(content["height"])) if {"width", "height"} <= content.keys() else None
    return Contents(camera=camera, image_size_px=size, num_frames=len(w2c), fps=FPS)


def _results(content: dict[str, Any]) -> Contents:
    own = own_notes(content)
    trans = np.asarray(content["trans"], np.float64)
    count = trans.shape[1]
    frames = np.arange(count)
    people = []
    for person in range(len(trans)):
        betas = content["betas"][person] if "betas" in content else np.zeros(10)
        people.append(
            Person(
                name=str(person),
                frames=frames,
                body=Body(
                    body_pose=with_hands(matrices(content["pose_body"][person])),
                    global_orient=matrices(content["root_orient"][person]),
                    position=trans[person],
                    betas=one_shape(betas),
                    own=own.body,
                ),
                in_world=True,
            )
        )
    camera, size = None, own.image_size_px
    if "cam_R" in content:
        intrinsics = np.asarray(content["intrins"], np.float64).reshape(-1, 4)[0]
        lens = own.lens or constant_lens(intrinsics[:2].mean(), intrinsics[2:], count)
        rotation = proper_rotations(np.asarray(content["cam_R"])[0])
        translation = np.asarray(content["cam_t"], np.float64)[0]
        camera = Camera(np.arange(count), rotation, translation, scale="metric", lens=lens)
        size = size or (round(2 * intrinsics[2]), round(2 * intrinsics[3]))
    return Contents(people=tuple(people), camera=camera, image_size_px=size, num_frames=count, fps=own.fps or FPS)


def write(path: Path, result: Result, body: BodyModel) -> Path:
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
