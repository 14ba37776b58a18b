"""Everybody in a video on one picture, numbered, so that one look tells whom to choose."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from diffopt.frontend.people import People
from diffopt.frontend.people_table import in_words, table
from diffopt.frontend.video import Video

LISTED = 12
"""People drawn and listed at most; the table has them all."""
_COLUMNS, _ROWS, _TILE_PX, _LINE_PX = 3, 3, 560, 24
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def write_contact_sheet(
    path: Path, video: Video, people: People, start_frame: int = 0, chosen: int | None = None
) -> Path:
    """Draw nine frames with boxes and numbers, and the list of who is seen when.

    Args:
        path: the picture to write, by its ending a JPEG or a PNG.
        video: the span that people were looked for in.
        people: all of them; the first twelve are drawn.
        start_frame: where the span begins in the whole video, as frames are told by its clock.
        chosen: whose line is marked.
    """
    listed = range(1, min(people.count, LISTED) + 1)
    boxes = {person: people.boxes(person, video.num_frames) for person in listed}
    shown = set(np.linspace(0, video.num_frames - 1, _COLUMNS * _ROWS).round().astype(int).tolist())
    height = max(round(_TILE_PX * video.height / video.width), 1)
    tiles = []
    for frame, picture in enumerate(video.frames()):
        if frame in shown:
            tile = cv2.resize(picture, (_TILE_PX, height), interpolation=cv2.INTER_AREA)
            for person in reversed(listed):
                _draw(tile, boxes[person][frame] * _TILE_PX / video.width, person)
            _write(
                tile, f"{start_frame + frame}  {(start_frame + frame) / video.fps:.1f} s", (8, height - 8), (255,) * 3
            )
            tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % _COLUMNS)
    rows = [np.hstack(tiles[start : start + _COLUMNS]) for start in range(0, len(tiles), _COLUMNS)]
    sheet = np.vstack([*rows, _legend(video, people, start_frame, chosen)])
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), sheet[..., ::-1])
    return path


def _legend(video: Video, people: People, start_frame: int, chosen: int | None) -> UInt8[ndarray, "H W 3"]:
    listed = min(people.count, LISTED)
    rows = table(people, video, start_frame)[:listed]
    lines = [(in_words(row), _colour(row["person"])) for row in rows]
    if chosen is not None and chosen <= listed:
        lines[chosen - 1] = (f"{lines[chosen - 1][0]}  <- taken", lines[chosen - 1][1])
    if people.count > listed:
        lines.append((f"and {people.count - listed} less prominent ones", (200, 200, 200)))
    if not people.count:
        lines.append(("nobody found", (200, 200, 200)))
    legend = np.zeros((_LINE_PX * (len(lines) + 1), _COLUMNS * _TILE_PX, 3), np.uint8)
    for index, (text, colour) in enumerate(lines, start=1):
        _write(legend, text, (12, _LINE_PX * index), colour)
    return legend


def _draw(picture: UInt8[ndarray, "H W 3"], box: ndarray, person: int) -> None:
    if np.isnan(box).any():
        return
    (x0, y0), corner = (pair.round().astype(int).tolist() for pair in (box[:2], box[2:]))
    cv2.rectangle(picture, (x0, y0), corner, _colour(person), 2)
    place = (max(x0, 0) + 3, max(y0, 0) + 20)
    cv2.rectangle(
        picture, (place[0] - 3, place[1] - 19), (place[0] + 13 * len(str(person)), place[1] + 4), (0, 0, 0), -1
    )
    _write(picture, str(person), place, _colour(person))


def _write(picture: UInt8[ndarray, "H W 3"], text: str, place: tuple[int, int], colour: tuple[int, ...]) -> None:
    cv2.putText(picture, text, place, _FONT, 0.6, (0, 0, 0), 4, cv2.LINE_AA)
    cv2.putText(picture, text, place, _FONT, 0.6, colour, 1, cv2.LINE_AA)


def _colour(person: int) -> tuple[int, ...]:
    """Neighbouring numbers differ most in hue."""
    hue = np.array([[[person * 111 % 180, 170, 255]]], dtype=np.uint8)
    return tuple(int(value) for value in cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0])
