"""Who is meant: by prominence, by number, by a point; and who may be the same person again."""

from pathlib import Path

import numpy as np
import pytest

from diffopt.errors import DiffoptError
from diffopt.frontend.choice import choose, seen_again
from diffopt.frontend.people import People
from diffopt.frontend.video import Video

FRAMES = 50
VIDEO = Video(Path("clip.mp4"), 25.0, 640, 360, np.arange(FRAMES), "constant")


def people(prominence: tuple[float, ...] = (10.0, 8.0, 2.0)) -> People:
    """1 stands on the left, 2 on the right from frame 20 on, 3 on the left, seen before 20 and dressed like 2."""
    boxes = np.array([[100.0, 100, 160, 300], [400, 100, 460, 300], [120, 120, 160, 280]])
    frames = [np.arange(FRAMES), np.arange(20, FRAMES), np.arange(20)]
    return People(
        person=np.concatenate([np.full(len(own), k + 1) for k, own in enumerate(frames)]),
        frame=np.concatenate(frames),
        box_px=np.concatenate([np.tile(box, (len(own), 1)) for box, own in zip(boxes, frames, strict=True)]),
        score=np.full(sum(map(len, frames)), 0.5),
        clothes=np.array([[1.0, 0.0], [0.1, 0.9], [0.05, 0.95]]),
        prominence=np.array(prominence),
    )


def test_the_most_prominent_is_taken_and_close_rivals_are_named():
    assert choose(people(), None, VIDEO).person == 1
    assert choose(people(), None, VIDEO).rivals == [2]
    assert choose(people((10.0, 5.0, 2.0)), None, VIDEO).rivals == []


@pytest.mark.parametrize(
    ("wanted", "person"),
    [
        ("3", 3), ("430,200@30", 2), ("430, 200 @ 1.2s", 2), ("110,110@5", 1), ("142,205@5", 3), ("142,205", 3),
        ("142,205@30", 1),
    ],
)  # fmt: skip
def test_a_number_or_a_point_says_who_is_meant(wanted, person):
    chosen = choose(people(), wanted, VIDEO)

    assert (chosen.person, chosen.rivals) == (person, [])


def test_points_count_frames_of_the_whole_video():
    assert choose(people(), "430,200@130", VIDEO, start_frame=100).person == 2
    with pytest.raises(DiffoptError, match="frames 100 to 149"):
        choose(people(), "430,200@30", VIDEO, start_frame=100)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("4", "people 1 to 3"),
        ("0", "people 1 to 3"),
        ("left", "expected a number of `diffopt people`, or a point"),
        ("430,200@5", "nobody is there in frame 5"),
        ("700,200@5", "frames 0 to 49 of 640x360"),
        ("430,200@9s", "frames 0 to 49"),
    ],
)
def test_what_means_nobody_is_told(wanted, told):
    with pytest.raises(DiffoptError, match=told):
        choose(people(), wanted, VIDEO)


def test_who_is_dressed_alike_at_other_times_may_be_the_same():
    assert seen_again(people(), 2) == [3]
    assert seen_again(people(), 1) == []
