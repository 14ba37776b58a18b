"""When too little was read of somebody."""

from pathlib import Path

import numpy as np
import pytest

from diffopt.frontend.trust import doubt
from diffopt.frontend.video import Video
from tests.frontend.worlds import nobody

FRAMES = 50
VIDEO = Video(Path("clip.mp4"), 25.0, 640, 360, np.arange(FRAMES), "constant")


@pytest.mark.parametrize(
    ("span", "read", "side_px", "told"),
    [
        ((0, 50), 50, 200.0, None),
        ((0, 50), 26, 200.0, None),
        ((0, 50), 24, 200.0, "read in 24 of 50 frames only"),
        ((0, 50), 50, 30.0, "30 pixels high"),
        ((10, 30), 20, 200.0, "seen for 0.8 s at most"),
        (None, 0, 200.0, "cannot be read in any frame"),
    ],
)
def test_what_speaks_against_a_fit_is_said(span, read, side_px, told):
    track = nobody(FRAMES)
    start = span[0] if span else 0
    track.seen[start : start + read] = True
    track.crop_side_px[track.seen] = side_px
    found = doubt(track, span, np.zeros((FRAMES, 4)), VIDEO)

    assert found is None if told is None else told in found


def test_nobody_need_be_read_where_nobody_was_followed():
    track = nobody(FRAMES)
    track.seen[:20], track.crop_side_px[:20] = True, 200.0
    boxes = np.zeros((FRAMES, 4))
    boxes[25:] = np.nan

    assert doubt(track, (0, FRAMES), boxes, VIDEO) is None
