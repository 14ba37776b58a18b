"""TRAM: `camera.npy`, `hps/hps_track_k.npy`, `tracks.npy` (and the same two dictionaries as `.npz`, as for EMDB).

Convention: `pred_cam_R`, `pred_cam_T` camera-to-world in metres, the first camera is the world; `world_cam_R`,
`world_cam_T` the same camera in a world turned y up by one network's guess from the first image (not taken as known
gravity). `img_focal`, `img_center` of the full frame. Bodies: SMPL rotation matrices and smplx's `transl`
(`pred_trans`) in the camera frame, `frame` the rows' frames. `.npy` files are pickles, some with torch tensors inside.
"""

from typing import Any

import numpy as np

from diffopt.formats.own import own_notes
from diffopt.formats.parts import Body, Camera, Contents, Person, constant_lens, inverse, one_shape, proper


def matches(content: Any) -> bool:
    """The camera, one track of bodies, or the detector's tracks."""
    if not isinstance(content, dict) or not content:
        return False
    if {"pred_cam_R", "pred_cam_T", "img_focal"} <= content.keys():
        return "people" not in content
    return {"pred_rotmat", "pred_trans", "pred_shape"} <= content.keys() or _is_tracks(content)


def parse(content: Any) -> Contents:
    """One of TRAM's files; give the camera and the track together."""
    if "pred_cam_R" in content:
        return _camera(content)
    return _tracks(content) if _is_tracks(content) else _track(content)


def _is_tracks(content: dict[Any, Any]) -> bool:
    return all(
        isinstance(track, list) and len(track) > 0 and isinstance(track[0], dict) and "det_box" in track[0]
        for track in content.values()
    )


def _camera(content: dict[str, Any]) -> Contents:
    own = own_notes(content)
    c2w = np.asarray(content["pred_cam_R"], np.float64)
    rotation, translation = inverse(proper(c2w), np.asarray(content["pred_cam_T"], np.float64))
    center = np.asarray(content["img_center"], np.float64).reshape(2)
    lens = own.lens or constant_lens(float(np.asarray(content["img_focal"])), center, len(c2w))
    return Contents(
        camera=Camera(np.arange(len(c2w)), rotation, translation, scale="metric", lens=lens),
        image_size_px=own.image_size_px or (round(2 * center[0]), round(2 * center[1])),
        num_frames=len(c2w),
        fps=own.fps,
    )


def _track(content: dict[str, Any]) -> Contents:
    own = own_notes(content)
    rotations = proper(np.asarray(content["pred_rotmat"]).reshape(-1, 24, 3, 3))
    person = Person(
        name="0",
        frames=np.asarray(content.get("frame", np.arange(len(rotations)))).astype(int),
        body=Body(
            body_pose=rotations[:, 1:],
            global_orient=rotations[:, 0],
            position=np.asarray(content["pred_trans"], np.float64).reshape(-1, 3),
            betas=one_shape(content["pred_shape"]),
            own=own.body,
        ),
    )
    return Contents(people=(person,), fps=own.fps, image_size_px=own.image_size_px)


def _tracks(content: dict[Any, Any]) -> Contents:
    boxes = []
    for track in content.values():
        seen = [entry for entry in track if bool(np.asarray(entry["det"]))]
        if seen:
            frames = np.asarray([int(entry["frame"]) for entry in seen])
            boxes.append((frames, np.concatenate([np.asarray(entry["det_box"], np.float64)[:, :4] for entry in seen])))
    return Contents(boxes_of_tracks=tuple(boxes))
