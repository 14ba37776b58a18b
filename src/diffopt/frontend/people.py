"""Everybody in a video: found by two networks, followed, numbered by how much the film is theirs."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from rich.progress import Progress

from diffopt.frontend.finders import Finder, MultiPose, NanoDet
from diffopt.frontend.following import Sight, Track, clothes, follow, join
from diffopt.frontend.merging import merge
from diffopt.frontend.picture_motion import MotionEstimate
from diffopt.frontend.video import Video

_LOOKS_HZ = 15.0
_MIN_HEIGHT = 0.06
"""Of the picture's height: nothing can be read of anyone smaller."""
_MIN_SEEN_S = 0.5


@dataclass(frozen=True)
class People:
    """All sights of all people, in the order of people and then frames. The first person is number 1."""

    person: Int[ndarray, "N"]
    frame: Int[ndarray, "N"]
    box_px: Float[ndarray, "N 4"]
    score: Float[ndarray, "N"]
    clothes: Float[ndarray, "P B"]
    """Colours of each."""
    prominence: Float[ndarray, "P"]
    """Sum over the frames of score x height x centredness, each 0 to 1."""

    @property
    def count(self) -> int:
        return len(self.prominence)

    def span(self, person: int) -> tuple[int, int]:
        """First frame of a person, and the one after the last."""
        frames = self.frame[self.person == person]
        return int(frames[0]), int(frames[-1]) + 1

    def height_px(self, person: int) -> float:
        """Median height of a person's boxes."""
        own = self.box_px[self.person == person]
        return float(np.median(own[:, 3] - own[:, 1]))

    def boxes(self, person: int, frames: int) -> Float[ndarray, "T 4"]:
        """Of every frame, interpolated between sights; NaN before the first and after the last."""
        own = self.person == person
        at, every = self.frame[own], np.arange(frames)
        boxes = np.stack([np.interp(every, at, side, np.nan, np.nan) for side in self.box_px[own].T], axis=1)
        return boxes

    def others(self, person: int, frames: int) -> Float[ndarray, "P T 4"]:
        """Boxes of everybody else."""
        boxes = [self.boxes(other, frames) for other in range(1, self.count + 1) if other != person]
        return np.reshape(boxes, (-1, frames, 4))


def find_people(video: Video, max_gap_s: float, progress: Progress, finders: list[Finder] | None = None) -> People:
    """Find and follow everybody.

    Args:
        video: the frames; every second one is looked at, fewer of a fast film.
        max_gap_s: how long somebody may be out of sight and still be the same person, seconds.
        progress: shows the frames done.
        finders: two of them, the one whose boxes count first; None loads the networks.
    """
    finders = finders or [MultiPose(), NanoDet()]
    step, size = max(2, round(video.fps / _LOOKS_HZ)), (video.width, video.height)
    looks: list[dict[int, list[Sight]]] = [{} for _ in finders]
    estimate = MotionEstimate()
    for frame, picture in enumerate(progress.track(video.frames(), total=video.num_frames, description="people")):
        if frame % step and frame != video.num_frames - 1:
            continue
        for finder, look in zip(finders, looks, strict=True):
            found = finder(picture)
            tall = found.boxes_px[:, 3] - found.boxes_px[:, 1] > _MIN_HEIGHT * video.height
            look[frame] = [
                Sight(box, float(score), clothes(picture, box))
                for box, score in zip(found.boxes_px[tall], found.scores[tall], strict=True)
            ]
        boxes = [sight.box_px for look in looks for sight in look[frame]]
        estimate.look(frame, picture, np.reshape(boxes, (-1, 4)))
    motion = estimate.motion
    tracks = [
        join(follow(look, finder.start_score, motion, size, video.fps), max_gap_s * video.fps, motion, size)
        for finder, look in zip(finders, looks, strict=True)
    ]
    least = min(_MIN_SEEN_S * video.fps, video.num_frames / 2)
    everyone = [track for track in merge(*tracks) if track.last - track.first >= least]
    return _numbered(everyone, size, step)


def _numbered(tracks: list[Track], size: tuple[int, int], step: int) -> People:
    weights = [step * _prominence(track, size) for track in tracks]
    ranked = [tracks[index] for index in np.argsort(weights)[::-1]]
    sights = [
        (number, frame, track.sights[frame])
        for number, track in enumerate(ranked, start=1)
        for frame in sorted(track.sights)
    ]
    return People(
        person=np.array([number for number, _, _ in sights], dtype=int),
        frame=np.array([frame for _, frame, _ in sights], dtype=int),
        box_px=np.array([sight.box_px for _, _, sight in sights]).reshape(-1, 4),
        score=np.array([sight.score for _, _, sight in sights]),
        clothes=np.array([track.clothes for track in ranked]).reshape(len(ranked), -1 if ranked else 1),
        prominence=np.array(sorted(weights, reverse=True)),
    )


def _prominence(track: Track, size: tuple[int, int]) -> float:
    """How much of the film somebody is: seen long, large, near the middle, certain."""
    boxes = np.array([sight.box_px for sight in track.sights.values()])
    scores = np.array([sight.score for sight in track.sights.values()])
    height = ((boxes[:, 3] - boxes[:, 1]) / size[1]).clip(0, 1)
    off = np.abs((boxes[:, 0] + boxes[:, 2]) / size[0] - 1).clip(0, 1)
    return float((scores * height * (1 - 0.5 * off)).sum())
