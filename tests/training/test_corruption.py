import roma
import torch

from diffopt.training import corruption
from diffopt.training.corruption import PoseNoise


def test_correlated_noise_has_unit_variance_and_its_own_width():
    seconds = torch.tensor([0.05, 0.4])

    noise = corruption.correlated_noise(2, 400, 60, seconds, 20.0, torch.Generator().manual_seed(0))

    assert ((noise.square().mean(dim=(1, 2)) - 1).abs() < 0.15).all()
    # White noise under a Gaussian of width s is correlated as exp(-(t / 2s)^2).
    after = (noise[:, 4:] * noise[:, :-4]).mean(dim=(1, 2))
    expected = torch.exp(-((0.2 / (2 * seconds)) ** 2))
    assert ((after - expected).abs() < 0.12).all()


def test_corruption_has_the_size_it_is_given(windows):
    motion = windows(batch=200, frames=30)
    noise = PoseNoise(share=1.0, joint_deg=6.0, root_deg=3.0, bias_deg=0.0, jitter_deg=0.0, occlusion=0.0)

    seen = corruption.corrupt(motion, noise, 20.0, torch.Generator().manual_seed(0))

    error = roma.rotmat_geodesic_distance(seen.rotations, motion.rotations).rad2deg()
    # Sizes are uniform between none and twice the mean: the mean square is 4/3 of the mean's.
    expected = (4 / 3) ** 0.5
    assert abs(error[:, :, 1:].square().mean().sqrt() / (6.0 * expected) - 1) < 0.1
    assert abs(error[:, :, 0].square().mean().sqrt() / (3.0 * expected) - 1) < 0.15


def test_clean_windows_stay_clean(windows):
    motion = windows()

    seen = corruption.corrupt(motion, PoseNoise(share=0.0), 20.0, torch.Generator().manual_seed(0))

    torch.testing.assert_close(seen.rotations, motion.rotations)
    torch.testing.assert_close(seen.root, motion.root)


def test_hidden_limbs_stand_still(windows):
    motion = windows(batch=40)
    everything = torch.ones(40, dtype=torch.bool)

    seen = corruption.hide_limbs(
        motion.rotations, everything, PoseNoise(occlusion=1.0), 20.0, torch.Generator().manual_seed(0)
    )

    changed = (seen != motion.rotations).flatten(3).any(dim=3)
    assert not changed[:, :, [0, 3, 6, 9, 12, 15]].any()
    assert changed[:, :, 4].any(dim=1).float().mean() > 0.7
    repeated = (seen[:, 1:, 4] == seen[:, :-1, 4]).flatten(2).all(dim=2)
    assert (repeated | ~changed[:, 1:, 4]).all()
