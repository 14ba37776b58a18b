"""The tracks of two finders of the same film as one set of people.

Tracks are compared, never single boxes: two boxes of one person that differ too much to be taken for one would make a
second person out of nothing, while over a whole track the finders agree or do not.
"""

from bisect import bisect_right
from itertools import combinations, groupby, pairwise

import numpy as np

from diffopt.frontend.boxes import area, intersection, overlap
from diffopt.frontend.following import Track

_SAME_BOX = 0.4
_MIN_COMMON, _MIN_AGREEING = 3, 0.6
_LASTING = 5
"""Looks for which a box stays with another person until that is more than a crossing."""
_INSIDE, _MIN_APART = 0.8, 0.4


def merge(first: list[Track], second: list[Track]) -> list[Track]:
    """People that either finder follows, each once.

    Where both see somebody the first one's box counts. A track of the second that goes over from one of the first's
    people to another is cut there; two pieces by one finder become one person where the other followed that person
    through. What one finder alone sees inside the box of somebody whom both see is a part of that person: left out.
    """
    second = [piece for track in second for piece in _cut(track, first)]
    groups: list[tuple[list[Track], list[Track]]] = [([track], []) for track in first]
    groups += [([], [track]) for track in second]
    owner = {id(track): index for index, track in enumerate([*first, *second])}
    agreed = [(_agreement(a, b), i, k) for i, a in enumerate(first) for k, b in enumerate(second)]
    for _, i, k in sorted((pair for pair in agreed if pair[0]), reverse=True):
        one, other = owner[id(first[i])], owner[id(second[k])]
        both = groups[one][0] + groups[other][0], groups[one][1] + groups[other][1]
        if one == other or any(set(a.sights) & set(b.sights) for side in both for a, b in combinations(side, 2)):
            continue
        groups[one], groups[other] = both, ([], [])
        owner.update({id(track): one for side in both for track in side})
    sure = [_whole(mine, theirs) for mine, theirs in groups if mine and theirs]
    alone = [_whole(mine, theirs) for mine, theirs in groups if bool(mine) != bool(theirs)]
    rest = [(track, _apart(track, sure)) for track in alone]
    return sure + [apart for track, apart in rest if len(apart.sights) > _MIN_APART * len(track.sights)]


def _cut(track: Track, others: list[Track]) -> list[Track]:
    """Pieces that are one person each, by the other finder's tracks: who is seen beside somebody is not that one."""
    labels: list[tuple[int, Track]] = []
    for frame, sight in sorted(track.sights.items()):
        seen = [other for other in others if frame in other.sights]
        near = [overlap(sight.box_px[None], other.sights[frame].box_px[None])[0, 0] for other in seen]
        if near and max(near) > _SAME_BOX:
            labels.append((frame, seen[int(np.argmax(near))]))
    runs = [list(run) for _, run in groupby(labels, key=lambda label: id(label[1]))]
    lasting = [(run[0][0], run[0][1]) for run in runs if len(run) >= _LASTING]
    cuts = [frame for (_, a), (frame, b) in pairwise(lasting) if a is not b and set(a.sights) & set(b.sights)]
    pieces = [Track(clothes=track.clothes, velocity=track.velocity) for _ in range(len(cuts) + 1)]
    for frame, sight in sorted(track.sights.items()):
        pieces[bisect_right(cuts, frame)].sights[frame] = sight
    return pieces


def _agreement(a: Track, b: Track) -> int:
    """In how many frames two tracks are of one person; 0 where they mostly are not."""
    common = sorted(set(a.sights) & set(b.sights))
    boxes = ((a.sights[frame].box_px[None], b.sights[frame].box_px[None]) for frame in common)
    same = sum(bool(overlap(*pair)[0, 0] > _SAME_BOX) for pair in boxes)
    return same if same >= _MIN_COMMON and same > _MIN_AGREEING * len(common) else 0


def _apart(track: Track, others: list[Track]) -> Track:
    """The sights of a track that are no part of anyone else."""
    sights = {}
    for frame, sight in track.sights.items():
        around = [other.sights[frame].box_px for other in others if frame in other.sights]
        own = sight.box_px[None]
        if not around or intersection(own, np.array(around)).max() < _INSIDE * area(own)[0]:
            sights[frame] = sight
    return Track(sights, track.clothes, track.velocity)


def _whole(mine: list[Track], theirs: list[Track]) -> Track:
    sights = {}
    for track in [*theirs, *mine]:
        sights.update(track.sights)
    latest = max([*mine, *theirs], key=lambda track: track.last)
    known = [track.clothes for track in [*mine, *theirs] if track.clothes is not None]
    return Track(sights, np.mean(known, axis=0) if known else None, latest.velocity)
