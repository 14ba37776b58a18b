import pytest
import roma
import torch

from diffopt.prior import augment
from diffopt.prior.augment import Augmentation, PoseNoise, Windows
from diffopt.prior.mocap import AVERAGE_OFFSETS, MotionClip


@pytest.fixture
def windows(random_motion):
    def make(batch: int = 3, frames: int = 20) -> Windows:
        motions = [random_motion(frames, seed, torch.float32) for seed in range(batch)]
        rotations, roots = torch.stack([each[0] for each in motions]), torch.stack([each[1] for each in motions])
        exists = torch.ones(batch, frames, dtype=torch.bool)
        return Windows(rotations, roots, AVERAGE_OFFSETS.repeat(batch, 1, 1), exists)

    return make


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


def test_tilt_is_rigid_and_small(windows):
    motion = windows()

    tilted = augment.tilt_floor(motion, Augmentation(tilt_deg=2.0), torch.Generator().manual_seed(1))

    def distances(joints):
        return torch.cdist(joints.flatten(1, 2), joints.flatten(1, 2))

    torch.testing.assert_close(distances(tilted.joints()), distances(motion.joints()), atol=1e-3, rtol=0)
    moved = (tilted.joints() - motion.joints()).norm(dim=-1)
    assert 0.001 < moved.max() < 0.3


def test_gather_resamples_at_another_speed_and_marks_the_end(random_motion):
    rotations, root, joints = random_motion(61, dtype=torch.float32)
    clip = MotionClip("c", "s", "activity", 30.0, rotations, root, AVERAGE_OFFSETS)

    # 1.5 times as fast at 20 Hz: every 2.25th frame of 30 Hz, beginning at the third.
    cut = augment.gather([clip], torch.tensor([0.1]), torch.tensor([1.5]), 40, 20.0)

    assert cut.valid.sum() == 26
    torch.testing.assert_close(cut.joints()[0, 4], joints[12], atol=1e-4, rtol=0)
    between = roma.rotmat_geodesic_distance(cut.rotations[0, 1], rotations[5])
    whole = roma.rotmat_geodesic_distance(rotations[5], rotations[6])
    torch.testing.assert_close(between, 0.25 * whole, atol=1e-3, rtol=0)


def test_correlated_noise_has_unit_variance_and_its_own_width():
    seconds = torch.tensor([0.05, 0.4])

    noise = augment.correlated_noise(2, 400, 60, seconds, 20.0, torch.Generator().manual_seed(0))

    assert ((noise.square().mean(dim=(1, 2)) - 1).abs() < 0.15).all()
    # White noise under a Gaussian of width s is correlated as exp(-(t / 2s)^2).
    after = (noise[:, 4:] * noise[:, :-4]).mean(dim=(1, 2))
    expected = torch.exp(-((0.2 / (2 * seconds)) ** 2))
    assert ((after - expected).abs() < 0.12).all()


def test_corruption_has_the_size_it_is_given(windows):
    motion = windows(batch=200, frames=30)
    noise = PoseNoise(share=1.0, joint_deg=6.0, root_deg=3.0, bias_deg=0.0, jitter_deg=0.0, occlusion=0.0)

    seen = augment.corrupt(motion, noise, 20.0, torch.Generator().manual_seed(0))

    error = roma.rotmat_geodesic_distance(seen.rotations, motion.rotations).rad2deg()
    # Sizes are uniform between none and twice the mean: the mean square is 4/3 of the mean's.
    expected = (4 / 3) ** 0.5
    assert abs(error[:, :, 1:].square().mean().sqrt() / (6.0 * expected) - 1) < 0.1
    assert abs(error[:, :, 0].square().mean().sqrt() / (3.0 * expected) - 1) < 0.15


def test_clean_windows_stay_clean(windows):
    motion = windows()

    seen = augment.corrupt(motion, PoseNoise(share=0.0), 20.0, torch.Generator().manual_seed(0))

    torch.testing.assert_close(seen.rotations, motion.rotations)
    torch.testing.assert_close(seen.root, motion.root)


def test_hidden_limbs_stand_still(windows):
    motion = windows(batch=40)
    everything = torch.ones(40, dtype=torch.bool)

    seen = augment.hide_limbs(
        motion.rotations, everything, PoseNoise(occlusion=1.0), 20.0, torch.Generator().manual_seed(0)
    )

    changed = (seen != motion.rotations).flatten(3).any(dim=3)
    assert not changed[:, :, [0, 3, 6, 9, 12, 15]].any()
    assert changed[:, :, 4].any(dim=1).float().mean() > 0.7
    repeated = (seen[:, 1:, 4] == seen[:, :-1, 4]).flatten(2).all(dim=2)
    assert (repeated | ~changed[:, 1:, 4]).all()
