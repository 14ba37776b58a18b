import numpy as np
import pytest

from diffopt.show.palette import ROOT, rgb_bytes
from diffopt.show.raster import View
from diffopt.show.world import Onlooker, Paths, draw_floor, draw_path, follow

SIZE_PX = (160, 120)


def looking_down(height_m: float) -> View:
    """From above, x to the right, z down in the picture."""
    rotation = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    return View(rotation, -rotation @ np.array([0, height_m, 0]), 100.0, np.array([79.5, 59.5]), SIZE_PX)


def test_floor_squares_are_one_metre():
    image = draw_floor(looking_down(5.0), np.zeros(3)).astype(int)[..., 0]
    metre_px = 100 / 5

    def tile(x: float, z: float) -> int:
        return image[round(59.5 + z * metre_px), round(79.5 + x * metre_px)]

    light, dark = tile(0.5, -0.5), tile(0.5, 0.5)
    assert light > dark + 10
    for x in range(-3, 3):
        for z in range(-2, 2):
            assert tile(x + 0.5, z + 0.5) == (dark if (x + z) % 2 == 0 else light)


def test_no_floor_is_seen_from_below_or_above_the_horizon():
    level = View(np.diag([1.0, -1, -1]), np.array([0.0, 1.5, 0]), 100.0, np.array([79.5, 59.5]), SIZE_PX)
    sky = draw_floor(level, np.zeros(3))
    assert (sky[:60] == sky[0, 0]).all()
    assert not (sky[60:] == sky[0, 0]).all()


def test_a_path_is_drawn_where_it_projects_and_not_behind_the_view():
    image = np.full((120, 160, 3), 255, np.uint8)
    draw_path(image, looking_down(5.0), np.array([[-2.0, 0, 1], [2, 0, 1]]), (0.0, 0.0, 0.0), 1)
    rows, columns = np.nonzero(image[..., 0] < 128)
    assert (
        set(rows) <= {79, 80}
        and columns.min() == pytest.approx(39.5, abs=1)
        and columns.max() == pytest.approx(119.5, abs=1)
    )
    blank = np.full((120, 160, 3), 255, np.uint8)
    draw_path(blank, looking_down(5.0), np.array([[-2.0, 9, 1], [2, 9, 1]]), (0.0, 0.0, 0.0), 1)
    assert (blank == 255).all()


@pytest.mark.parametrize("distance", [0.0, 3.0, 40.0])
def test_the_onlooker_always_sees_the_whole_person(distance):
    random = np.random.default_rng(0)
    root = np.cumsum(random.normal(0, 0.05, (60, 3)), axis=0) * [1, 0, 1] + [0, 1, 0]
    camera = root + np.array([distance, 0.5, 0])
    rotation = np.tile(np.eye(3), (60, 1, 1))
    onlooker = Onlooker(Paths(root, rotation, -camera), 30.0, SIZE_PX)
    for frame in range(60):
        view = onlooker.view(frame)
        for height in (-1.0, 0.8):
            point_c = view.to_camera(root[frame] + [0, height, 0])
            column, row = view.to_pixels(point_c)
            assert point_c[2] > 1 and 0 < column < SIZE_PX[0] and 0 < row < SIZE_PX[1]
        if distance == 3.0:
            column, row = view.to_pixels(view.to_camera(camera[frame]))
            assert 0 < column < SIZE_PX[0] and 0 < row < SIZE_PX[1]


def test_the_onlooker_moves_smoothly():
    root = np.zeros((60, 3))
    root[30:, 0] = 1.0  # a jump of the person
    eye, _ = follow(root, root + np.array([0, 1, 4]), 30.0, 4 / 3)
    assert np.linalg.norm(np.diff(eye, axis=0), axis=1).max() < 0.05


def test_the_walked_path_is_on_the_picture(body, walk):
    result, _ = walk
    root = result.joints[:, 0].astype(np.float64)
    paths = Paths(root, result.rotation_w2c.astype(np.float64), result.translation_w2c.astype(np.float64))
    onlooker = Onlooker(paths, result.fps, (320, 240))
    view = View(paths.rotation_w2c[-1], paths.translation_w2c[-1], 150.0, np.array([79.5, 59.5]), SIZE_PX)
    vertices = body.v_template.double().numpy() + np.array([50, 0, 50])  # out of the way
    image = onlooker.draw(len(root) - 1, vertices, body.faces.numpy(), view, None).astype(int)
    is_path = np.abs(image - rgb_bytes(ROOT)).sum(axis=-1) < 40
    pixels = onlooker.view(len(root) - 1).to_pixels(onlooker.view(len(root) - 1).to_camera(root * [1, 0, 1]))
    columns, rows = pixels.round().astype(int).T
    assert is_path[rows, columns].mean() > 0.8
    assert is_path.mean() < 0.02
