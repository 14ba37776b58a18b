"""Everything there is to look at of a result, written beside it."""

import json
from pathlib import Path

from diffopt.body.model import BodyModel, load_body
from diffopt.errors import DiffoptError
from diffopt.formats import glb
from diffopt.frontend.video import open_video
from diffopt.observation.observation import Observation
from diffopt.result.result import Result
from diffopt.show.curves import write_curves
from diffopt.show.overlay import write_overlay
from diffopt.show.scene import Scene
from diffopt.show.top_view import write_top_view

_ASPECT_TOLERANCE = 0.02


def show(
    result_folder: Path,
    video: Path | None = None,
    observation: Observation | None = None,
    body: BodyModel | None = None,
) -> list[Path]:
    """Write `top_view.png`, `curves.png`, `overlay.mp4`, `overlay.png` and `motion.glb` into a result's folder.

    Args:
        result_folder: what a fit left behind.
        video: the video it was fitted to; without it, the film shows the 2D keypoints on a blank.
        observation: what the fit started from: gives the 2D keypoints, where in the video it begins, and the truth
            where it is known; None takes the folder's `observation.npz`, if there is one.
        body: the body that the result's `betas` belong to; None takes the free body.

    Returns:
        The files written.

    Raises:
        DiffoptError: the result, the video, the observation and the body do not belong together.
    """
    result_folder = Path(result_folder)
    result = Result.load(result_folder)
    kept = result_folder / "observation.npz"
    if observation is None and kept.is_file():
        observation = Observation.load(kept)
    scene = Scene(result, _body_of(result, body, result_folder), observation)
    pictures = None
    if video is not None:
        opened = open_video(Path(video), start_frame=_first_frame(observation))
        _check_video(opened.width, opened.height, opened.num_frames, result, Path(video))
        pictures = opened.frames()
    written = [
        write_top_view(result_folder / "top_view.png", scene),
        write_curves(result_folder / "curves.png", scene),
        glb.write(result_folder / "motion.glb", result, scene.body),
    ]
    film, sheet = result_folder / "overlay.mp4", result_folder / "overlay.png"
    return written + write_overlay(film, sheet, scene, pictures)


def _first_frame(observation: Observation | None) -> int:
    """The video's frame at which the result begins: of an observation made of a part of one."""
    return 0 if observation is None else json.loads(observation.provenance).get("span", [0])[0]


def _body_of(result: Result, body: BodyModel | None, folder: Path) -> BodyModel:
    body = load_body() if body is None else body
    if body.name != result.body_model:
        raise DiffoptError(
            f"{folder}: the motion was fitted with the '{result.body_model}' body but the '{body.name}' body is given; "
            "its shape would be wrong; give the same one, e.g. body.model=/path/to/SMPL_NEUTRAL.pkl."
        )
    return body


def _check_video(width: int, height: int, frames: int, result: Result, video: Path) -> None:
    expected_width, expected_height = result.image_size_px.tolist()
    if abs(width / height * expected_height / expected_width - 1) > _ASPECT_TOLERANCE:
        raise DiffoptError(
            f"{video}: its frames are {width} x {height} pixels but the result's are "
            f"{expected_width} x {expected_height}; expected the video that the result was fitted to; give that one."
        )
    if frames < result.num_frames:
        raise DiffoptError(
            f"{video}: has {frames} frames from the start of the result on but the result has {result.num_frames}; "
            "expected the video that the result was fitted to; give that one."
        )
