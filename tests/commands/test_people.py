"""`diffopt people`, and `diffopt fit --all` of a raw video: two bodies walk in front of a far wall, the camera pans."""

import csv
import json

import cv2
import numpy as np
import pytest
import roma
import torch

from diffopt.body.model import load_body
from diffopt.cli import main
from diffopt.config import load_config
from diffopt.observation.observation import Observation
from diffopt.result.result import Result
from diffopt.show.raster import View, draw_mesh
from diffopt.simulation.walk import synthetic_walk
from tests.frontend.worlds import CENTER, FOCAL_PX, SIZE, picture_of_far_wall, texture, turn, write_film

FRAMES, FPS = 30, 25
PLACES = ((-0.75, -0.1, 3.4), (0.75, -0.1, 3.9))
SHORT = ["device=cpu", "pictures=false", "logging.wandb=disabled", "frontend.body.steps=120"]
SHORT += [f"frontend.camera.focal_px={FOCAL_PX}", "frontend.camera.scene_points=300"]
SHORT += [f"fit.stages.{name}.steps=3" for name in load_config().fit.stages]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """The nearer one on the left; the other comes into the film after it began."""
    body, pan, wall = load_body(), turn(FRAMES, 5), texture()
    pose, orient, transl, betas = synthetic_walk(body, FRAMES, 30.0)
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    poses, orients = roma.rotvec_to_rotmat(pose), roma.rotvec_to_rotmat(orient)
    vertices = body.vertices(poses, orients, transl - transl.mean(dim=0), betas) @ flip.T
    pictures = []
    for t in range(FRAMES):
        view = View(pan[t].astype(np.float32), np.zeros(3, np.float32), FOCAL_PX, CENTER.astype(np.float32), SIZE)
        picture = picture_of_far_wall(pan[t], wall)
        for place, colour, since in zip(PLACES, ((0.8, 0.4, 0.3), (0.3, 0.4, 0.8)), (0, 3), strict=True):
            if t >= since:
                picture = draw_mesh(
                    picture, (vertices[t] + torch.tensor(place)).numpy(), body.faces.numpy(), view, colour
                )
        pictures.append(picture)
    return write_film(tmp_path_factory.mktemp("film") / "pair.mp4", pictures, FPS)


def test_everybody_is_drawn_and_listed(film, tmp_path, capsys):
    assert main(["people", str(film), f"out={tmp_path / 'pair'}"]) == 0

    rows = json.loads((tmp_path / "pair_people.json").read_text())
    assert [row["person"] for row in rows] == [1, 2]
    assert rows[0]["first_frame"] == 0 and rows[1]["first_frame"] in (4, 6)
    assert rows[0]["height"] > rows[1]["height"] > 0.5
    x, place = rows[1]["point"].split(",")
    assert int(x) > SIZE[0] / 2 and 4 <= int(place.split("@")[1]) < FRAMES
    with open(tmp_path / "pair_people.csv", newline="") as stream:
        assert [row["point"] for row in csv.DictReader(stream)] == [row["point"] for row in rows]
    sheet = cv2.imread(str(tmp_path / "pair_people.jpg"))
    assert sheet.shape[1] == 3 * 560 and sheet[-40:].max() > 100
    printed = capsys.readouterr().out
    assert "2: frames" in printed and "frontend.person=1" in printed


def test_a_person_is_chosen_by_number(film, tmp_path):
    out = tmp_path / "second.npz"
    assert main(["prepare", f"source={film}", f"out={out}", "frontend.person=2", *SHORT]) == 0

    seen = Observation.load(out)
    told = json.loads(seen.provenance)
    assert (told["person"], told["people"]) == (2, 2)
    assert np.nanmean(seen.keypoints_px[:, :, 0]) > SIZE[0] / 2


def test_everybody_of_a_video_is_fitted_in_one_world(film, tmp_path, capsys):
    assert main(["fit", "--all", f"source={film}", f"out={tmp_path / 'both'}", *SHORT]) == 0

    first, second = (Result.load(tmp_path / "both" / name) for name in ("1", "2"))
    for name in ("rotation_w2c", "translation_w2c", "focal_px"):
        np.testing.assert_array_equal(getattr(second, name), getattr(first, name))
    offset = second.joints[10:, 0] - first.joints[10:, 0]
    apart = np.linalg.norm(offset, axis=1)
    assert 1.0 < np.median(apart) < 2.5
    assert (tmp_path / "both_people.jpg").is_file()
    seen = Observation.load(tmp_path / "both" / "2" / "observation.npz")
    assert not seen.frame_valid[:2].any() and seen.frame_valid[6:].all()


def test_who_is_not_there_is_refused_before_anything_is_fitted(film, tmp_path, capsys):
    assert main(["fit", f"source={film}", f"out={tmp_path / 'x'}", "frontend.person=5", *SHORT]) == 2
    assert "shows people 1 to 2" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
    assert main(["fit", "--all", f"source={film}", f"out={tmp_path / 'x'}", "body.height_m=1.7", *SHORT]) == 2
    assert "body.height_m are of one person" in capsys.readouterr().err
    assert main(["people", str(tmp_path / "a.txt")]) == 2
    assert "expected a video" in capsys.readouterr().err
