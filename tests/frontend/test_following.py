"""Who is who from look to look: crossings, exits, pans, gaps, doubtful boxes; drawn boxes, no networks."""

import numpy as np
import pytest

from diffopt.frontend.following import Sight, Track, clothes, follow, join, likeness
from diffopt.frontend.picture_motion import PictureMotion

SIZE, FPS = (640, 360), 25.0
STANDING = PictureMotion()
RED, BLUE = np.array([0.9, 0.1, 0.0]), np.array([0.0, 0.1, 0.9])


def box(x: float, y: float = 180, height: float = 160) -> np.ndarray:
    """Of somebody upright, by the middle."""
    return np.array([x - height / 5, y - height / 2, x + height / 5, y + height / 2])


def sight(x: float, colours=None, score: float = 0.6, **place: float) -> Sight:
    return Sight(box(x, **place), score, colours)


def followed(looks: dict[int, list[Sight]], motion: PictureMotion = STANDING) -> list[Track]:
    return follow(looks, 0.4, motion, SIZE, FPS)


def middles(track: Track) -> np.ndarray:
    return np.array([seen.box_px[[0, 2]].mean() for _, seen in sorted(track.sights.items())])


@pytest.mark.parametrize("colours", [(RED, BLUE), (None, None)])
def test_two_people_who_cross_keep_their_names(colours):
    looks = {f: [sight(100 + 4 * f, colours[0]), sight(500 - 4 * f, colours[1])] for f in range(0, 100, 2)}
    # Who stands in front hides the other one; the order of boxes says nothing.
    looks |= {f: [sight(100 + 4 * f, colours[0])] for f in (48, 50, 52)}
    looks |= {f: looks[f][::-1] for f in range(60, 100, 2)}
    to_the_right, to_the_left = sorted(followed(looks), key=lambda track: middles(track)[0])

    assert (np.diff(middles(to_the_right)) > 0).all() and (np.diff(middles(to_the_left)) < 0).all()


def test_clothes_tell_apart_who_turns_back():
    """Both meet and go back to where they came from, which motion alone takes for a crossing."""
    way = 150 * np.abs(np.linspace(-1, 1, 41))
    looks = {2 * k: [sight(320 - x, RED), sight(320 + x, BLUE)] for k, x in enumerate(way)}

    for track in followed(looks):
        assert len({int(seen.clothes[0] > 0.5) for seen in track.sights.values()}) == 1


def test_who_comes_in_where_somebody_went_out_is_somebody_else():
    out = {f: [sight(600 + 3 * f)] for f in range(0, 14, 2)}
    back = {f: [sight(640 - 3 * (f - 18))] for f in range(18, 40, 2)}
    looks = out | {14: [], 16: []} | back

    pieces = followed(looks)
    assert [(track.first, track.last) for track in pieces] == [(0, 12), (18, 38)]
    assert len(join(pieces, 30.0, STANDING, SIZE)) == 2
    # Who stands at the border does not leave.
    assert len(followed({f: [] if f in (10, 12) else [sight(625)] for f in range(0, 40, 2)})) == 1


def test_who_goes_out_is_not_taken_over_by_whom_they_hid():
    """The camera turns away from somebody who stands still; behind stands somebody who is smaller."""
    turned = {f: 12.0 * f for f in range(0, 24, 2)}
    motion = PictureMotion({f: np.array([[1, 0, -x], [0, 1, 0], [0, 0, 1.0]]) for f, x in turned.items()})
    near = {f: Sight(np.minimum(box(480 + x, height=200), 640), 0.6) for f, x in turned.items() if x < 150}
    behind = {f: sight(600, height=115) for f in turned if f not in near}
    looks = {f: [sight] for f, sight in (near | behind).items()}

    assert [(track.first, track.last) for track in followed(looks, motion)] == [(0, 12), (14, 22)]


def test_a_pan_is_no_motion_of_those_in_it():
    """The picture jumps by more than a person's width between two looks, and nobody moves."""
    jump = {f: 0.0 if f < 20 else 150.0 for f in range(0, 40, 2)}
    motion = PictureMotion({f: np.array([[1, 0, -shift], [0, 1, 0], [0, 0, 1.0]]) for f, shift in jump.items()})
    looks = {f: [sight(200 + shift), sight(350 + shift)] for f, shift in jump.items()}

    assert len(followed(looks, motion)) == 2
    assert [len(track.sights) for track in followed(looks, motion)] == [20, 20]
    assert len(followed(looks)) != 2


def test_a_zoom_carries_boxes_with_it():
    grow = PictureMotion({0: np.eye(3), 2: np.diag([0.5, 0.5, 1.0])})

    np.testing.assert_allclose(grow.carry(np.array([10.0, 20, 30, 60]), 0, 2), [20, 40, 60, 120])


def test_doubtful_boxes_go_on_with_a_track_but_begin_none():
    looks = {f: [sight(100, score=0.6 if f == 0 else 0.2), sight(400, score=0.2)] for f in range(0, 20, 2)}

    (track,) = followed(looks)
    assert len(track.sights) == 10 and middles(track).max() < 101


def test_nobody_doubles_in_height_at_once():
    looks = {f: [sight(200, height=90 if f < 10 else 200)] for f in range(0, 20, 2)}

    assert len(followed(looks)) == 2


def test_pieces_are_joined_over_a_gap_where_place_and_clothes_agree():
    looks = {f: [sight(100 + f, RED), sight(400, BLUE)] for f in range(0, 20, 2)}
    looks |= {f: [sight(100 + f, RED), sight(400, RED)] for f in range(40, 60, 2)}
    pieces = followed(looks)
    whole = join(pieces, 30.0, STANDING, SIZE)

    assert len(pieces) == 4 and len(whole) == 3
    (joined,) = (track for track in whole if len(track.sights) == 20)
    assert middles(joined)[0] == 100
    assert len(join(pieces, 10.0, STANDING, SIZE)) == 4


def test_colours_are_of_the_middle_of_the_box():
    picture = np.zeros((360, 640, 3), np.uint8)
    picture[:, :320], picture[:, 320:] = (200, 60, 60), (60, 60, 200)
    red, as_red, blue = (clothes(picture, box(x)) for x in (100, 200, 500))

    assert red.sum() == pytest.approx(1, abs=0.01)
    assert likeness(red, as_red) > 0.99 > 0.5 > likeness(red, blue)
