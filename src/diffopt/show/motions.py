"""Motions that nobody filmed, side by side on checkered floors: a film, and a sheet with a row of stills for each."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float
from rich.progress import track

from diffopt.files.atomic import partial_file
from diffopt.geometry.cameras import look_at
from diffopt.show.overlay import write_film
from diffopt.show.palette import BODY, ROOT, rgb
from diffopt.show.raster import Image, Picture, draw_mesh
from diffopt.show.scene import Scene
from diffopt.show.world import draw_floor, draw_path, draw_shadow

PANE_PX = (480, 400)
_FIELD_OF_VIEW_RAD = math.radians(40.0)
"""Vertical."""
_BESIDE_RAD, _ABOVE_RAD = math.radians(60.0), math.radians(18.0)
_PERSON_M, _TALL_M = 0.9, 1.3
"""From the root to the side of the picture, and to its upper and lower edge."""
_STILLS = 8
_SHEET_WIDTH_PX = 2400
_GAP_PX = 4


def onlooking_camera(root: Float[np.ndarray, "T 3"]) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"], float]:
    """A camera that stands still and sees all of a path, from ahead and aside.

    Args:
        root: the path, metres.

    Returns:
        World-to-camera rotation and translation, and the focal length in pixels of a pane.
    """
    middle = (root.min(axis=0) + root.max(axis=0)) / 2
    reach = float(np.linalg.norm((root - middle)[:, [0, 2]], axis=1).max())
    travel = root[-1] - root[0]
    # Who goes nowhere is seen from where drawn motions first face, +z.
    ahead = math.atan2(travel[0], travel[2]) if np.linalg.norm(travel[[0, 2]]) > 0.5 else 0.0
    angle = ahead + _BESIDE_RAD
    aside = np.array([math.sin(angle), 0.0, math.cos(angle)])
    width, height = PANE_PX
    half = math.tan(_FIELD_OF_VIEW_RAD / 2)
    back = max((_PERSON_M + reach * math.sin(_BESIDE_RAD)) * height / width, _TALL_M) / half + reach
    eye = middle + back * (math.cos(_ABOVE_RAD) * aside + math.sin(_ABOVE_RAD) * np.array([0.0, 1.0, 0.0]))
    rotation, translation = look_at(torch.from_numpy(eye)[None], torch.from_numpy(middle)[None])
    return rotation[0].numpy(), translation[0].numpy(), height / 2 / half


def write_motions(film: Path, sheet: Path, scenes: Sequence[Scene]) -> list[Path]:
    """Write the film (H.264 in an MP4) and the sheet (PNG) of motions, each through its result's own camera.

    Args:
        film: the `.mp4` to write.
        sheet: the `.png` to write.
        scenes: motions of one length and rate.

    Returns:
        The two paths.
    """
    result = scenes[0].result
    chosen = np.unique(np.linspace(0, result.num_frames - 1, _STILLS).round().astype(int)).tolist()
    columns = math.ceil(math.sqrt(len(scenes)))
    stills: list[list[Image]] = []

    def compose() -> Iterator[Image]:
        panes = zip(*(_draw(scene) for scene in scenes), strict=True)
        for frame, drawn in enumerate(track(panes, "Drawing the motions", total=result.num_frames)):
            if frame in chosen:
                stills.append(list(drawn))
            yield _grid(drawn, columns)

    write_film(film, compose(), result.fps)
    rows = [[column[row] for column in stills] for row in range(len(scenes))]
    with partial_file(sheet) as partial:
        picture = _grid([still for row in rows for still in row], len(stills))
        height = round(picture.shape[0] * _SHEET_WIDTH_PX / picture.shape[1])
        picture = cv2.resize(picture, (_SHEET_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(partial), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return [film, sheet]


def _draw(scene: Scene) -> Iterator[Image]:
    """One motion's frames: floor, shadow, the way gone, the body."""
    faces = scene.body.faces.numpy()
    on_floor = scene.root * np.array([1.0, 0.0, 1.0])
    for frame, vertices in enumerate(scene.meshes()):
        view = scene.view(frame)
        image = draw_floor(view, scene.root[frame])
        draw_shadow(image, view, vertices, faces)
        draw_path(image, view, on_floor[: frame + 1], rgb(ROOT), 2)
        yield draw_mesh(image, vertices, faces, view, rgb(BODY))


def _grid(panes: Sequence[Image], columns: int) -> Picture:
    """Pictures of one size in rows, white between them and where the last row ends early."""
    height, width = panes[0].shape[:2]
    rows = math.ceil(len(panes) / columns)
    grid = np.full((rows * (height + _GAP_PX), columns * (width + _GAP_PX), 3), 255, dtype=np.uint8)
    for index, pane in enumerate(panes):
        top, left = (height + _GAP_PX) * (index // columns), (width + _GAP_PX) * (index % columns)
        grid[top : top + height, left : left + width] = pane
    return grid
