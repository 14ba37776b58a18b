"""The networks of the installed package read a rendered body; what is missing is told."""

import cv2
import numpy as np
import pytest
import torch

from diffopt.body.model import load_body
from diffopt.errors import DiffoptError
from diffopt.frontend import blazepose
from diffopt.frontend.blazepose import BlazePose, Roi, find_models
from diffopt.show.raster import View, draw_mesh


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A picture of the free body with its arms down, and where shoulders, knees and ankles are in it."""
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


def test_a_body_is_found_and_read(scene):
    picture, joints = scene
    networks = BlazePose()
    roi = networks.find(picture)
    assert roi is not None
    pose = networks.read(picture, roi)

    assert pose.score > 0.5
    # Left and right of shoulders, knees and ankles in BlazePose's order and in SMPL's.
    off = np.linalg.norm(pose.keypoints_px[[11, 12, 25, 26, 27, 28]] - joints[[16, 17, 4, 5, 7, 8]], axis=1)
    assert off.max() < 30
    assert pose.mask[int(joints[3, 1]), int(joints[3, 0])]
    assert not pose.mask[:, :40].any()
    assert pose.landmarks_c[27, 1] > 0.5 > 0 > pose.landmarks_c[11, 1]
    assert np.abs(pose.next_roi.center_px - roi.center_px).max() < 0.2 * roi.side_px


def test_a_turned_picture_gives_the_turned_pose(scene):
    """A quarter turn clockwise takes (x, y) to (H - 1 - y, x)."""
    picture, _ = scene
    networks = BlazePose()
    roi = networks.find(picture)
    assert roi is not None
    turned_roi = Roi(np.array([639 - roi.center_px[1], roi.center_px[0]]), roi.side_px, roi.roll + np.pi / 2)
    upright = networks.read(picture, roi)
    turned = networks.read(np.ascontiguousarray(np.rot90(picture, -1)), turned_roi)

    expected = np.column_stack([639 - upright.keypoints_px[:, 1], upright.keypoints_px[:, 0]])
    assert np.abs(turned.keypoints_px - expected).max() < 3
    assert np.abs(turned.landmarks_c[:, 0] + upright.landmarks_c[:, 1]).max() < 0.03
    assert np.abs(turned.landmarks_c[:, 1] - upright.landmarks_c[:, 0]).max() < 0.03


def test_nobody_is_found_on_a_wall():
    assert BlazePose().find(np.full((240, 320, 3), 128, np.uint8)) is None


def test_missing_parts_say_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(blazepose, "find_spec", lambda name: None)
    with pytest.raises(DiffoptError, match=r"no mediapipe package.*run: pip install --no-deps mediapipe==0\.10\.14"):
        find_models()
    with pytest.raises(DiffoptError, match=r"pose_detection\.tflite: no such file.*run: pip install"):
        BlazePose(tmp_path)
