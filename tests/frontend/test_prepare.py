"""From a film to an observation, end to end, and again from what was kept."""

import json

import numpy as np
import pytest
import roma
import torch
from rich.progress import Progress

from diffopt.body.model import load_body
from diffopt.frontend import prepare as module
from diffopt.frontend.options import FrontendOptions
from diffopt.frontend.prepare import prepare
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

    for stage in ("track_person", "track_scene", "solve_camera"):
        monkeypatch.setattr(module, stage, never)
    options.body.steps = 60
    again = prepare(path, options, tmp_path / "kept", progress=Progress(disable=True))
    assert np.array_equal(again.keypoints_px, seen.keypoints_px, equal_nan=True)
    assert not np.array_equal(again.body_pose, seen.body_pose)


def test_a_span_is_prepared_alone(film, options, tmp_path):
    options.start_frame, options.stop_frame = 5, 12
    options.body.steps = 5
    seen = prepare(film[0], options, tmp_path, progress=Progress(disable=True))

    assert seen.num_frames == 7
