"""The film: the body over the video beside the world, written frame by frame, and a sheet of stills from it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, repeat
from pathlib import Path

import av
import cv2
import numpy as np
from rich.progress import track

from diffopt.files.atomic import partial_file
from diffopt.show.keypoints import draw_keypoints
from diffopt.show.palette import BODY, CAMERA, INK, ROOT, TRUTH, WARNING, rgb, rgb_bytes
from diffopt.show.raster import Image, Picture, View, draw_mesh
from diffopt.show.scene import Scene
from diffopt.show.world import Onlooker, Paths

_HEIGHT_RANGE_PX = (480, 720)
_WORLD_ASPECT = 4 / 3
_GAP_PX = 4
_OPACITY = 0.85
_OPACITY_UNDER_KEYPOINTS = 0.55
_BLANK = 244
_SHEET_WIDTH_PX = 2400
_SHEET_COLUMNS = {"wide": 6, "tall": 8}
_FONT = cv2.FontFace("sans")


@dataclass(frozen=True)
class Panes:
    """One frame of the film before it is put together."""

    filmed: Image
    world: Picture
    caption: str
    warning: str


def write_overlay(film: Path, sheet: Path, scene: Scene, pictures: Iterable[Image] | None) -> list[Path]:
    """Write the film (H.264 in an MP4) and a contact sheet of some of its frames.

    Args:
        film: the `.mp4` to write.
        sheet: the `.png` to write.
        scene: what is shown.
        pictures: the video's frames, of any size with the result's proportions; None draws the 2D keypoints instead.

    Returns:
        The two paths.
    """
    frames = scene.result.num_frames
    columns = _SHEET_COLUMNS["tall" if scene.view(0).size_px[1] > scene.view(0).size_px[0] else "wide"]
    chosen = set(np.unique(np.linspace(0, frames - 1, columns).round().astype(int)).tolist())
    stills: list[Panes] = []
    legend = [("person", ROOT), ("camera", CAMERA)]
    if scene.truth is not None:
        legend.append(("true path", TRUTH))

    def compose() -> Iterator[Image]:
        panes = draw_panes(scene, pictures)
        for frame, drawn in enumerate(track(panes, "Drawing the film", total=frames)):
            if frame in chosen:
                stills.append(drawn)
            yield _side_by_side(drawn, legend)

    write_film(film, compose(), scene.result.fps)
    with partial_file(sheet) as partial:
        cv2.imwrite(str(partial), cv2.cvtColor(_contact_sheet(stills), cv2.COLOR_RGB2BGR))
    return [film, sheet]


def draw_panes(scene: Scene, pictures: Iterable[Image] | None) -> Iterator[Panes]:
    """Draw the film's frames one by one."""
    result = scene.result
    size_px = _pane_size(scene.view(0).size_px)
    world_size_px = (_even(size_px[1] * _WORLD_ASPECT), size_px[1])
    truth_root = None if scene.truth is None else scene.truth.joints[:, 0]
    paths = Paths(
        scene.root, result.rotation_w2c.astype(np.float64), result.translation_w2c.astype(np.float64), truth_root
    )
    onlooker = Onlooker(paths, result.fps, world_size_px)
    faces = scene.body.faces.numpy()
    # A video may end a frame or two before its header says: the rest is drawn on a blank.
    sources: Iterator[Image | None] = chain(pictures if pictures is not None else (), repeat(None))
    for frame, (vertices, picture) in enumerate(zip(scene.meshes(), sources, strict=False)):
        filmed = scene.view(frame).scaled(size_px)
        if picture is not None:
            picture = cv2.resize(picture, size_px, interpolation=cv2.INTER_AREA)
        left = _draw_filmed(scene, frame, vertices, filmed, picture)
        world = onlooker.draw(frame, vertices, faces, filmed, picture if picture is not None else left)
        warning = ""
        if any(start <= frame < stop for start, stop in scene.low_trust):
            warning = "low trust"
        if scene.observation is not None and not scene.observation.frame_valid[frame]:
            warning = "person not seen"
        yield Panes(left, world, f"{frame / result.fps:.2f} s", warning)


