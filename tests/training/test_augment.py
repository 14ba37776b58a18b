import roma
import torch

from diffopt.mocap.clip import AVERAGE_OFFSETS, MotionClip
from diffopt.mocap.retargeting import ARMS, LEGS, MIRROR, TRUNK
from diffopt.training import augment
from diffopt.training.augment import Augmentation
from tests.random_motion import random_motion


def test_mirror_swaps_sides_and_undoes_itself(windows):
    motion = windows()
    chosen = torch.tensor([True, True, False])

    mirrored = augment.mirror(motion, chosen)

    reflected = motion.joints()[:, :, MIRROR] * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(mirrored.joints()[:2], reflected[:2], atol=1e-5, rtol=0)
    torch.testing.assert_close(mirrored.joints()[2], motion.joints()[2])
    torch.testing.assert_close(augment.mirror(mirrored, chosen).rotations, motion.rotations)


def test_recombined_windows_keep_their_legs_and_path(windows):
    motion = windows(batch=12)

    mixed = augment.recombine(motion, 1.0, torch.Generator().manual_seed(0))

    legs = [0, *LEGS]
    torch.testing.assert_close(mixed.joints()[:, :, legs], motion.joints()[:, :, legs])
    givers = (
        (mixed.rotations[:, None, 0, 16] == motion.rotations[None, :, 0, 16]).flatten(2).all(dim=2).long().argmax(1)
    )
    assert len(givers.unique()) == 12 and (givers != torch.arange(12)).sum() > 8
    upper = TRUNK + ARMS
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
    torch.testing.assert_close(lengths, lengths[:, MIRROR])


def test_another_rest_pose_moves_no_joint(windows):
    motion = windows()

    other = augment.turn_rest_pose(motion, Augmentation(rest_deg=10.0), torch.Generator().manual_seed(1))

    torch.testing.assert_close(other.joints(), motion.joints(), atol=1e-5, rtol=0)
    torch.testing.assert_close(other.rotations[:, :, 0], motion.rotations[:, :, 0])
    assert (other.rotations[:, :, 1:] - motion.rotations[:, :, 1:]).abs().max() > 0.1


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
