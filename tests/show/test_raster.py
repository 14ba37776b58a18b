"""The rasteriser against a twin that asks every face about every pixel, and against projected vertices."""

import cv2
import numpy as np
import pytest

from diffopt.show.raster import View, draw_mesh, rasterize

WIDTH, HEIGHT = 40, 30
TETRAHEDRON = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])


def view(size_px: tuple[int, int] = (WIDTH, HEIGHT), focal_px: float = 40.0) -> View:
    center_px = np.array([(size_px[0] - 1) / 2, (size_px[1] - 1) / 2])
    return View(np.eye(3), np.zeros(3), focal_px, center_px, size_px)


def slow_twin(points_c: np.ndarray, faces: np.ndarray, camera: View, cull: bool) -> tuple[np.ndarray, np.ndarray]:
    """Shoot a ray through every pixel and meet every face in space (Moeller and Trumbore)."""
    depth, face = np.full((HEIGHT, WIDTH), np.inf), np.full((HEIGHT, WIDTH), -1)
    for row in range(HEIGHT):
        for column in range(WIDTH):
            ray = np.array([*((np.array([column, row]) - camera.center_px) / camera.focal_px), 1.0])
            for number, corners in enumerate(points_c[faces]):
                if corners[:, 2].min() <= 0.05:
                    continue
                normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
                if cull and normal @ ray >= 0:
                    continue
                system = np.stack([-ray, corners[1] - corners[0], corners[2] - corners[0]], axis=1)
                if abs(np.linalg.det(system)) < 1e-12:
                    continue
                reach, second, third = np.linalg.solve(system, -corners[0])
                if second >= 0 and third >= 0 and second + third <= 1 and reach < depth[row, column]:
                    depth[row, column], face[row, column] = reach, number
    return depth, face


@pytest.mark.parametrize("cull", [True, False])
def test_agrees_with_ray_casting_on_random_faces(cull):
    random = np.random.default_rng(0)
    points_c = random.uniform([-2, -1.5, -0.5], [2, 1.5, 5], (24, 3))  # some behind the camera, some outside
    faces = random.permutation(24).reshape(8, 3)
    camera = view()
    expected_depth, expected_face = slow_twin(points_c, faces, camera, cull)

    found = rasterize(camera.to_pixels(points_c), points_c[:, 2], faces, camera.size_px, cull=cull)

    assert len(found.face) > 100
    depth, face = np.full((HEIGHT, WIDTH), np.inf), np.full((HEIGHT, WIDTH), -1)
    depth[found.row, found.column], face[found.row, found.column] = found.depth, found.face
    np.testing.assert_array_equal(face, expected_face)
    np.testing.assert_allclose(depth, expected_depth, rtol=1e-4)


def test_barycentric_weights_give_the_point_in_space():
    points_c = np.array([[-1.0, -1, 2], [1, -1, 6], [0, 1, 3]])
    camera = view()
    found = rasterize(camera.to_pixels(points_c), points_c[:, 2], np.array([[0, 1, 2]]), camera.size_px, cull=False)
    points = found.barycentric @ points_c
    pixels = np.stack([found.column, found.row], axis=1)
    np.testing.assert_allclose(camera.to_pixels(points), pixels, atol=1e-3)
    np.testing.assert_allclose(points[:, 2], found.depth, rtol=1e-5)


def test_neighbouring_faces_leave_no_crack():
    """A tilted square cut into a fan: every pixel between its corners is covered."""
    random = np.random.default_rng(1)
    rim = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    inner = random.uniform(-0.6, 0.6, 2)
    corners = np.concatenate([rim, inner[None]])
    points_c = np.concatenate([corners, (3 + 0.2 * corners[:, :1])], axis=1)
    faces = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
    camera = view()
    found = rasterize(camera.to_pixels(points_c), points_c[:, 2], faces, camera.size_px, cull=False)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[found.row, found.column] = True
    for row in mask:
        covered = np.flatnonzero(row)
        assert len(covered) == 0 or len(covered) == covered[-1] - covered[0] + 1


def test_the_drawn_body_covers_its_projected_vertices_and_nothing_far_from_them(body):
    vertices = body.v_template.double().numpy() + np.array([0, 0.2, 0])
    turned = np.diag([1.0, -1, -1])  # a camera at z = 3 that looks at the body's front
    camera = View(turned, np.array([0.0, 0, 3]), 300.0, np.array([119.5, 159.5]), (240, 320))
    image = draw_mesh(np.zeros((320, 240, 3), np.uint8), vertices, body.faces.numpy(), camera, (1.0, 1.0, 1.0))
    drawn = image.any(axis=-1)
    pixels = camera.to_pixels(camera.to_camera(vertices))
    columns, rows = pixels.round().astype(int).T
    near, far = np.ones((3, 3), np.uint8), np.ones((9, 9), np.uint8)
    at_vertices = np.zeros(drawn.shape, np.uint8)
    at_vertices[rows, columns] = 1
    assert cv2.dilate(drawn.astype(np.uint8), near)[rows, columns].all()  # a vertex may round out of the outline
    assert not (drawn & (cv2.dilate(at_vertices, far) == 0)).any()
    assert 0.03 < drawn.mean() < 0.3


def test_opacity_blends_with_the_picture():
    corners = np.array([[-9.0, -9, 3], [9, -9, 3], [0, 18, 3]])
    picture = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    faces = np.array([[0, 2, 1]])
    solid = draw_mesh(picture, corners, faces, view(), (0.5, 0.5, 0.5), 1.0).astype(float)
    half = draw_mesh(picture, corners, faces, view(), (0.5, 0.5, 0.5), 0.5).astype(float)
    assert (picture == 100).all()
    assert not np.allclose(solid, 100)
    np.testing.assert_allclose(half, (solid + 100) / 2, atol=1)


def test_a_body_behind_the_camera_or_outside_leaves_the_picture_alone():
    picture = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    for place in ([0.0, 0, -3], [90.0, 0, 3]):
        tetrahedron = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]) + place
        np.testing.assert_array_equal(draw_mesh(picture, tetrahedron, TETRAHEDRON, view(), (1.0, 1.0, 1.0)), picture)


def test_scaling_a_view_scales_pixel_edges_not_centres():
    camera = view()
    point = np.array([[0.4, -0.3, 2.0]])
    doubled = camera.scaled((2 * WIDTH, 2 * HEIGHT)).to_pixels(point)
    np.testing.assert_allclose(doubled + 0.5, 2 * (camera.to_pixels(point) + 0.5))
