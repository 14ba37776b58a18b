"""Following one person: found, lost, found again; with a detector that sees what the test tells it to."""

from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress

from diffopt.errors import DiffoptError
from diffopt.frontend.blazepose import BlazePose, Pose, Roi
from diffopt.frontend.keypoints import track_person
from diffopt.frontend.video import Video, open_video
from tests.frontend.worlds import write_film

FPS, FRAMES = 10, 30
SILENT = Progress(disable=True)


class Script(BlazePose):
    """A stand-in for BlazePose: `finds` and `reads` say in which frames it succeeds; brightness tells the frame."""

    def __init__(self, finds: set[int], reads: set[int]) -> None:
        self.finds, self.reads = finds, reads

    def frame(self, picture: np.ndarray) -> int:
        return round(float(picture.mean()) / 8)

    def find(self, picture: np.ndarray) -> Roi | None:
        frame = self.frame(picture)
        return Roi(np.array([32.0 + frame, 24.0]), 20.0, 0.0) if frame in self.finds else None

    def read(self, picture: np.ndarray, roi: Roi) -> Pose:
        frame = self.frame(picture)
        # Whoever looks at the right place with the right size sees the person.
        right = frame in self.reads and abs(roi.center_px[0] - 32 - frame) < 4
        mask = np.zeros(picture.shape[:2], dtype=bool)
        mask[:, : mask.shape[1] // 2] = True
        return Pose(
            keypoints_px=np.full((33, 2), float(frame)),
            visibility=np.full(33, 0.9),
            landmarks_c=np.full((33, 3), float(frame)),
            score=0.9 if right else 0.1,
            mask=mask,
            next_roi=Roi(np.array([33.0 + frame, 24.0]), 20.0, 0.0),
            crop_center_px=roi.center_px,
        )


@pytest.fixture
def video(tmp_path: Path) -> Video:
    return open_video(
        write_film(tmp_path / "a.mp4", [np.full((48, 64, 3), 8 * k, np.uint8) for k in range(FRAMES)], FPS)
    )


def track(video: Video, script: Script, max_gap_s: float = 1.0):
    return track_person(video, script, max_gap_s, SILENT)


def test_a_person_is_followed_without_finding_again(video):
    found = track(video, Script({0}, set(range(FRAMES))))

    assert found.seen.all()
    assert np.array_equal(found.keypoints_px[:, 0, 0], np.arange(FRAMES))
    assert found.mask(3)[:, :2].all()
    assert not found.mask(3)[:, -2:].any()


def test_a_lost_person_is_found_again(video):
    found = track(video, Script({0, 12}, set(range(FRAMES)) - {8, 9, 10, 11}))

    assert np.array_equal(np.flatnonzero(~found.seen), [8, 9, 10, 11])


def test_frames_before_the_first_find_get_a_second_look(video):
    found = track(video, Script({3}, set(range(FRAMES))))

    assert found.seen.all()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (Script(set(), set()), "no person found in 30 frames"),
        (Script({0, 25}, set(range(5)) | set(range(25, FRAMES))), "from frame 5 to 24"),
        (Script({0}, set(range(12))), "from frame 12 to 29"),
    ],
)
def test_nobody_or_somebody_long_gone_is_told(video, script, told):
    with pytest.raises(DiffoptError, match=told):
        track(video, script)


def test_a_longer_gap_may_be_allowed(video):
    assert track(video, Script({0}, set(range(12))), max_gap_s=2.0).seen.sum() == 12
