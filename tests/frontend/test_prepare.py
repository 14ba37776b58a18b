"""From a film to an observation, end to end, and again from what was kept."""

import json

import numpy as np
import pytest
import roma
import torch
from rich.progress import Progress

from diffopt.body.model import load_body
from diffopt.errors import DiffoptError
from diffopt.frontend import people
from diffopt.frontend import stages as module
from diffopt.frontend.finders import Found
from diffopt.frontend.options import FrontendOptions
from diffopt.frontend.people import find_people
from diffopt.frontend.prepare import prepare
from diffopt.frontend.video import open_video
from diffopt.show.raster import View, draw_mesh
from diffopt.simulation.walk import synthetic_walk
from tests.frontend.worlds import CENTER, FOCAL_PX, SIZE, angles_deg, picture_of_far_wall, texture, turn, write_film

FRAMES = 20
PLACE = np.array([0.0, -0.1, 3.4])


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """The free body walks in front of a far wall; the camera pans. Also the true pan and pelvis positions."""
    body = load_body()
    pose, orient, transl, betas = synthetic_walk(body, FRAMES, 30.0)
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    poses, orients = roma.rotvec_to_rotmat(pose), roma.rotvec_to_rotmat(orient)
    centered = transl - transl.mean(dim=0)
    vertices = body.vertices(poses, orients, centered, betas) @ flip.T + torch.as_tensor(PLACE).float()
    pelvis = body.joints(poses, orients, centered, betas)[:, 0] @ flip.T + torch.as_tensor(PLACE).float()
    pan, wall = turn(FRAMES, 8), texture()
    pictures = []
    for t in range(FRAMES):
        view = View(pan[t].astype(np.float32), np.zeros(3, np.float32), FOCAL_PX, CENTER.astype(np.float32), SIZE)
        picture = picture_of_far_wall(pan[t], wall)
        pictures.append(draw_mesh(picture, vertices[t].numpy(), body.faces.numpy(), view, (0.75, 0.45, 0.35)))
    path = write_film(tmp_path_factory.mktemp("film") / "walk.mp4", pictures)
    return path, pan, np.einsum("tij,tj->ti", pan, pelvis.numpy())


@pytest.fixture
def options() -> FrontendOptions:
    options = FrontendOptions()
    options.camera.focal_px = FOCAL_PX
    options.camera.scene_points = 300
    options.body.steps = 120
    return options


def test_film_to_observation_and_again_from_the_cache(film, options, tmp_path, monkeypatch):
    path, pan, pelvis = film
    seen = prepare(path, options, tmp_path / "kept", progress=Progress(disable=True))

    assert seen.num_frames == FRAMES
    assert seen.frame_valid.all()
    assert seen.image_size_px.tolist() == list(SIZE)
    assert angles_deg(seen.rotation_w2c.astype(float), pan).max() < 0.1
    rest = load_body().rest_joints(torch.as_tensor(seen.betas))[0].numpy()
    off = seen.transl_c + rest - pelvis
    assert np.abs(off[:, :2]).max() < 0.1
    assert np.abs(off[:, 2]).max() < 0.5
    told = json.loads(seen.provenance)
    assert (told["camera"], told["focal"]) == ("turning", "given")

    def never(*_):
        raise AssertionError("was kept, must not be made again")

    for stage in ("find_people", "track_person", "track_scene", "solve_camera"):
        monkeypatch.setattr(module, stage, never)
    options.body.steps = 60
    again = prepare(path, options, tmp_path / "kept", progress=Progress(disable=True))
    assert np.array_equal(again.keypoints_px, seen.keypoints_px, equal_nan=True)
    assert not np.array_equal(again.body_pose, seen.body_pose)
    monkeypatch.setattr(module, "THUNDER", "a_newer_reader")
    with pytest.raises(AssertionError, match="must not be made again"):
        prepare(path, options, tmp_path / "kept", progress=Progress(disable=True))


def test_a_span_is_prepared_alone(film, options, tmp_path):
    options.start_frame, options.stop_frame = 5, 12
    options.body.steps = 5
    seen = prepare(film[0], options, tmp_path, progress=Progress(disable=True))

    assert seen.num_frames == 7


def part(film, options, tmp_path, boxes: dict[int, list[list[float]]], **more):
    """Prepare the film with finders that see only what they are told."""

    class Told:
        start_score, keep_score = 0.4, 0.1

        def __init__(self) -> None:
            self.frame = -2

        def __call__(self, picture):
            self.frame += 2
            found = np.array(boxes.get(self.frame, []), dtype=float).reshape(-1, 4)
            return Found(found, np.full(len(found), 0.6))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(people, "MultiPose", Told)
        patch.setattr(people, "NanoDet", Told)
        return prepare(film[0], options, tmp_path, progress=Progress(disable=True), **more)


def test_who_comes_late_is_fitted_from_then_on(film, options, tmp_path):
    """Nobody in the first eight frames; gaps up to three frames are bridged."""
    options.max_gap_s, options.body.steps = 0.1, 5
    everyone = find_people(open_video(film[0]), 2.0, Progress(disable=True))
    boxes = {frame: [everyone.boxes(1, FRAMES)[frame].tolist()] for frame in range(8, FRAMES)}
    boxes[FRAMES - 1] = boxes[18]
    with pytest.raises(DiffoptError, match=r"person 1: seen for 0\.4 s at most; expected 1 s.* force=true fits all"):
        part(film, options, tmp_path, boxes)
    seen = part(film, options, tmp_path, boxes, force=True)

    told = json.loads(seen.provenance)
    assert (seen.num_frames, told["span"], told["person"]) == (12, [8, 20], 1)


def test_nobody_and_nobody_to_be_trusted_are_refused_with_everybody_drawn(film, options, tmp_path):
    with pytest.raises(DiffoptError, match=r"nobody found. See .*people.jpg and choose"):
        part(film, options, tmp_path / "a", {})
    assert (tmp_path / "a" / "people.jpg").is_file()
    wall = {frame: [[20.0, 20.0, 120.0, 320.0]] for frame in range(0, FRAMES + 2)}
    with pytest.raises(DiffoptError, match=r"person 1: the body cannot be read in any frame"):
        part(film, options, tmp_path / "b", wall, force=True)
    assert (tmp_path / "b" / "people.jpg").is_file()
