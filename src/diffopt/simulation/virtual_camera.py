"""Virtual cameras that film a person: where they stand, where they look, and how they move."""

import math
from dataclasses import dataclass

import numpy as np
import roma
import torch
from jaxtyping import Float
from numpy.random import Generator
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from diffopt.errors import DiffoptError
from diffopt.geometry.cameras import Cameras, look_at

CAMERA_MOVES: tuple[str, ...] = ("static", "pan", "follow", "orbit", "dolly", "zoom", "shake")

_HEIGHT_M = (1.1, 1.9)
"""A low tripod to a phone held over the head."""
_AIM_M = 0.9
"""Cameras are aimed at hips."""
_FIELD_OF_VIEW_RAD = (math.radians(50), math.radians(68))
"""Horizontal: phones' main cameras (26 mm equivalent: 68°) down to a mild zoom."""
_FOLLOW_SECONDS = 0.6
"""How late a camera operator is."""
_BOUNCE_M = 0.02
"""Half the up and down of a walking operator's hands; half as much sideways."""
_SWAY_RAD = math.radians(0.8)
"""Unsteady aim of hand-held footage."""
_ROLL_RAD = {"hand": math.radians(2.0), "mount": math.radians(0.7)}
"""How far off level a camera is held, and mounted."""
_ZOOM = 1.8
"""Focal length at the end of a zoom over that at its beginning, or the other way round."""
_SHAKE_RAD, _SHAKE_M, _SHAKE_S = math.radians(1.5), 0.03, 0.08
"""A camera that is run with: fast errors of its aim and place, and how soon they forget each other."""


@dataclass(frozen=True)
class FilmedCameras(Cameras):
    """A camera over T frames, float64, and the size of its images."""

    image_size_px: tuple[int, int]


def correlated_noise(random: Generator, frames: int, width: int, correlation_frames: float) -> Float[Tensor, "T D"]:
    """Smooth noise of mean 0 and standard deviation 1 whose values forget each other after `correlation_frames`."""
    margin = math.ceil(4 * correlation_frames)
    white = random.standard_normal((frames + 2 * margin, width))
    impulse = np.zeros(2 * margin + 1)
    impulse[margin] = 1
    gain = np.sqrt(np.square(gaussian_filter1d(impulse, correlation_frames)).sum())
    smooth = gaussian_filter1d(white, correlation_frames, axis=0)[margin : margin + frames]
    return torch.from_numpy(smooth / gain)


