from dataclasses import replace

import roma
import torch

from diffopt.body.skeleton import JOINT_INDEX
from diffopt.mocap.clips import AVERAGE_OFFSETS, MotionClip
from diffopt.training import augment
from diffopt.training.augment import Augmentation
from tests.random_motion import random_motion


def test_mirror_swaps_sides_and_undoes_itself(windows):
    motion = windows()
    chosen = torch.tensor([True, True, False])

    mirrored = augment.mirror(motion, chosen)

    reflected = motion.joints()[:, :, augment.MIRROR] * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(mirrored.joints()[:2], reflected[:2], atol=1e-5, rtol=0)
    torch.testing.assert_close(mirrored.joints()[2], motion.joints()[2])
    torch.testing.assert_close(augment.mirror(mirrored, chosen).rotations, motion.rotations)


def test_mirror_knows_both_sides():
    names = augment.JOINT_NAMES
    assert [names[other] for other in augment.MIRROR[:6]] == [
        "pelvis", "right_hip", "left_hip", "spine1", "right_knee", "left_knee",
    ]  # fmt: skip


def test_recombined_windows_keep_their_legs_and_path(windows):
    motion = windows(batch=12)

    mixed = augment.recombine(motion, 1.0, torch.Generator().manual_seed(0))

    legs = [0, *augment.LEGS]
    torch.testing.assert_close(mixed.joints()[:, :, legs], motion.joints()[:, :, legs])
    givers = (
        (mixed.rotations[:, None, 0, 16] == motion.rotations[None, :, 0, 16]).flatten(2).all(dim=2).long().argmax(1)
    )
    assert len(givers.unique()) == 12 and (givers != torch.arange(12)).sum() > 8
    upper = augment.TRUNK + augment.ARMS
    torch.testing.assert_close(mixed.rotations[:, :, upper], motion.rotations[givers][:, :, upper])


def test_another_body_slides_no_more(windows):
    motion = windows()
    settings = Augmentation(stature=0.1, limb=0.1, bone_m=0.02)

    other = augment.reshape_body(motion, settings, torch.Generator().manual_seed(1))

    # Legs and path grow alike: what a foot does in the world is what it did, times one number.
    before, after = torch.diff(motion.joints()[:, :, 10], dim=1), torch.diff(other.joints()[:, :, 10], dim=1)
    growth = after.norm(dim=-1) / before.norm(dim=-1)
    torch.testing.assert_close(growth, growth[:, :1].expand_as(growth), rtol=1e-3, atol=0)
    assert (growth[:, 0] - 1).abs().max() > 0.02
    lengths = other.offsets.norm(dim=-1)
    torch.testing.assert_close(lengths, lengths[:, augment.MIRROR])


def test_another_rest_pose_moves_no_joint(windows):
    motion = windows()

    other = augment.turn_rest_pose(motion, Augmentation(rest_deg=10.0), torch.Generator().manual_seed(1))

    torch.testing.assert_close(other.joints(), motion.joints(), atol=1e-5, rtol=0)
    torch.testing.assert_close(other.rotations[:, :, 0], motion.rotations[:, :, 0])
    assert (other.rotations[:, :, 1:] - motion.rotations[:, :, 1:]).abs().max() > 0.1


def test_another_skeleton_is_reached_and_the_legs_stay_where_they_were(windows):
    motion = windows()
    target = AVERAGE_OFFSETS + 0.03 * torch.randn(22, 3, generator=torch.Generator().manual_seed(2))
    target[0] = 0

    untouched = augment.approach_skeleton(motion, target, torch.zeros(3))
    there = augment.approach_skeleton(motion, target, torch.ones(3))

    torch.testing.assert_close(untouched.joints(), motion.joints())
    legs = augment.LEGS
    torch.testing.assert_close(there.joints()[:, :, legs], motion.joints()[:, :, legs], atol=1e-5, rtol=0)
    reached = torch.nn.functional.cosine_similarity(there.offsets, target.expand(3, 22, 3), dim=-1)
    limbs = [joint for joint in range(1, 22) if joint not in augment.HIPS]
    assert reached[:, limbs].min() > 0.99999
    # Someone who stands in the rest pose leans no more on other bones.
    rest = replace(motion, rotations=torch.eye(3).expand_as(motion.rotations).clone())
    leans = []
    for one in (rest, augment.approach_skeleton(rest, target, torch.ones(3))):
        joints = one.joints()[:, 0]
        trunk = joints[:, JOINT_INDEX["neck"]] - joints[:, augment.HIPS].mean(dim=1)
        leans.append(torch.atan2(trunk[:, 2], trunk[:, 1]))
    torch.testing.assert_close(leans[0], leans[1], atol=1e-5, rtol=0)
    assert abs(float(torch.atan2(target[augment.SPINE, 2].sum(), target[augment.SPINE, 1].sum()) - leans[0][0])) > 0.01
    size = there.offsets[:, [9, 12, 18]] / target[[9, 12, 18]]
    torch.testing.assert_close(size, size[:, :1, :1].expand_as(size))


def test_tilt_is_rigid_and_small(windows):
    motion = windows()

    tilted = augment.tilt_floor(motion, Augmentation(tilt_deg=2.0), torch.Generator().manual_seed(1))

    def distances(joints):
        return torch.cdist(joints.flatten(1, 2), joints.flatten(1, 2))

    torch.testing.assert_close(distances(tilted.joints()), distances(motion.joints()), atol=1e-3, rtol=0)
    moved = (tilted.joints() - motion.joints()).norm(dim=-1)
    assert 0.001 < moved.max() < 0.3


def test_gather_resamples_at_another_speed_and_marks_the_end():
    rotations, root, joints = random_motion(61, dtype=torch.float32)
    clip = MotionClip("c", "s", "activity", 30.0, rotations, root, AVERAGE_OFFSETS)

    # 1.5 times as fast at 20 Hz: every 2.25th frame of 30 Hz, beginning at the third.
    cut = augment.gather([clip], torch.tensor([0.1]), torch.tensor([1.5]), 40, 20.0)

    assert cut.valid.sum() == 26
    torch.testing.assert_close(cut.joints()[0, 4], joints[12], atol=1e-4, rtol=0)
    between = roma.rotmat_geodesic_distance(cut.rotations[0, 1], rotations[5])
    whole = roma.rotmat_geodesic_distance(rotations[5], rotations[6])
    torch.testing.assert_close(between, 0.25 * whole, atol=1e-3, rtol=0)
