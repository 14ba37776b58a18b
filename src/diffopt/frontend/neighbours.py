"""Two people so near each other that one was read twice: whose body is it?"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from diffopt.frontend.boxes import overlap
from diffopt.frontend.keypoints import PersonTrack

_SAME_BODY = 0.08
"""Mean distance of keypoints, in sides of the square about the body, below which two readings are of one body."""


def keep_apart(
    tracks: dict[int, PersonTrack], boxes_px: dict[int, Float[ndarray, "T 4"]]
) -> tuple[dict[int, PersonTrack], int]:
    """Take from people what was read off a neighbour: of two readings of one body the one that fits its box less.

    Args:
        tracks: by person.
        boxes_px: by person; NaN where out of sight.

    Returns:
        The tracks, and how many readings were taken away.
    """
    lost = {person: np.zeros_like(track.seen) for person, track in tracks.items()}
    numbers = list(tracks)
    for index, first in enumerate(numbers):
        for second in numbers[index + 1 :]:
            for frame in np.flatnonzero(_one_body(tracks[first], tracks[second])).tolist():
                fits = [_fit(tracks[person], boxes_px[person], frame) for person in (first, second)]
                lost[first if fits[0] < fits[1] else second][frame] = True
    taken = sum(int(frames.sum()) for frames in lost.values())
    return {person: _without(tracks[person], lost[person]) for person in numbers}, taken


def _one_body(first: PersonTrack, second: PersonTrack) -> Bool[ndarray, "T"]:
    both = first.seen & second.seen
    apart = np.linalg.norm(first.keypoints_px - second.keypoints_px, axis=-1).mean(axis=1)
    return both & (apart < _SAME_BODY * np.minimum(first.crop_side_px, second.crop_side_px))


def _fit(track: PersonTrack, boxes_px: Float[ndarray, "T 4"], frame: int) -> float:
    points = track.keypoints_px[frame]
    body = np.concatenate([points.min(axis=0), points.max(axis=0)])
    return float(overlap(body[None], boxes_px[frame][None])[0, 0])


def _without(track: PersonTrack, lost: Bool[ndarray, "T"]) -> PersonTrack:
    blank = {
        name: np.where(lost.reshape(-1, *[1] * (getattr(track, name).ndim - 1)), empty, getattr(track, name))
        for name, empty in (
            ("keypoints_px", np.nan), ("visibility", 0.0), ("landmarks_c", np.nan), ("crop_center_px", np.nan),
            ("crop_side_px", np.nan),
        )
    }  # fmt: skip
    # The mask stays: whosever pixels these are, they are nothing of the scene.
    return replace(track, seen=track.seen & ~lost, **blank)
