"""Two finders' tracks as one set of people."""

import numpy as np

from diffopt.frontend.following import Sight, Track
from diffopt.frontend.merging import merge
from tests.frontend.test_following import box


def track(frames: range, x: float, height: float = 160, score: float = 0.5) -> Track:
    return Track({f: Sight(box(x, height=height), score) for f in frames})


def spans(people: list[Track]) -> list[tuple[int, int]]:
    return sorted((one.first, one.last) for one in people)


def test_one_person_by_two_finders_is_one_and_gaps_are_filled():
    (person,) = merge([track(range(0, 20), 100, score=0.3)], [track(range(10, 40), 104, score=0.7)])

    assert sorted(person.sights) == list(range(40))
    assert person.sights[15].score == 0.3 and person.sights[30].score == 0.7


def test_boxes_that_differ_in_some_frames_make_no_second_person():
    other = track(range(40), 100)
    for frame in range(12):
        other.sights[frame] = Sight(box(100, height=90), 0.9)

    assert len(merge([track(range(40), 100)], [other])) == 1


def test_a_finder_that_lost_somebody_is_helped_by_the_other():
    pieces = [track(range(0, 15), 100), track(range(25, 40), 100)]

    assert spans(merge(pieces, [track(range(40), 100)])) == [(0, 39)]
    assert spans(merge([track(range(40), 100)], pieces)) == [(0, 39)]


def test_a_track_that_goes_over_to_somebody_else_is_cut():
    first = [track(range(40), 100), track(range(40), 400)]
    wrong = Track(track(range(20), 100).sights | track(range(20, 40), 400).sights)
    people = merge(first, [wrong])

    assert spans(people) == [(0, 39), (0, 39)]
    assert all(np.ptp([sight.box_px[0] for sight in one.sights.values()]) < 1 for one in people)


def test_a_part_of_somebody_is_nobody():
    both = [track(range(40), 100)], [track(range(40), 100), track(range(40), 100, height=60), track(range(40), 400)]

    assert sorted(one.sights[0].box_px[0] for one in merge(*both)) == [box(100)[0], box(400)[0]]
