"""Two readings of one body: sides put right, joints averaged, discord told."""

import numpy as np
import pytest

from diffopt.frontend.blazepose import LIMBS, Pose, Roi
from diffopt.frontend.fusion import fuse
from diffopt.frontend.thunder import Points, Thunder
from diffopt.observation.keypoint_sets import COCO17, KEYPOINT_SETS
from tests.frontend.worlds import standing_body

SIDE = 200.0
COCO = [KEYPOINT_SETS["blazepose33"].index((name,)) for name in COCO17]
"""Where BlazePose has COCO's keypoints."""
HIPS, BODY = COCO[11:13], COCO[5:11] + COCO[13:]


def readings() -> tuple[Pose, Points]:
    """Two that agree on a body of no symmetry."""
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(0, SIDE, (33, 2))
    pose = Pose(
        keypoints_px=keypoints,
        visibility=rng.uniform(0.5, 1, 33),
        landmarks_c=rng.normal(size=(33, 3)),
        score=0.9,
        mask=np.zeros((4, 4), dtype=bool),
        next_roi=Roi(np.zeros(2), SIDE, 0.0),
        crop_center_px=np.zeros(2),
    )
    return pose, Points(keypoints[COCO].copy(), np.full(17, 0.8))


@pytest.mark.parametrize("limbs", [(0,), (1,), (0, 1), ()])
def test_exchanged_limbs_are_put_right_in_the_picture_and_in_space(limbs):
    truth, points = readings()
    seen, _ = readings()
    for group in limbs:
        left, right = (list(side) for side in zip(*LIMBS[group], strict=True))
        for values in (seen.keypoints_px, seen.visibility, seen.landmarks_c):
            values[left + right] = values[right + left]
    fused, exchanged = fuse(seen, points, SIDE)

    assert exchanged.tolist() == [group in limbs for group in (0, 1)]
    np.testing.assert_allclose(fused.keypoints_px, truth.keypoints_px)
    np.testing.assert_allclose(fused.landmarks_c, truth.landmarks_c)
    np.testing.assert_allclose(fused.visibility, truth.visibility)


def test_joints_are_averaged_but_for_the_hips_and_what_coco_has_not():
    pose, points = readings()
    points.keypoints_px[:] += [4.0, -2.0]
    fused, exchanged = fuse(pose, points, SIDE)

    moved = fused.keypoints_px - pose.keypoints_px
    np.testing.assert_allclose(moved[BODY], [[2.0, -1.0]] * 10)
    assert not np.delete(moved, BODY, axis=0).any() and not moved[HIPS].any()
    assert not exchanged.any()


def test_where_they_disagree_the_confidence_falls():
    """By their distance in sizes of the person; an elbow a tenth of it away is hardly believed."""
    pose, points = readings()
    elbow = COCO17.index("left_elbow")
    points.keypoints_px[elbow] += [0.1 * SIDE, 0.0]
    (near, _), (far, _) = fuse(pose, points, 10 * SIDE), fuse(pose, points, SIDE)

    trust = [fused.visibility[COCO[elbow]] / pose.visibility[COCO[elbow]] for fused in (near, far)]
    assert trust[0] > 0.9 and trust[1] < 0.25
    others = np.arange(33) != COCO[elbow]
    np.testing.assert_allclose(far.visibility[others], pose.visibility[others])


def test_a_guess_has_no_say():
    pose, points = readings()
    points.keypoints_px[:] = points.keypoints_px[::-1]
    points.scores[:] = 0.1
    fused, exchanged = fuse(pose, points, SIDE)

    assert np.array_equal(fused.keypoints_px, pose.keypoints_px) and not exchanged.any()
    assert np.array_equal(fused.visibility, pose.visibility)


def test_thunder_reads_a_body_wherever_the_region_is():
    picture, joints = standing_body()
    middle = (joints.min(axis=0) + joints.max(axis=0)) / 2
    thunder = Thunder()
    for off, side, roll in ((0.0, 500.0, 0.0), (30.0, 600.0, 0.3)):
        found = thunder.read(picture, Roi(middle + off, side, roll))
        # Left and right of shoulders, knees and ankles in COCO's order and in SMPL's.
        away = np.linalg.norm(found.keypoints_px[[5, 6, 13, 14, 15, 16]] - joints[[16, 17, 4, 5, 7, 8]], axis=1)
        assert away.max() < 30
        assert found.scores[5:].min() > 0.3
