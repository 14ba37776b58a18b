"""Motions that nobody filmed: seen whole, and drawn."""

import dataclasses

import av
import cv2
import numpy as np
import pytest

from diffopt.show.motions import PANE_PX, onlooking_camera, write_motions
from diffopt.show.raster import View
from diffopt.show.scene import Scene


@pytest.mark.parametrize("towards", [(3.0, 0.0), (-2.0, 4.0), (0.0, 0.0)])
def test_the_camera_sees_all_of_the_path_and_of_the_body(towards):
    share = np.linspace(0, 1, 20)[:, None]
    root = np.array([5.0, 0.9, -2.0]) + share * np.array([towards[0], 0.0, towards[1]])

    rotation, translation, focal_px = onlooking_camera(root)

    view = View(rotation, translation, focal_px, (np.array(PANE_PX) - 1) / 2, PANE_PX)
    for height in (-0.9, 0.0, 0.9):
        points_c = view.to_camera(root + np.array([0.0, height, 0.0]))
        points_px = view.to_pixels(points_c)
        assert (points_c[:, 2] > 1).all()
        assert (points_px > 0).all() and (points_px < np.array(PANE_PX)).all()
    assert view.center_w[1] > 0.9


def test_film_and_sheet_show_every_motion(tmp_path, body, walk):
    result, _ = walk
    rotation, translation, focal_px = onlooking_camera(result.joints[:, 0].astype(np.float64))
    seen = dataclasses.replace(
        result,
        rotation_w2c=np.tile(rotation, (len(result.transl), 1, 1)),
        translation_w2c=np.tile(translation, (len(result.transl), 1)),
        focal_px=np.full(len(result.transl), focal_px),
        center_px=np.tile((np.array(PANE_PX) - 1) / 2, (len(result.transl), 1)),
        image_size_px=np.array(PANE_PX),
    )

    written = write_motions(tmp_path / "film.mp4", tmp_path / "sheet.png", [Scene(seen, body)] * 3)

    assert written == [tmp_path / "film.mp4", tmp_path / "sheet.png"] and set(tmp_path.iterdir()) == set(written)
    with av.open(str(written[0])) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == result.num_frames
    height, width = frames[4].shape[0] // 2, frames[4].shape[1] // 2
    panes = [frames[4][:height, :width], frames[4][:height, width:], frames[4][height:, :width]]
    blue = [(pane[..., 2].astype(int) > pane[..., 0].astype(int) + 25).mean() for pane in panes]
    assert min(blue) > 0.01 and np.ptp(blue) < 0.01
    assert frames[4][height + 20 :, width + 20 :].min() > 250  # three of four places are taken
    assert cv2.imread(str(written[1])).shape[1] == 2400
