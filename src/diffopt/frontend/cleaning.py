"""What a detector that sees one frame at a time gets wrong, found by looking at the neighbours.

BlazePose exchanges left and right for a few frames (more often the legs than the arms), throws single keypoints far
away, and now and then reads a body of another size. The first is undone, the others are given no weight.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.ndimage import generic_filter, median_filter

from diffopt.frontend.blazepose import LIMBS, Pairs
from diffopt.frontend.keypoints import PersonTrack

_BONES = ((11, 13), (13, 15), (12, 14), (14, 16), (23, 25), (25, 27), (24, 26), (26, 28), (11, 23), (12, 24))
_BODY_M = 1.7
_SWITCH_COST, _SWAPPED_COST, _TORN_COST = 0.05, 0.005, 0.005
"""In body sizes of mean keypoint motion: a swap must save two real jumps, soon be over, and rather be of all limbs."""
_SWAPPED_TRUST = 0.3
_JUMP = 0.12
"""How far a keypoint may be from its neighbours' median, in sides of the square about the body."""
_JUMP_WINDOW_S = 0.2
_LENGTH_RATIO = 1.35
_MIN_KEYPOINTS = 6
_MIN_CONFIDENCE = 0.3


@dataclass(frozen=True)
class CleanTrack:
    """The person as the fit should see it."""

    keypoints_px: Float[ndarray, "T 33 2"]
    """NaN where `confidence` is 0 for want of a detection."""
    confidence: Float[ndarray, "T 33"]
    landmarks_c: Float[ndarray, "T 33 3"]
    """Metres about the middle of the hips; interpolated where `landmark_weight` is 0."""
    landmark_weight: Float[ndarray, "T 33"]
    crop_center_px: Float[ndarray, "T 2"]
    crop_side_px: Float[ndarray, "T"]
    frame_valid: Bool[ndarray, "T"]
    swapped_frames: int
    rejected_keypoints: int


def clean_track(track: PersonTrack, fps: float, width: int, height: int) -> CleanTrack:
    """Undo exchanges of left and right, give no weight to jumps and to bodies of another size."""
    keypoints, visibility = track.keypoints_px.copy(), track.visibility.copy()
    landmarks, weight = _fill(track.landmarks_c), np.where(track.seen[:, None], track.visibility, 0.0)
    side = _fill(track.crop_side_px[:, None])[:, 0]

    swapped = np.zeros(len(side), dtype=bool)
    exchanged = find_swaps(_fill(keypoints) / side[:, None, None], landmarks / _BODY_M, LIMBS)
    for pairs, here, before in zip(LIMBS, exchanged.T, track.exchanged.T, strict=True):
        left, right = (list(index) for index in zip(*pairs, strict=True))
        for values in (keypoints, visibility, landmarks, weight):
            values[np.ix_(here, left + right)] = values[np.ix_(here, right + left)]
        # The labels are right now, but a network that mistook front for back is unsure of the depths too: its
        # landmarks are half as far off again as in other frames.
        doubted = here | before
        weight[np.ix_(doubted, left + right)] *= _SWAPPED_TRUST
        swapped |= doubted

    jumps = find_jumps(keypoints / side[:, None, None], fps)
    weight[_odd_size(landmarks, track.seen)] = 0.0
    weight[jumps] = 0.0
    margin = 0.02 * max(width, height)
    inside = ((keypoints > -margin) & (keypoints < np.array([width, height]) + margin)).all(axis=-1)
    confidence = np.where(track.seen[:, None] & inside & ~jumps, visibility.clip(0, 1), 0.0)
    trusted = (confidence[:, 11:] > _MIN_CONFIDENCE).sum(axis=1)
    return CleanTrack(
        keypoints_px=keypoints,
        confidence=confidence,
        landmarks_c=landmarks,
        landmark_weight=weight,
        crop_center_px=_fill(track.crop_center_px),
        crop_side_px=side,
        frame_valid=track.seen & (trusted >= _MIN_KEYPOINTS),
        swapped_frames=int(swapped.sum()),
        rejected_keypoints=int((jumps & track.seen[:, None]).sum()),
    )