def write_film(path: Path, frames: Iterable[Image], fps: float) -> Path:
    """Encode frames of one even size as H.264 (yuv420p, which every player shows)."""
    with partial_file(path) as partial, av.open(str(partial), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "20", "preset": "veryfast"}
        for count, frame in enumerate(frames):
            if count == 0:
                stream.height, stream.width = frame.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def _draw_filmed(scene: Scene, frame: int, vertices: np.ndarray, filmed: View, picture: Picture | None) -> Image:
    faces, color = scene.body.faces.numpy(), rgb(BODY)
    if picture is not None:
        return draw_mesh(picture, vertices, faces, filmed, color, _OPACITY)
    blank = np.full((filmed.size_px[1], filmed.size_px[0], 3), _BLANK, dtype=np.uint8)
    image = draw_mesh(blank, vertices, faces, filmed, color, _OPACITY_UNDER_KEYPOINTS)
    observation = scene.observation
    if observation is not None:
        factor = filmed.size_px[0] / float(observation.image_size_px[0])
        keypoints_px = (observation.keypoints_px[frame] + 0.5) * factor - 0.5
        draw_keypoints(image, keypoints_px, observation.confidence[frame], observation.keypoint_set)
    return image


def _side_by_side(panes: Panes, legend: list[tuple[str, str]]) -> Image:
    left, world = panes.filmed.copy(), panes.world.copy()
    _write_text(left, panes.caption, (12, 12))
    if panes.warning:
        _write_text(left, panes.warning, (12, 44), WARNING)
        cv2.rectangle(left, (1, 1), (left.shape[1] - 2, left.shape[0] - 2), rgb_bytes(WARNING), 3)
    _write_text(world, "world, squares of 1 m", (12, 12))
    for row, (text, color) in enumerate(legend):
        _write_text(world, text, (12, 44 + 32 * row), color)
    gap = np.full((left.shape[0], _GAP_PX, 3), 255, dtype=np.uint8)
    return np.concatenate([left, gap, world], axis=1)


def _contact_sheet(stills: list[Panes]) -> Image:
    width = (_SHEET_WIDTH_PX - _GAP_PX * (len(stills) - 1)) // len(stills)
    columns = []
    for panes in stills:
        cells = []
        for image in (panes.filmed, panes.world):
            height = round(image.shape[0] * width / image.shape[1])
            cells.append(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
            cells.append(np.full((_GAP_PX, width, 3), 255, dtype=np.uint8))
        _write_text(cells[0], panes.caption, (8, 8))
        columns += [np.concatenate(cells[:-1]), np.full((sum(map(len, cells[:-1])), _GAP_PX, 3), 255, dtype=np.uint8)]
    return np.concatenate(columns[:-1], axis=1)


def _write_text(image: Image, text: str, corner: tuple[int, int], color: str = INK) -> None:
    """Write on a pale ground, so that it can be read over any picture. `corner` is the ground's top left."""
    size, margin = 17, 6
    _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), _FONT, size, 500)
    left, top = corner
    patch = image[top : top + size + margin, left : left + width + 2 * margin]
    patch[:] = (0.25 * patch + 0.75 * 255).astype(np.uint8)
    cv2.putText(image, text, (left + margin, top + size), rgb_bytes(color), _FONT, size, 500)


def _pane_size(size_px: tuple[int, int]) -> tuple[int, int]:
    """Even sides (yuv420p halves them), and a height that shows the body without costing minutes."""
    height = min(max(size_px[1], _HEIGHT_RANGE_PX[0]), _HEIGHT_RANGE_PX[1])
    return _even(size_px[0] * height / size_px[1]), _even(float(height))


def _even(length: float) -> int:
    return 2 * round(length / 2)
