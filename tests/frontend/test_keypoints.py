"""Reading one person along a track of boxes; with a reader that sees what the test tells it to."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress

from diffopt.frontend.blazepose import BlazePose, Pose, Roi
from diffopt.frontend.keypoints import stretches, track_person
from diffopt.frontend.thunder import Points, Thunder
from diffopt.frontend.video import Video, open_video
from tests.frontend.worlds import write_film

FPS, FRAMES = 10, 30
SILENT = Progress(disable=True)


class Script(BlazePose):
    """A stand-in for BlazePose: people walk from `places`, a pixel to the right in every frame; brightness tells it."""

    def __init__(self, places: list[float], reads: set[int], finds: bool = True) -> None:
        self.places, self.reads, self.finds = places, reads, finds
        self.found = 0

    def frame(self, picture: np.ndarray) -> int:
        shown = picture[np.abs(picture.astype(int) - 128) > 2]  # the rest was greyed
        return round(float(shown.mean()) / 8) if len(shown) else 16

    def find(self, picture: np.ndarray) -> Roi | None:
        self.found += 1
        height, width = picture.shape[:2]
        return Roi(np.array([width, height]) / 2, 20.0, 0.0) if self.finds else None

    def read(self, picture: np.ndarray, roi: Roi) -> Pose:
        frame = self.frame(picture)
        off = [abs(roi.center_px[0] - place - frame) for place in self.places]
        right = frame in self.reads and min(off) < 6
        center = np.array([self.places[int(np.argmin(off))] + frame, 24.0])
        mask = np.zeros(picture.shape[:2], dtype=bool)
        mask[:, : mask.shape[1] // 2] = True
        keypoints = center + np.linspace([-4, -10], [4, 10], 33)
        return Pose(
            keypoints_px=keypoints,
            visibility=np.full(33, 0.9),
            landmarks_c=np.full((33, 3), float(frame)),
            score=0.9 if right else 0.1,
            mask=mask,
            next_roi=Roi(center, 20.0, 0.0),
            crop_center_px=roi.center_px,
        )


class Elsewhere(Thunder):
    """A second reader that sees somebody all right, `off` pixels to the right of the region's middle."""

    def __init__(self, off: float) -> None:
        self.off, self.shown = off, []

    def read(self, picture: np.ndarray, roi: Roi) -> Points:
        self.shown.append(picture)
        place = roi.center_px + np.linspace([self.off - 4, -10], [self.off + 4, 10], 17)
        return Points(place, np.full(17, 0.9))


@pytest.fixture
def video(tmp_path: Path) -> Video:
    return open_video(
        write_film(tmp_path / "a.mp4", [np.full((48, 64, 3), 8 * k, np.uint8) for k in range(FRAMES)], FPS)
    )


def boxes(place: float) -> np.ndarray:
    x = place + np.arange(FRAMES, dtype=float)[:, None]
    return np.concatenate([x - 5, np.full_like(x, 13), x + 5, np.full_like(x, 35)], axis=1)


def track(video: Video, script: Script, boxes_px: np.ndarray, *others: np.ndarray, off: float = 40.0):
    others_px = np.reshape(others, (-1, FRAMES, 4))
    return track_person(video, script, Elsewhere(off), boxes_px, others_px, SILENT, "person 1")


def test_a_person_is_read_along_the_boxes_and_found_but_once(video):
    script = Script([10], set(range(FRAMES)))
    found = track(video, script, boxes(10))

    assert found.seen.all() and script.found == 1
    np.testing.assert_allclose(found.keypoints_px.mean(axis=1)[:, 0], 10 + np.arange(FRAMES))
    assert found.mask(3)[:, :2].all()
    assert not found.mask(3)[:, -2:].any()


def test_a_second_opinion_counts_if_it_is_of_the_same_person(video):
    alone, same, neighbours = (track(video, Script([10], set(range(FRAMES))), boxes(10), off=off) for off in (40, 1, 9))

    assert (np.abs(same.keypoints_px - alone.keypoints_px)[:, 11:17, 0] > 0.1).all()
    assert np.array_equal(neighbours.keypoints_px, alone.keypoints_px)
    assert np.array_equal(neighbours.visibility, alone.visibility)


def test_the_second_reader_never_sees_a_neighbour(video):
    reader, neighbour = Elsewhere(1.0), np.tile([5.0, 0, 64, 48], (FRAMES, 1))
    track_person(video, Script([10], set(range(FRAMES))), reader, boxes(10), neighbour[None], SILENT, "person 1")

    assert len(reader.shown) > 0
    assert all((picture[24, 60] == 128).all() for picture in reader.shown[:10])


def test_nobody_is_read_where_the_boxes_end_or_nothing_is_to_be_believed(video):
    where = boxes(10)
    where[20:] = np.nan
    found = track(video, Script([10], set(range(FRAMES)) - {8, 9}), where)

    assert np.flatnonzero(~found.seen).tolist() == [8, 9, *range(20, FRAMES)]
    assert np.isnan(found.keypoints_px[8]).all()
    part = found.part(7, 11)
    assert part.seen.tolist() == [True, False, False, True]
    assert part.mask_width == found.mask_width and len(part.masks) == 4


def test_a_neighbour_in_the_same_region_is_not_taken_for_the_person(video):
    """Boxes go on where nobody stands any more, near to somebody else."""
    found = track(video, Script([15], set(range(FRAMES))), boxes(10))

    assert not found.seen.any()


def test_where_the_finder_sees_nothing_the_whole_box_is_read(video):
    assert track(video, Script([10], set(range(FRAMES)), finds=False), boxes(10)).seen.all()


class InFront(Script):
    """Reads the person in front, if there is one to be seen."""

    def read(self, picture: np.ndarray, roi: Roi) -> Pose:
        if (picture[24, 60] == 128).all() and self.frame(picture) != 16:
            return super().read(picture, roi)
        return replace(super().read(picture, roi), keypoints_px=np.tile([60.0, 24.0], (33, 1)))


def test_whoever_stands_in_front_is_hidden_if_nothing_else_helps(video):
    still, in_front = (np.tile(np.array(box), (FRAMES, 1)) for box in ([11.0, 13, 29, 35], [25.0, 0, 64, 48]))
    script = InFront([20], set(range(FRAMES)))

    assert track(video, script, still, in_front).seen[:5].all()
    assert not track(video, script, still).seen.any()
    assert not track(video, script, still, in_front + np.array([30, 0, 30, 0])).seen.any()


@pytest.mark.parametrize(
    ("seen", "spans"),
    [
        ("111111", [(0, 6)]),
        ("001100", [(0, 6)]),
        ("110011", [(0, 6)]),
        ("1110001", [(0, 3), (6, 7)]),
        ("0001000111", [(7, 10), (3, 4)]),
        ("000100", [(3, 6)]),
        ("0000", []),
    ],
)
def test_stretches_end_at_long_gaps(seen, spans):
    assert stretches(np.array([c == "1" for c in seen]), 2.0) == spans
