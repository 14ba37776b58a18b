"""Of two readings of one body one is kept."""

import numpy as np

from diffopt.frontend.neighbours import keep_apart
from tests.frontend.worlds import nobody


def reader(x: np.ndarray):
    """Somebody 100 pixels high about x in each frame."""
    track = nobody(len(x))
    track.keypoints_px[:] = np.stack([x, np.full(len(x), 50.0)], axis=1)[:, None] + np.linspace(
        [-15, -50], [15, 50], 33
    )
    track.crop_side_px[:] = 120.0
    track.seen[:] = True
    return track


def test_a_reading_goes_to_whom_the_box_belongs():
    """Two people stand 60 pixels apart; in frames 3 and 4 both were read off the second one."""
    first = reader(np.array([100.0, 100, 100, 158, 158, 100]))
    second = reader(np.full(6, 160.0))
    boxes = {k: np.tile(np.array([x - 15, 0, x + 15, 100]), (6, 1)) for k, x in ((1, 100.0), (2, 160.0))}
    apart, taken = keep_apart({1: first, 2: second}, boxes)

    assert taken == 2
    assert apart[1].seen.tolist() == [True, True, True, False, False, True]
    assert np.isnan(apart[1].keypoints_px[3]).all() and apart[2].seen.all()
