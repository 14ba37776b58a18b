"""Scenes with known cameras for the tests of the front end: tracks drawn from geometry, films of a textured room."""

from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy import ndarray
from scipy.spatial.transform import Rotation

from diffopt.body.model import load_body
from diffopt.frontend.keypoints import PersonTrack
from diffopt.frontend.tracks import Tracks
from diffopt.show.raster import View, draw_mesh

SIZE = (640, 480)
FOCAL_PX = 560.0
CENTER = np.array(SIZE) / 2


def turn(frames: int, degrees: float) -> ndarray:
    """A pan with some tilt and roll; the first frame is the identity."""
    time = np.linspace(0, 1, frames)
    angles = np.column_stack([0.3 * np.sin(3 * time), time, 0.2 * np.sin(5 * time)]) * np.radians(degrees)
    return Rotation.from_rotvec(angles).as_matrix()


def track_points(
    rotation: ndarray, translation: ndarray, noise_px: float = 0.1, points: int = 400, seed: int = 0
) -> Tracks:
    """Points of a deep scene around the camera, as perfect trackers would follow them."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(20 * points, 3))
    direction = direction[direction[:, 2] > 0.3 * np.linalg.norm(direction, axis=1)]
    world = direction / np.linalg.norm(direction, axis=1, keepdims=True) * rng.uniform(3, 12, (len(direction), 1))
    frame, point, places = [], [], []
    for t in range(len(rotation)):
        seen = world @ rotation[t].T + translation[t]
        xy = FOCAL_PX * seen[:, :2] / seen[:, 2:] + CENTER
        inside = np.flatnonzero((seen[:, 2] > 0.5) & (xy > 0).all(axis=1) & (xy < SIZE).all(axis=1))[:points]
        frame.append(np.full(len(inside), t))
        point.append(inside)
        places.append(xy[inside] + rng.normal(0, noise_px, (len(inside), 2)))
    return Tracks(np.concatenate(frame), np.concatenate(point), np.concatenate(places), 1.0)


def nobody(frames: int) -> PersonTrack:
    """A track of a person whose mask is empty."""
    return PersonTrack(
        keypoints_px=np.full((frames, 33, 2), np.nan),
        visibility=np.zeros((frames, 33)),
        landmarks_c=np.full((frames, 33, 3), np.nan),
        crop_center_px=np.full((frames, 2), np.nan),
        crop_side_px=np.full(frames, np.nan),
        seen=np.zeros(frames, dtype=bool),
        exchanged=np.zeros((frames, 2), dtype=bool),
        masks=np.zeros((frames, 4 * 3), dtype=np.uint8),
        mask_height=8,
        mask_width=12,
    )


def standing_body() -> tuple[np.ndarray, np.ndarray]:
    """A picture of the free body with its arms down, and where SMPL's 24 joints are in it."""
    body = load_body()
    pose = torch.eye(3).repeat(1, 23, 1, 1)
    for joint, angle in ((15, -1.1), (16, 1.1)):
        c, s = np.cos(angle), np.sin(angle)
        pose[0, joint] = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    upright = torch.diag(torch.tensor([1.0, -1.0, -1.0]))[None]
    place = torch.tensor([[0.3, -0.2, 3.2]])
    vertices = body.vertices(pose, upright, place, torch.zeros(10))[0].numpy()
    joints = body.joints(pose, upright, place, torch.zeros(10))[0].numpy()
    view = View(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), 700.0, np.array([320.0, 320.0]), (640, 640))
    rng = np.random.default_rng(0)
    wall = cv2.GaussianBlur(rng.integers(150, 250, (640, 640, 3), dtype=np.uint8), (0, 0), 9)
    picture = draw_mesh(wall, vertices, body.faces.numpy(), view, (0.75, 0.45, 0.35))
    return picture, 700.0 * joints[:, :2] / joints[:, 2:] + 320.0


def texture(seed: int = 0, side: int = 1500) -> ndarray:
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.integers(0, 255, (side // 30, side // 30, 3), dtype=np.uint8), (side, side))
    fine = cv2.GaussianBlur(rng.integers(0, 255, (side, side, 3), dtype=np.uint8), (0, 0), 2.0)
    return cv2.addWeighted(coarse, 0.5, fine, 0.5, 0)


def picture_of_far_wall(rotation: ndarray, wall: ndarray) -> ndarray:
    """What a camera that has turned by `rotation` sees of a picture that covers the sky: a homography."""
    side = wall.shape[0]
    to_wall = np.array([[FOCAL_PX, 0, side / 2], [0, FOCAL_PX, side / 2], [0, 0, 1]])
    to_image = np.array([[FOCAL_PX, 0, CENTER[0]], [0, FOCAL_PX, CENTER[1]], [0, 0, 1]])
    return cv2.warpPerspective(wall, to_image @ rotation @ np.linalg.inv(to_wall), SIZE)


def write_film(path: Path, pictures: list[ndarray], fps: int = 30) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "16", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = pictures[0].shape[1], pictures[0].shape[0], "yuv420p"
        for pixels in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def angles_deg(first: ndarray, second: ndarray) -> ndarray:
    return np.degrees(Rotation.from_matrix(first @ second.swapaxes(-1, -2)).magnitude())