def film(
    move: str, pelvis: Float[Tensor, "T 3"], fps: float, image_size_px: tuple[int, int], random: Generator
) -> FilmedCameras:
    """FilmedCameras that film a person.

    `static` and `pan` stand and see the whole path; `dolly` rolls along it with a fixed aim; `orbit` circles around the
    person; `follow` walks along, hand-held; `zoom` stands, pans and changes its focal length; `shake` is a `follow` in
    a hurry. Moving cameras come after the person with an operator's delay; none is quite level.

    Args:
        move: one of `CAMERA_MOVES`.
        pelvis: the person's path, metres, world y up.
        fps: frames per second.
        image_size_px: width, height.
        random: decides side, distance, field of view and hand.

    Raises:
        DiffoptError: the move is unknown.
    """
    if move not in CAMERA_MOVES:
        raise DiffoptError(f"Camera move '{move}' is unknown; expected one of {', '.join(CAMERA_MOVES)}.")
    pelvis = pelvis.double()
    frames = len(pelvis)
    seconds = torch.arange(frames, dtype=torch.float64) / fps
    followed = torch.from_numpy(gaussian_filter1d(pelvis.numpy(), _FOLLOW_SECONDS * fps, axis=0, mode="nearest"))
    followed[:, 1] = _AIM_M
    middle = (followed.amin(dim=0) + followed.amax(dim=0)) / 2
    reach = (followed - middle).norm(dim=-1).max()
    angle = torch.as_tensor(random.uniform(0, 2 * math.pi), dtype=torch.float64)
    width = image_size_px[0]
    focal = width / 2 / math.tan(random.uniform(*_FIELD_OF_VIEW_RAD) / 2)
    near = random.uniform(3.5, 5.5)
    # From a stream of its own: it leaves the other draws alone.
    height = random.spawn(1)[0].uniform(*_HEIGHT_M)
    far = near + 1.3 * float(reach)  # from here the path lies inside the narrowest view

    if move == "static":
        eye, target = middle + _beside(angle, far, height), middle
    elif move in ("pan", "zoom"):
        eye, target = middle + _beside(angle, far, height), followed
    elif move == "dolly":
        speed = (followed[-1] - followed[0]) / (frames - 1)
        eye = middle + _beside(angle, near, height) + speed * (torch.arange(frames)[:, None] - (frames - 1) / 2)
        target = eye - _beside(angle, near, height)
    elif move == "orbit":
        rate = math.radians(random.uniform(10, 25)) * random.choice([-1, 1])
        eye, target = followed + _beside(angle + rate * seconds, near, height), followed
    else:
        eye, target = followed + _beside(angle + 0.3 * _drift(random, frames, 3 * fps), near, height), followed
        bounce = torch.stack(
            [0.5 * torch.sin(2 * math.pi * 0.9 * seconds), torch.sin(2 * math.pi * 1.8 * seconds)], dim=-1
        )
        eye = eye + _BOUNCE_M * torch.stack([bounce[:, 0], bounce[:, 1], bounce[:, 0]], dim=-1)
        target = target + near * _SWAY_RAD * correlated_noise(random, frames, 3, 0.3 * fps)
    if move == "shake":
        eye = eye + _SHAKE_M * correlated_noise(random, frames, 3, _SHAKE_S * fps)
        target = target + near * _SHAKE_RAD * correlated_noise(random, frames, 3, _SHAKE_S * fps)
    rotation, translation = look_at(eye.expand(frames, 3), target.expand(frames, 3))
    rotation, translation = _rolled(rotation, translation, _roll(move, frames, fps, random))
    focals = torch.full((frames,), focal, dtype=torch.float64)
    if move == "zoom":
        ramp = torch.linspace(0, 1, frames, dtype=torch.float64)
        focals = focals * _ZOOM ** (ramp if random.uniform() < 0.5 else 1 - ramp)
    center = torch.tensor([width / 2, image_size_px[1] / 2], dtype=torch.float64)
    return FilmedCameras(
        rotation,
        translation,
        focals,
        center.expand(frames, 2),
        image_size_px,
    )


def _beside(angle: Float[Tensor, "*T"], distance: float, height: float) -> Float[Tensor, "*T 3"]:
    """From what a camera is aimed at to the camera."""
    rise = torch.full_like(angle, height - _AIM_M)
    return torch.stack([distance * torch.sin(angle), rise, distance * torch.cos(angle)], dim=-1)


def _roll(move: str, frames: int, fps: float, random: Generator) -> Float[Tensor, "T"]:
    """Angle about the line of sight, radians: constant, and for hands also changing."""
    if move not in ("follow", "shake"):
        return torch.full((frames,), _ROLL_RAD["mount"] * random.standard_normal(), dtype=torch.float64)
    held = random.standard_normal() + 0.5 * _drift(random, frames, fps)
    return _ROLL_RAD["hand"] * held


def _rolled(
    rotation: Float[Tensor, "T 3 3"], translation: Float[Tensor, "T 3"], roll: Float[Tensor, "T"]
) -> tuple[Float[Tensor, "T 3 3"], Float[Tensor, "T 3"]]:
    """World-to-camera of a camera turned about its line of sight."""
    turn = roma.rotvec_to_rotmat(torch.stack([0 * roll, 0 * roll, roll], dim=-1))
    return turn @ rotation, (turn @ translation[..., None]).squeeze(-1)


def _drift(random: Generator, frames: int, correlation_frames: float) -> Float[Tensor, "T"]:
    return correlated_noise(random, frames, 1, correlation_frames)[:, 0]
