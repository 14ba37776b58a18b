"""Sanity checks of a camera beside bodies that are given in the camera frame.

A body in the camera frame falls on the image whatever the camera's path is, so projecting cannot see a wrong path.
What can: a person's heading and lean change slowly, while an inverted camera adds its own turning to theirs twice.
(Swapped quaternions turn the world upside down and are seen by their first pose, see `slam`.) Nor can it see a wrong
lens where the body's depth follows it; but a lens looks through the middle of its picture, more or less.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.transform import Rotation

from diffopt.errors import DiffoptError
from diffopt.formats.parts import Lens

STEP_S = 0.5
MIN_CAMERA_TURN_DEG = 10.0
"""Below this turn of the camera nothing can be told, and little is lost."""
MUCH_CALMER = 0.7
"""The inverse must leave this part of the person's turning, or less, to be believed."""
MIN_GAIN_DEG = 2.0
MUCH_TURNED_DEG = 12.0
"""Who walks on an arc while the camera turns the other way is calmer through the inverse too. But people hardly ever
turn by more than this in every half second; of less it is only told."""
MAX_OFF_CENTER = 0.25
"""How far from the middle the principal point may be, as a part of the image's side: videos are trimmed, not cut up."""


def check_camera_turn(
    rotation_w2c: Float[ndarray, "T 3 3"], global_orient_c: Float[ndarray, "T 3 3"], fps: float, where: str
) -> str | None:
    """Compare how much the person turns in the world, with the camera as it was read and with its inverse.

    Returns:
        What to tell the user if the person's turning can be doubted; None if it cannot.

    Raises:
        DiffoptError: the camera turns, the person hardly stops turning, and the inverse leaves them much calmer.
    """
    step = max(1, round(STEP_S * fps))
    if len(rotation_w2c) <= 2 * step or _degrees(rotation_w2c @ rotation_w2c[0].T).max() < MIN_CAMERA_TURN_DEG:
        return None
    as_read = _turn_deg(rotation_w2c, global_orient_c, step)
    inverted = _turn_deg(np.swapaxes(rotation_w2c, -1, -2), global_orient_c, step)
    if inverted >= MUCH_CALMER * as_read or as_read - inverted <= MIN_GAIN_DEG:
        return None
    found = (
        f"{where}: with this camera the person turns by {as_read:.0f} degrees in every {STEP_S} s, with its inverse by "
        f"{inverted:.0f}: "
    )
    if as_read > MUCH_TURNED_DEG:
        raise DiffoptError(f"{found}inverted extrinsics; invert the camera's poses in the file.")
    return f"{found}inverted extrinsics, or somebody who walks on an arc; look at the result"


def check_lens(lens: Lens, image_size_px: tuple[int, int], where: str) -> None:
    """Compare the principal point with the middle of the image.

    Raises:
        DiffoptError: it is far off.
    """
    middle = np.asarray(image_size_px) / 2
    found = np.median(lens.center_px, axis=0)
    if (np.abs(found - middle) > MAX_OFF_CENTER * np.asarray(image_size_px)).any():
        width, height = image_size_px
        raise DiffoptError(
            f"{where}: the principal point is ({found[0]:.0f}, {found[1]:.0f}) but the middle of the {width} x {height}"
            f" image is ({middle[0]:.0f}, {middle[1]:.0f}): crop intrinsics, or width and height are swapped; give the "
            "full frame's."
        )


def _degrees(rotations: Float[ndarray, "N 3 3"]) -> Float[ndarray, "N"]:
    return np.degrees(Rotation.from_matrix(rotations).magnitude())


def _turn_deg(rotation_w2c: ndarray, global_orient_c: ndarray, step: int) -> float:
    """Mean turn of the body's root in the world in `step` frames."""
    world = np.swapaxes(rotation_w2c, -1, -2) @ global_orient_c
    return float(_degrees(world[step:] @ np.swapaxes(world[:-step], -1, -2)).mean())
