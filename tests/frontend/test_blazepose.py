"""The networks of the installed package read a rendered body; what is missing is told."""

import numpy as np
import pytest

from diffopt.errors import DiffoptError
from diffopt.frontend import blazepose
from diffopt.frontend.blazepose import BlazePose, Roi, find_models
from tests.frontend.worlds import standing_body


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    return standing_body()


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
