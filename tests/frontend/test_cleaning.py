"""Exchanges of left and right are undone, jumps lose their weight, honest motion is left alone."""

import numpy as np

from diffopt.frontend.blazepose import LEFT_RIGHT
from diffopt.frontend.cleaning import clean_track, find_jumps, find_swaps
from diffopt.frontend.keypoints import PersonTrack

FPS, FRAMES, SIDE = 30.0, 60, 400.0
LEGS = [pair for pair in LEFT_RIGHT if pair[0] >= 23]


def walker(seed: int = 0) -> PersonTrack:
    """Somebody seen from the front who swings arms and legs, with a detector's tremble."""
    rng = np.random.default_rng(seed)
    time = np.arange(FRAMES) / FPS
    body = np.zeros((33, 3))
    body[:, 1] = np.linspace(-0.8, 0.8, 33)
    for left, right in LEFT_RIGHT:
        body[left, 0], body[right, 0], body[right, 1] = 0.15, -0.15, body[left, 1]
    landmarks = np.repeat(body[None], FRAMES, axis=0)
    for left, right in LEFT_RIGHT:
        if left >= 23:
            landmarks[:, left, 2] += 0.3 * np.sin(6 * time)
            landmarks[:, right, 2] -= 0.3 * np.sin(6 * time)
            landmarks[:, left, 1] -= 0.05 * np.sin(6 * time)
            landmarks[:, right, 1] += 0.05 * np.sin(6 * time)
    landmarks = landmarks + rng.normal(0, 0.01, landmarks.shape)
    keypoints = 300 + 200 * landmarks[..., :2] + rng.normal(0, 1, (FRAMES, 33, 2))
    return PersonTrack(
        keypoints_px=keypoints,
        visibility=np.full((FRAMES, 33), 0.9),
        landmarks_c=landmarks,
        crop_center_px=np.full((FRAMES, 2), 300.0),
        crop_side_px=np.full(FRAMES, SIDE),
        seen=np.ones(FRAMES, dtype=bool),
        exchanged=np.zeros((FRAMES, 2), dtype=bool),
        masks=np.zeros((FRAMES, 8), dtype=np.uint8),
        mask_height=8,
        mask_width=8,
    )


def exchange(values: np.ndarray, frames: slice) -> None:
    left, right = (list(side) for side in zip(*LEGS, strict=True))
    values[frames, left + right] = values[frames, right + left]


def test_landmarks_of_limbs_that_were_put_right_before_are_trusted_less():
    seen = walker()
    seen.exchanged[20:29, 1] = True
    clean = clean_track(seen, FPS, 600, 600)

    assert clean.swapped_frames == 9
    assert (clean.landmark_weight[20:29, 25] < 0.5 * clean.landmark_weight[19, 25]).all()
    assert (clean.landmark_weight[20:29, 13] == clean.landmark_weight[19, 13]).all()
    assert (clean.confidence[20:29, 25] == clean.confidence[19, 25]).all()


def test_exchanged_legs_are_put_back():
    truth, seen = walker(), walker()
    span = slice(20, 29)
    exchange(seen.keypoints_px, span)
    exchange(seen.landmarks_c, span)

    clean = clean_track(seen, FPS, 640, 640)

    assert clean.swapped_frames == 9
    assert np.allclose(clean.keypoints_px, truth.keypoints_px)
    assert clean.landmark_weight[24, 25] < 0.5 < clean.landmark_weight[24, 13]


def test_crossing_legs_are_no_exchange():
    """Seen from the side both legs pass through the same place, again and again."""
    time = np.arange(90) / 30
    keypoints = np.zeros((90, 2, 2))
    keypoints[:, 0, 0], keypoints[:, 1, 0] = 0.2 * np.sin(5 * time), -0.2 * np.sin(5 * time)
    landmarks = np.concatenate([keypoints, np.zeros((90, 2, 1))], axis=-1)
    landmarks[:, 0, 2], landmarks[:, 1, 2] = 0.08, -0.08

    assert not find_swaps(keypoints, landmarks, (((0, 1),),)).any()


def test_one_thrown_keypoint_has_no_weight():
    seen = walker()
    seen.keypoints_px[30, 27] += [150, 0]

    clean = clean_track(seen, FPS, 640, 640)

    assert clean.confidence[30, 27] == 0
    assert clean.landmark_weight[30, 27] == 0
    assert clean.rejected_keypoints == 1
    assert (clean.confidence > 0).sum() == FRAMES * 33 - 1


def test_fast_steady_motion_is_no_jump():
    keypoints = np.zeros((40, 1, 2))
    keypoints[:, 0, 0] = 0.2 * np.arange(40)  # three body heights a second at 30 Hz, half as much again as a sprinter

    assert not find_jumps(keypoints, FPS)[3:-3].any()


def test_unseen_frames_are_bridged_and_marked():
    seen = walker()
    for values in (seen.keypoints_px, seen.landmarks_c, seen.crop_center_px, seen.crop_side_px):
        values[10:14] = np.nan
    seen.seen[10:14] = False

    clean = clean_track(seen, FPS, 640, 640)

    assert (~clean.frame_valid).sum() == 4
    assert clean.confidence[10:14].max() == clean.landmark_weight[10:14].max() == 0
    assert np.isfinite(clean.landmarks_c).all()
    assert np.isfinite(clean.crop_side_px).all()


def test_keypoints_outside_the_picture_are_not_trusted():
    seen = walker()

    clean = clean_track(seen, FPS, 640, 320)

    below = seen.keypoints_px[..., 1] > 340
    assert below.any()
    assert clean.confidence[below].max() == 0


def test_a_body_of_another_size_has_no_weight():
    seen = walker()
    seen.landmarks_c[40:44] *= 1.8

    clean = clean_track(seen, FPS, 640, 640)

    assert clean.landmark_weight[41:43].max() == 0
    assert clean.landmark_weight[:38].min() > 0
