import json

import pytest
import torch
from safetensors.torch import save_file

from diffopt.errors import DiffoptError
from diffopt.geometry.alignment import heading_rotation
from diffopt.motion.foot_contact import StanceOptions
from diffopt.prior import features as smpl_features
from diffopt.prior.denoiser import DenoiserSize
from diffopt.prior.motion_prior import MotionPrior, PriorDescription, load_prior
from tests.random_motion import random_motion

BELIEF = StanceOptions(), 0.12, 0.5

SIZE = DenoiserSize(width=32, depth=1, heads=2)


@pytest.fixture
def prior() -> MotionPrior:
    torch.manual_seed(0)
    prior = MotionPrior(PriorDescription(SIZE, num_steps=50, window=16, trained_on="nothing"))
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    prior.mean.normal_()
    prior.scale.uniform_(0.5, 2.0)
    return prior.eval()


def test_a_prior_is_read_as_it_was_written(prior, tmp_path):
    prior.save(tmp_path / "prior.safetensors")

    again = load_prior(tmp_path / "prior.safetensors")

    features, level = torch.randn(2, 9, smpl_features.FEATURE_SIZE), torch.tensor([3, 40])
    expected = prior.denoise(features, level, level)
    torch.testing.assert_close(again.denoise(features, level, level), expected, atol=5e-3, rtol=0)
    torch.testing.assert_close(again.scale, prior.scale)
    assert again.description == prior.description
    assert (again.fps, again.window, again.schedule.num_steps) == (20.0, 16, 50)
    assert not again.training
    assert not any(parameter.requires_grad for parameter in again.parameters())
    assert [file.name for file in tmp_path.iterdir()] == ["prior.safetensors"]


def test_features_are_normalised_and_come_back(prior):
    rotations, root, joints = random_motion(12, dtype=torch.float32)

    features = prior.features(rotations, joints)

    physical = smpl_features.features_from_motion(rotations, joints, prior.fps)
    torch.testing.assert_close(features, (physical - prior.mean) / prior.scale)
    torch.testing.assert_close(prior.root_velocity(features), smpl_features.root_velocity(physical))
    torch.testing.assert_close(prior.physical(features), physical)
    facing = heading_rotation(rotations[:-1, 0])
    path = smpl_features.integrate(prior.root_velocity(features), facing, prior.fps)
    torch.testing.assert_close(path, root - root[0], atol=1e-4, rtol=0)
    height = smpl_features.root_height(prior.physical(features))
    torch.testing.assert_close(height, root[:-1, 1], atol=1e-4, rtol=0)


def test_gradient_reaches_the_motion_but_not_the_network(prior):
    rotations, _, joints = random_motion(12, dtype=torch.float32)
    joints = joints.requires_grad_()
    frozen = prior.requires_grad_(False)

    level = torch.tensor([10])
    frozen.denoise(frozen.features(rotations, joints)[None], level, level).sum().backward()

    assert joints.grad is not None and joints.grad.abs().max() > 0


def test_path_from_articulation_does_not_see_the_given_path(prior):
    rotations, root, joints = random_motion(12, dtype=torch.float32)
    elsewhere = joints - root[:, None] + root[:1, None]

    path = prior.path_from_articulation(rotations[None], joints[None], *BELIEF)

    assert path.shape == (1, 12, 3)
    moved = prior.path_from_articulation(rotations[None], elsewhere[None], *BELIEF)
    torch.testing.assert_close(moved, path, atol=1e-4, rtol=0)
    torch.testing.assert_close(path[0, 0], root[0])


def test_what_is_no_prior_is_refused(prior, tmp_path):
    with pytest.raises(DiffoptError, match="No motion prior"):
        load_prior(tmp_path / "nowhere.safetensors")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(DiffoptError, match="no safetensors file"):
        load_prior(tmp_path / "text")
    save_file({"a": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(DiffoptError, match="holds no motion prior"):
        load_prior(tmp_path / "other")
    facts = {"schema": "diffopt/prior/2", "size": {"width": 32, "depth": 1, "heads": 2}, "num_steps": 50, "window": 16}
    save_file({"mean": torch.zeros(3)}, tmp_path / "short", metadata={"diffopt": json.dumps(facts)})
    with pytest.raises(DiffoptError, match="written for other features"):
        load_prior(tmp_path / "short")


def test_the_network_may_hasten_the_legs_but_not_hold_them_back(prior, monkeypatch):
    rotations, _, joints = random_motion(60, dtype=torch.float32)
    seen = prior.features(rotations, joints)
    contact, residual = (smpl_features.SLICES[name] for name in ("contact_velocity", "velocity_residual"))

    def length(factor: float) -> float:
        """Of the path over the floor, when the network takes the foot contact's velocity for so many times as much."""
        physical = prior.physical(seen.clone())
        physical[..., contact] *= factor
        physical[..., residual] = 0
        monkeypatch.setattr(prior, "denoise", lambda *_: prior.normalised(physical)[None])
        path = prior.path_from_articulation(rotations[None], joints[None], *BELIEF)[0, :, [0, 2]]
        return path.diff(dim=0).norm(dim=-1).sum().item()

    legs = length(1.0)
    assert length(4.0) > 3.8 * legs
    assert 0.9 * legs < length(0.95) < 0.98 * legs
    assert length(0.2) > 0.6 * legs