def find_swaps(
    keypoints: Float[ndarray, "T K 2"], landmarks: Float[ndarray, "T K 3"], limbs: tuple[Pairs, ...]
) -> Bool[ndarray, "T G"]:
    """In which frames left and right are exchanged: the labelling with the least motion (Viterbi).

    Each group of limbs may be exchanged or not, and that two groups differ costs something as well: a network that
    takes a front for a back exchanges all of them.

    Args:
        keypoints: in body sizes.
        landmarks: in body sizes.
        limbs: groups of pairs that are exchanged together.
    """
    as_seen = np.concatenate([keypoints, landmarks], axis=-1)
    states = np.array(list(product((0, 1), repeat=len(limbs))))
    changed = (states[:, None] != states[None]).any(axis=-1)
    torn = states.max(axis=1) - states.min(axis=1)
    price = _SWITCH_COST * changed + _SWAPPED_COST * states.mean(axis=1) + _TORN_COST * torn
    motion = np.zeros((len(as_seen) - 1, len(states), len(states)))
    for group, pairs in enumerate(limbs):
        left, right = (list(side) for side in zip(*pairs, strict=True))
        labels = np.stack([as_seen[:, left + right], as_seen[:, right + left]], axis=1)
        steps = labels[1:, None, :] - labels[:-1, :, None]  # (T-1, before, after, K, 5)
        moved = (np.linalg.norm(steps[..., :2], axis=-1) + np.linalg.norm(steps[..., 2:], axis=-1)).mean(axis=-1) / 2
        motion += moved[:, states[:, group][:, None], states[:, group][None]] / len(limbs)
    cost, came_from = _SWITCH_COST * (states.max(axis=1) > 0), np.zeros((len(as_seen), len(states)), dtype=int)
    for frame, step in enumerate(motion, start=1):
        candidates = cost[:, None] + step + price
        came_from[frame], cost = candidates.argmin(axis=0), candidates.min(axis=0)
    path = np.zeros(len(as_seen), dtype=int)
    path[-1] = cost.argmin()
    for frame in range(len(as_seen) - 1, 0, -1):
        path[frame - 1] = came_from[frame, path[frame]]
    return states[path] == 1


def find_jumps(keypoints: Float[ndarray, "T K 2"], fps: float) -> Bool[ndarray, "T K"]:
    """Keypoints, in body sizes, that are far from the median of their neighbours in time."""
    reach = max(round(_JUMP_WINDOW_S * fps / 2), 1)
    with np.errstate(invalid="ignore"):
        middle = generic_filter(keypoints, _nan_median, size=(2 * reach + 1, 1, 1), mode="nearest")
    away = np.linalg.norm(keypoints - middle, axis=-1)
    return np.nan_to_num(away, nan=0.0) > _JUMP


def _nan_median(values: ndarray) -> float:
    seen = values[~np.isnan(values)]
    return float(np.median(seen)) if len(seen) else np.nan


def _odd_size(landmarks: Float[ndarray, "T K 3"], seen: Bool[ndarray, "T"]) -> Bool[ndarray, "T"]:
    """Frames whose body is much larger or smaller than the clip's."""
    first, second = (list(ends) for ends in zip(*_BONES, strict=True))
    size = np.linalg.norm(landmarks[:, first] - landmarks[:, second], axis=-1).sum(axis=1)
    ratio = median_filter(size, 3, mode="nearest") / np.median(size[seen])
    return (ratio > _LENGTH_RATIO) | (ratio < 1 / _LENGTH_RATIO)


def _fill(values: Float[ndarray, "T *S"]) -> Float[ndarray, "T *S"]:
    """Interpolate over NaN in time, hold the ends."""
    flat = values.reshape(len(values), -1).copy()
    frames = np.arange(len(flat))
    for column in flat.T:
        known = np.isfinite(column)
        column[:] = np.interp(frames, frames[known], column[known])
    return flat.reshape(values.shape)
