"""Keypoint sets: every keypoint is a mean of landmarks, or left out; left and right stay where they belong."""

import pytest
import torch

from diffopt.body.keypoints import LANDMARK_NAMES, keypoint_regressor
from diffopt.body.model import load_body
from diffopt.observation.keypoint_sets import KEYPOINT_SETS

SIZES = {"coco17": 17, "coco23": 23, "openpose25": 25, "blazepose33": 33, "smpl24": 24}


@pytest.mark.parametrize("keypoint_set", sorted(KEYPOINT_SETS))
def test_rows_are_means_or_empty(keypoint_set):
    regressor = keypoint_regressor(keypoint_set)
    assert regressor.shape == (SIZES[keypoint_set], len(LANDMARK_NAMES))
    sums = regressor.sum(dim=1)
    assert ((sums - 1).abs().lt(1e-6) | sums.eq(0)).all()


def test_openpose_and_blazepose_agree_on_the_body():
    """OpenPose's right wrist (4), left knee (13) and heels (21, 24) are BlazePose's 16, 25, 29 and 30."""
    body = load_body()
    eye = torch.eye(3).expand(1, 24, 3, 3)
    landmarks = body.landmarks(eye[:, 1:], eye[:, 0], torch.zeros(1, 3), torch.zeros(10))[0]
    openpose, blazepose = (keypoint_regressor(name) @ landmarks for name in ("openpose25", "blazepose33"))
    for ours, theirs in ((4, 16), (13, 25), (21, 29), (24, 30)):
        assert torch.allclose(openpose[ours], blazepose[theirs], atol=1e-6)
    assert openpose[12, 0] > 0 > openpose[9, 0]  # the left hip lies towards +x
    middle = (openpose[12] + openpose[9]) / 2
    assert torch.allclose(openpose[8], middle, atol=1e-6)


def test_unknown_set_is_named():
    with pytest.raises(ValueError, match="coco18"):
        keypoint_regressor("coco18")
