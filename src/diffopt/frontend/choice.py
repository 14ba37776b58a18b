"""Whom of all people in a video is meant: by number, by a point, or the one whom the film is mostly about."""

import re
from dataclasses import dataclass

import numpy as np

from diffopt.errors import DiffoptError
from diffopt.frontend.people import People
from diffopt.frontend.video import Video

_CLOSE, _SAME_CLOTHES = 0.6, 0.8
_POINT = re.compile(r"\s*([\d.]+)\s*,\s*([\d.]+)\s*(?:@\s*([\d.]+)\s*(s?)\s*)?")
_MEANS = "expected a number of `diffopt people`, or a point of a frame such as '320,180@45' or '320,180@1.5s'"


@dataclass(frozen=True)
class Choice:
    """One person, and how sure that is."""

    person: int
    rivals: list[int]
    """Who could have been meant as well; nobody where the user said it."""


def choose(people: People, wanted: str | None, video: Video, start_frame: int = 0) -> Choice:
    """The person to fit.

    Args:
        people: at least one.
        wanted: `2`, or `x,y@frame` or `x,y@seconds's'` in pixels and on the whole video's clock; None takes the most
            prominent one.
        video: the span that people were looked for in.
        start_frame: where it begins in the whole video.

    Raises:
        DiffoptError: there is no such person, or nobody at that point.
    """
    if wanted is None:
        close = people.prominence[1:] > _CLOSE * people.prominence[0]
        return Choice(1, (np.flatnonzero(close) + 2).tolist())
    if wanted.strip().isdigit():
        number = int(wanted)
        if not 1 <= number <= people.count:
            raise DiffoptError(
                f"frontend.person={number}: {video.path} shows people 1 to {people.count}; {_MEANS}; see them with "
                f"`diffopt people {video.path}`."
            )
        return Choice(number, [])
    return Choice(_at_point(people, wanted, video, start_frame), [])


def _at_point(people: People, wanted: str, video: Video, start_frame: int) -> int:
    told = _POINT.fullmatch(wanted)
    if told is None:
        raise DiffoptError(f"frontend.person='{wanted}': {_MEANS}.")
    x, y = float(told[1]), float(told[2])
    frame = round(float(told[3]) * (video.fps if told[4] else 1)) - start_frame if told[3] else 0
    if not (0 <= frame < video.num_frames and x < video.width and y < video.height):
        last = start_frame + video.num_frames - 1
        raise DiffoptError(
            f"frontend.person='{wanted}': {video.path} has frames {start_frame} to {last} "
            f"of {video.width}x{video.height} pixels at {video.fps:.4g} Hz; {_MEANS}, inside of these."
        )
    boxes = np.array([people.boxes(person, video.num_frames)[frame] for person in range(1, people.count + 1)])
    inside = ((boxes[:, :2] <= [x, y]) & (boxes[:, 2:] >= [x, y])).all(axis=1)
    if not inside.any():
        raise DiffoptError(
            f"frontend.person='{wanted}': nobody is there in frame {start_frame + frame}; {_MEANS}; see everybody with "
            f"`diffopt people {video.path}`."
        )
    # Of several the one about whose middle the point is.
    off = np.linalg.norm(((boxes[:, :2] + boxes[:, 2:]) / 2 - [x, y]) / (boxes[:, 2:] - boxes[:, :2]), axis=1)
    return int(np.where(inside, off, np.inf).argmin()) + 1


def seen_again(people: People, person: int) -> list[int]:
    """Who is never seen at the same time as somebody and is dressed like them: perhaps the same person."""
    alike = np.sqrt(people.clothes * people.clothes[person - 1]).sum(axis=1)
    start, stop = people.span(person)
    spans = [people.span(other) for other in range(1, people.count + 1)]
    apart = np.array([stop <= first or last <= start for first, last in spans])
    return (np.flatnonzero(apart & (alike > _SAME_CLOTHES)) + 1).tolist()
