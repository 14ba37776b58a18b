"""Each picture is made from a small result and read back."""

import dataclasses

import av
import cv2
import numpy as np
import pytest

from diffopt.errors import DiffoptError
from diffopt.show.curves import in_contact, write_curves
from diffopt.show.keypoints import bones, draw_keypoints
from diffopt.show.overlay import draw_panes, write_film
from diffopt.show.palette import LEFT, rgb_bytes
from diffopt.show.pictures import show
from diffopt.show.scene import Scene
from diffopt.show.top_view import write_top_view

NAMES = {"top_view.png", "curves.png", "overlay.mp4", "overlay.png", "motion.glb"}


def decode(path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture
def video(tmp_path):
    """Nine frames of green, of the result's size and rate."""
    green = np.zeros((120, 160, 3), np.uint8)
    green[..., 1] = 200
    return write_film(tmp_path / "video.mp4", [green] * 9, 10.0)


def test_all_pictures_of_a_result(tmp_path, walk, video):
    result, observation = walk
    folder = result.write(tmp_path / "result")
    before = {path.name for path in folder.iterdir()}
    written = show(folder, video, observation)
    assert {path.name for path in written} == NAMES
    assert {path.name for path in folder.iterdir()} == NAMES | before  # and no partial files
    frames = decode(folder / "overlay.mp4")
    assert len(frames) == result.num_frames
    assert frames[0].shape == (480, 640 + 4 + 640, 3)
    # The video is under the body: green at the pane's edge, not where the body stands.
    assert frames[4][470, 20, 1] > 150 and frames[4][470, 20, 0] < 60
    x, y = ((observation.keypoints_px[4, 11] + observation.keypoints_px[4, 12]) / 2 + 0.5) * 4 - 0.5
    assert frames[4][round(y), round(x), 2] > 100
    for name in ("top_view.png", "curves.png", "overlay.png"):
        image = cv2.imread(str(folder / name))
        assert image is not None and min(image.shape[:2]) > 400 and image.std() > 5


def test_the_body_is_drawn_where_its_keypoints_are_seen(body, walk):
    """Wherever a limb's keypoint of the truth is, the drawn body is; the result's drift is removed first."""
    result, observation = walk
    exact = dataclasses.replace(
        result, transl=observation.truth_transl, translation_w2c=observation.truth_translation_w2c
    )
    black = np.zeros((120, 160, 3), np.uint8)
    for frame, panes in enumerate(draw_panes(Scene(exact, body), [black] * result.num_frames)):
        drawn = panes.filmed.any(axis=-1)
        columns, rows = (((observation.keypoints_px[frame, 5:] + 0.5) * 4) - 0.5).round().astype(int).T
        assert drawn[rows, columns].all()
        assert drawn.mean() < 0.3


def test_without_a_video_the_keypoints_are_drawn_on_a_blank(body, walk):
    result, observation = walk
    panes = list(draw_panes(Scene(result, body, observation), None))
    assert [drawn.warning for drawn in panes] == ["", "", "low trust", "low trust", "", "person not seen", "", "", ""]
    x, y = (observation.keypoints_px[0, 5] + 0.5) * 4 - 0.5  # the left shoulder
    assert np.abs(panes[0].filmed[round(float(y)), round(float(x))].astype(int) - rgb_bytes(LEFT)).max() < 40


def test_show_without_observation_and_with_empty_diagnostics(tmp_path, walk):
    folder = dataclasses.replace(walk[0], diagnostics={}).write(tmp_path / "result")
    assert {path.name for path in show(folder)} == NAMES
    assert len(decode(folder / "overlay.mp4")) == 9


def test_an_observation_in_the_folder_is_used(tmp_path, walk):
    result, observation = walk
    folder = result.write(tmp_path / "result")
    observation.cut(0, 5).save(folder / "observation.npz")
    with pytest.raises(DiffoptError, match="has 5 frames but the result has 9"):
        show(folder)


@pytest.mark.parametrize(
    "broken",
    [
        {"reprojection_px": [1.0, 2.0]},
        {"foot_height_m": [1, 2, 3]},
        {"losses": {"warmup": 3}},
        {"losses": {}},
        {"losses": {"warmup": {}}},
        {"correction": None},
        {"foot_height_m": None, "foot_speed_m_s": None, "low_trust": None},
        {"reprojection_px": [None] * 9},
        {"low_trust": [1, 2]},
    ],
)
def test_broken_diagnostics_cost_one_panel_only(tmp_path, body, walk, broken):
    result = dataclasses.replace(walk[0], diagnostics=walk[0].diagnostics | broken)
    path = write_curves(tmp_path / "curves.png", Scene(result, body))
    assert cv2.imread(str(path)) is not None


def test_the_top_view_keeps_proportions_and_sides(tmp_path, body, walk):
    """The person starts and ends where the picture says: x to the right, z down, one scale for both."""
    result, _ = walk
    path = write_top_view(tmp_path / "top.png", Scene(result, body))
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB).astype(int)
    places = {}
    for name, color in (("person", (0, 114, 178)), ("camera", (213, 94, 0))):
        found = np.argwhere(np.abs(image - color).sum(axis=-1) < 12)
        inside = found[found[:, 0] < 0.85 * image.shape[0]]  # without the legend
        places[name] = (inside.min(axis=0) + inside.max(axis=0)) / 2
    # The camera films from z = 4, the person walks around z = 0.25.
    assert places["camera"][0] > places["person"][0]


def test_a_lost_camera_does_not_stop_the_pictures(tmp_path, body, walk):
    far = dataclasses.replace(walk[0], translation_w2c=walk[0].translation_w2c * np.linspace(1, 1e7, 9)[:, None])
    scene = Scene(far, body)
    assert cv2.imread(str(write_top_view(tmp_path / "top.png", scene))) is not None
    assert len(list(draw_panes(scene, None))) == 9


def test_contact_is_slow_and_low():
    height, speed = np.array([0.02, 0.02, 0.2, 0.03]), np.array([0.0, 1.0, 0.0, 0.1])
    np.testing.assert_array_equal(in_contact(height, speed), [True, False, False, True])


def test_every_keypoint_set_has_bones_and_unseen_points_are_not_drawn():
    for name, fewest in {"coco17": 14, "openpose25": 14, "blazepose33": 16, "smpl24": 15}.items():
        assert len(bones(name)) >= fewest
    image = np.zeros((50, 50, 3), np.uint8)
    draw_keypoints(image, np.full((17, 2), np.nan), np.zeros(17), "coco17")
    draw_keypoints(image, np.full((17, 2), 25.0), np.full(17, 0.1), "coco17")
    assert not image.any()


def test_what_does_not_belong_together_is_refused(tmp_path, walk, video):
    result, observation = walk
    folder = result.write(tmp_path / "result")
    tall = write_film(tmp_path / "tall.mp4", [np.zeros((160, 120, 3), np.uint8)] * 9, 10.0)
    with pytest.raises(DiffoptError, match="120 x 160 pixels but the result's are 160 x 120"):
        show(folder, tall, observation)
    with pytest.raises(DiffoptError, match="has 8 frames"):
        show(folder, video, dataclasses.replace(observation, provenance='{"span": [1, 10]}'))
    smpl = dataclasses.replace(result, body_model="smpl").write(tmp_path / "smpl")
    with pytest.raises(DiffoptError, match="fitted with the 'smpl' body"):
        show(smpl, video, observation)
    assert not NAMES & {path.name for path in folder.iterdir()}
