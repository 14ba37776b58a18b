"""Where a given camera says nothing: SLAM lost its way and stood still, or there was no camera to give.

A camera that a person holds or a crane moves never stands exactly still between two frames of a moving clip. Where the
given one does, it was not seen to move, which is not the same as not moving.
"""

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray

STILL = 1e-6
"""A step this small, as a part of the whole travel, is none in single precision."""


def lost_steps(
    rotation_w2c: Float[ndarray, "T 3 3"], centers: Float[ndarray, "T 3"], still_rad: float
) -> Bool[ndarray, "S"]:
    """Steps between frames in which a camera that travels stands exactly still, and turns by less than `still_rad`."""
    extent = np.linalg.norm(centers - centers[0], axis=-1).max()
    moved = np.linalg.norm(np.diff(centers, axis=0), axis=-1)
    turned = np.linalg.norm(np.diff(rotation_w2c, axis=0), axis=(-2, -1)) / np.sqrt(2)
    return (moved <= STILL * extent) & (turned < still_rad) & (extent > 0)


def legs_contradict_camera(
    velocity: Float[ndarray, "S 3"], seen_w: Float[ndarray, "T 3"], fps: float, speed_m_s: float, seconds: float
) -> bool:
    """Whether legs walk away from where a camera that is taken to stand sees the body: then it does not stand.

    Args:
        velocity: of the root as the legs tell it, axes of the world, y up, metres per second.
        seen_w: root relative to the camera, same axes, metres.
        fps: frames per second.
        speed_m_s: by how much the two speeds must differ.
        seconds: time over which both are averaged.
    """
    length = max(1, min(len(velocity), round(seconds * fps)))
    missing = (velocity - fps * np.diff(seen_w, axis=0))[:, [0, 2]]
    summed = np.concatenate([np.zeros((1, 2)), np.cumsum(missing, axis=0)])
    mean = (summed[length:] - summed[:-length]) / length
    return bool(np.median(np.linalg.norm(mean, axis=-1)) > speed_m_s)


def bridge_rotations(
    rotation_w2c: Float[ndarray, "T 3 3"], centers: Float[ndarray, "T 3"], lost: Bool[ndarray, "S"], neighbours: int
) -> tuple[Float[ndarray, "T 3 3"], Float[ndarray, "T 3"]]:
    """The same camera, but in lost steps it goes on turning as it did before and does after them.

    Args:
        rotation_w2c: the given rotations, world to camera.
        centers: the given camera centres, the first one at the origin.
        lost: steps in which the camera was lost; not all of them.
        neighbours: known steps on either side that tell how it turns.

    Returns:
        Rotations, and the centres that the known steps then lead to: SLAM sees them in the camera's own axes.
    """
    if not lost.any():
        return rotation_w2c, centers
    given = torch.from_numpy(rotation_w2c).double()
    turns = roma.rotmat_to_rotvec(given[1:] @ given[:-1].mT).numpy()
    steps_c = np.einsum("tij,tj->ti", rotation_w2c[:-1], np.diff(centers, axis=0))
    known = np.flatnonzero(~lost)
    for step in np.flatnonzero(lost):
        place = np.searchsorted(known, step)
        near = np.concatenate([known[max(place - neighbours, 0) : place], known[place : place + neighbours]])
        turns[step] = turns[near].mean(axis=0)
    rotations, places = [given[0].numpy()], [np.zeros(3)]
    for turn, step_c in zip(roma.rotvec_to_rotmat(torch.from_numpy(turns)).numpy(), steps_c, strict=True):
        places.append(places[-1] + rotations[-1].T @ step_c)
        rotations.append(turn @ rotations[-1])
    return np.stack(rotations), np.stack(places)


def segment_numbers(lost: Bool[ndarray, "S"]) -> Int[ndarray, "T"]:
    """For each frame, which segment of the camera's trajectory it belongs to: lost steps cut it."""
    return np.concatenate([[0], np.cumsum(lost)])
