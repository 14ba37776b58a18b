"""The simplest camera that explains the background, and why."""

import numpy as np
import pytest
from rich.progress import Progress

from diffopt.errors import DiffoptError
from diffopt.frontend.camera import CameraOptions, solve_camera, track_extent
from diffopt.frontend.tracks import Tracks, track_scene
from diffopt.frontend.video import open_video
from tests.frontend.worlds import (
    CENTER,
    FOCAL_PX,
    SIZE,
    angles_deg,
    nobody,
    picture_of_far_wall,
    texture,
    track_points,
    turn,
    write_film,
)

FRAMES = 40
STILL = np.zeros((FRAMES, 3))
SILENT = Progress(disable=True)


def solve(tracks, **options):
    return solve_camera(tracks, FRAMES, *SIZE, CameraOptions(**options), SILENT)


def test_a_tripod_is_static():
    camera = solve(track_points(np.tile(np.eye(3), (FRAMES, 1, 1)), STILL, noise_px=0.03))

    assert camera.kind == "static"
    assert np.array_equal(camera.rotation_w2c, np.tile(np.eye(3), (FRAMES, 1, 1)))
    assert not camera.translation_w2c.any()
    assert (camera.focal_source, camera.focal_px) == ("assumed", CameraOptions().usual_focal * SIZE[0])


def test_a_pan_is_turning():
    camera = solve(track_points(turn(FRAMES, 25), STILL))

    assert camera.kind == "turning"
    assert camera.focal_source == "found"
    assert camera.focal_px == pytest.approx(FOCAL_PX, rel=0.01)
    assert angles_deg(camera.rotation_w2c, turn(FRAMES, 25)).max() < 0.2
    assert not camera.translation_w2c.any()


def test_a_turn_that_leaves_the_focal_length_open_keeps_its_angles_to_the_assumed_one():
    """Half the focal length means twice the angle for the same picture."""
    truth = turn(FRAMES, 2.0)
    camera = solve(track_points(truth, STILL, noise_px=0.05), focal_dependence=1e4)

    assert camera.kind == "turning"
    assert camera.focal_px == pytest.approx(CameraOptions().usual_focal * SIZE[0], rel=0.01)
    assert camera.focal_source == "assumed"
    ratio = angles_deg(camera.rotation_w2c, np.eye(3)).max() / angles_deg(truth, np.eye(3)).max()
    assert ratio == pytest.approx(FOCAL_PX / camera.focal_px, rel=0.1)


def test_a_walk_with_the_camera_is_travelling():
    centers = np.column_stack([np.linspace(0, 2, FRAMES), np.zeros(FRAMES), np.zeros(FRAMES)])
    rotation = turn(FRAMES, -10)
    camera = solve(track_points(rotation, -np.einsum("tij,tj->ti", rotation, centers), points=150))

    assert camera.kind == "travelling"
    assert "explained by rotation" in camera.reason
    assert len(camera.points_w) > 50
    assert camera.unplaced == 0


def test_what_is_told_is_believed():
    pan = track_points(turn(FRAMES, 25), STILL, points=100)

    assert solve(pan, motion="static").kind == "static"
    told = solve(pan, focal_px=600.0)
    assert (told.focal_px, told.focal_source, told.focal_spread) == (600.0, "given", 0.0)
    with pytest.raises(DiffoptError, match="'handheld'; expected one of auto, static"):
        solve(pan, motion="handheld")
    with pytest.raises(DiffoptError, match="path was not found"):
        solve(pan, motion="travelling")


def test_no_texture_is_told():
    empty = Tracks(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 2)), 1.0)

    with pytest.raises(DiffoptError, match="No point of the background"):
        solve(empty)


def test_extent_is_the_way_of_typical_points():
    """All points move along the same line by 0.1 px per frame, but for a third that run about."""
    frame, point = (grid.ravel() for grid in np.meshgrid(np.arange(FRAMES), np.arange(30), indexing="ij"))
    speed = np.where(point % 3 == 0, 5.0, 0.1)
    tracks = Tracks(frame, point, np.column_stack([speed * frame, 0.0 * frame]) + CENTER, 1.0)

    assert track_extent(tracks, FRAMES) == pytest.approx(0.1 * (FRAMES - 1))


def test_a_filmed_pan_is_found_in_its_pixels(tmp_path):
    truth, wall = turn(24, 12), texture()
    film = write_film(tmp_path / "pan.mp4", [picture_of_far_wall(rotation, wall) for rotation in truth])
    tracks = track_scene(open_video(film), [nobody(24)], np.zeros((0, 24, 4)), 300, SILENT)
    camera = solve_camera(tracks, 24, *SIZE, CameraOptions(focal_px=FOCAL_PX), SILENT)

    assert camera.kind == "turning"
    assert angles_deg(camera.rotation_w2c, truth).max() < 0.05


def test_nothing_is_tracked_on_people(tmp_path):
    """One was read and fills the left half, of another only a box in the lower right is known."""
    film = write_film(tmp_path / "still.mp4", [texture(side=480)] * 4)
    person = nobody(4)
    left_half = np.zeros((8, 12), dtype=bool)
    left_half[:, :6] = True
    person.masks[:] = np.packbits(left_half)
    others = np.tile(np.array([300.0, 300, 500, 500]), (1, 4, 1))
    others[0, 0] = np.nan
    tracks = track_scene(open_video(film), [person], others, 300, SILENT)

    assert len(tracks.point) > 100
    assert tracks.xy_px[:, 0].min() > 240
    low = (tracks.xy_px > 310).all(axis=1)
    assert low[tracks.frame == 0].any() and not low[tracks.frame > 0].any()
