"""Everybody in a film: finders that see what the test tells them, and the shipped networks on rendered bodies."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from rich.progress import Progress

from diffopt.body.model import load_body
from diffopt.frontend.boxes import area, enlarged, overlap, without_doubles
from diffopt.frontend.finders import Found, MultiPose, NanoDet, tiles
from diffopt.frontend.people import find_people
from diffopt.frontend.picture_motion import MotionEstimate
from diffopt.frontend.video import open_video
from diffopt.show.raster import View, draw_mesh
from tests.frontend.worlds import texture, write_film

SIZE = (640, 480)


def rendered(places: list[tuple[float, float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """A picture of free bodies with their arms down, and their boxes."""
    body = load_body()
    pose = torch.eye(3).repeat(1, 23, 1, 1)
    for joint, angle in ((15, -1.1), (16, 1.1)):
        c, s = np.cos(angle), np.sin(angle)
        pose[0, joint] = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    upright = torch.diag(torch.tensor([1.0, -1.0, -1.0]))[None]
    view = View(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), 500.0, np.array([320.0, 240.0]), SIZE)
    noise = np.random.default_rng(0).integers(150, 250, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    picture, boxes = cv2.GaussianBlur(noise, (0, 0), 9), []
    for place in places:
        vertices = body.vertices(pose, upright, torch.tensor([place]), torch.zeros(10))[0].numpy()
        picture = draw_mesh(picture, vertices, body.faces.numpy(), view, (0.75, 0.45, 0.35))
        pixels = 500.0 * vertices[:, :2] / vertices[:, 2:] + [320, 240]
        boxes.append([*pixels.min(axis=0), *pixels.max(axis=0)])
    return picture, np.array(boxes)


@pytest.mark.parametrize("network", [MultiPose, NanoDet])
def test_the_networks_find_everybody(network):
    picture, boxes = rendered([(-1.0, 0.0, 3.5), (0.9, 0.1, 4.0)])
    finder = network()
    found = finder(picture).above(finder.start_score)

    assert len(found.scores) == 2
    assert (overlap(boxes, found.boxes_px).max(axis=1) > 0.7).all()
    assert len(finder(np.full((300, 400, 3), 128, np.uint8)).above(finder.start_score).scores) == 0


def test_somebody_small_is_found_by_looking_closer():
    picture, boxes = rendered([(4.0, 1.0, 26.0)])
    found = NanoDet()(picture).above(NanoDet.start_score)

    assert boxes[0, 3] - boxes[0, 1] < 40
    assert len(found.scores) == 1 and overlap(boxes, found.boxes_px)[0, 0] > 0.5


def test_tiles_cover_the_picture():
    seen = np.zeros((360, 640), dtype=bool)
    for x, y, width, height in tiles(640, 360):
        assert seen[y : y + height, x : x + width].shape == (height, width)
        seen[y : y + height, x : x + width] = True

    assert seen.all()


def test_boxes():
    boxes = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [0, 1, 10, 11]])

    assert area(boxes).tolist() == [100, 100, 100]
    np.testing.assert_allclose(overlap(boxes[:1], boxes), [[1, 1 / 3, 9 / 11]])
    assert enlarged(boxes[:1], 0.1).tolist() == [[-1, -1, 11, 11]]
    assert without_doubles(boxes, np.array([0.5, 0.4, 0.9]), 0.5).tolist() == [2, 1]


@pytest.mark.parametrize("hidden", [None, (20, 20, 540, 420)])
def test_the_motion_of_the_picture_is_that_of_the_scene(hidden):
    """A turn, a zoom and a shift; somebody who fills most of it does not move."""
    wall = texture()[:480, :640]
    step = np.array([[1.05, 0.02, 14.0], [-0.02, 1.05, -9.0]])
    moved = cv2.warpAffine(wall, step, SIZE, borderMode=cv2.BORDER_REFLECT)
    people = np.zeros((0, 4))
    if hidden:
        x0, y0, x1, y1 = hidden
        moved[y0:y1, x0:x1] = wall[y0:y1, x0:x1]
        people = np.array([hidden], dtype=float)
    estimate = MotionEstimate()
    estimate.look(0, wall, people)
    estimate.look(2, moved, people)

    box = np.array([450.0, 340, 500, 420])
    center = step[:, :2] @ [475, 380] + step[:, 2]
    carried = estimate.motion.carry(box, 0, 2)
    np.testing.assert_allclose((carried[:2] + carried[2:]) / 2, center, atol=1.0)
    np.testing.assert_allclose(estimate.motion.carry(carried, 2, 0), box, atol=0.1)


class Told:
    """A finder that sees what it is told; brightness tells the frame."""

    start_score, keep_score = 0.4, 0.1

    def __init__(self, boxes: dict[int, list[list[float]]]) -> None:
        self.boxes = boxes

    def __call__(self, picture: np.ndarray) -> Found:
        boxes = np.array(self.boxes.get(round(float(picture.mean()) / 8), []), dtype=float).reshape(-1, 4)
        return Found(boxes, np.full(len(boxes), 0.6))


def test_people_are_numbered_by_how_much_the_film_is_theirs(tmp_path: Path):
    film = [np.full((48, 64, 3), 8 * k, np.uint8) for k in range(30)]
    video = open_video(write_film(tmp_path / "a.mp4", film, 10))
    at_the_side = {k: [[2.0, 10, 12, 30]] for k in range(30)}
    in_the_middle = {k: [[26.0 + 0.1 * k, 8, 38 + 0.1 * k, 40]] for k in range(6, 25)}
    for_a_moment = {0: [[50.0, 8, 62, 40]], 2: [[50.0, 8, 62, 40]]}
    both = {k: at_the_side[k] + in_the_middle.get(k, []) + for_a_moment.get(k, []) for k in range(30)}
    people = find_people(video, 2.0, Progress(disable=True), [Told(both), Told(at_the_side)])

    assert people.count == 2
    assert [people.span(1), people.span(2)] == [(6, 25), (0, 30)]
    boxes = people.boxes(1, 30)
    assert np.isnan(boxes[:6]).all() and np.isnan(boxes[25:]).all()
    np.testing.assert_allclose(boxes[7], [26.7, 8, 38.7, 40], atol=1e-9)
    assert people.prominence[0] > people.prominence[1] > 0
