"""A tiny random checkpoint in the published layout, written here, as the prior that guides."""

import json

import pytest
import roma
import torch
import torch.nn.functional as F

from diffopt.errors import DiffoptError
from diffopt.losses.guidance import Guidance, clean_target, guidance_loss, guidance_target
from diffopt.mocap.clip import AVERAGE_OFFSETS, pose
from diffopt.prior.draw import draw
from diffopt.prior.mdm.humanml3d import Normalization, features_from_joints, joints_from_features
from diffopt.prior.mdm.mdm_prior import MdmPrior
from diffopt.prior.mdm.network import MdmNetwork
from diffopt.prior.motion_prior import load_prior
from tests.random_motion import random_motion

ARGUMENTS = {"arch": "trans_enc", "layers": 1, "latent_dim": 16, "dataset": "humanml", "diffusion_steps": 50}


def write_checkpoint(folder, features=263, mask_frames=False):
    torch.manual_seed(0)
    network = MdmNetwork(features, width=16, layers=1, heads=4, feedforward=24, text_width=12)
    for parameter in network.parameters():
        parameter.data.normal_(std=0.2)
    weights = network.state_dict() | {"clip_model.positional_embedding": torch.zeros(77, 4)}
    folder.mkdir(exist_ok=True)
    torch.save({"model_avg": weights, "model": weights}, folder / "model000000100.pt")
    (folder / "args.json").write_text(json.dumps({**ARGUMENTS, "mask_frames": mask_frames}))
    return folder


@pytest.fixture(params=[False, True], ids=["padded", "masked"])
def prior(request, tmp_path):
    return load_prior(write_checkpoint(tmp_path / "humanml", mask_frames=request.param))


def test_a_checkpoint_is_a_prior_like_our_own(prior, tmp_path):
    assert isinstance(prior, MdmPrior)
    assert (prior.fps, prior.window, prior.schedule.num_steps) == (20.0, 196, 50)
    assert (prior.root, prior.articulation) == (slice(0, 4), slice(4, 263))
    assert not prior.training and not any(parameter.requires_grad for parameter in prior.parameters())
    assert isinstance(load_prior(tmp_path / "humanml" / "model000000100.pt"), MdmPrior)


def test_features_are_humanml3ds_normalised(prior):
    rotations, _, joints = random_motion(16, dtype=torch.float32)

    features = prior.features(rotations, joints)

    expected = Normalization.humanml3d().normalize(features_from_joints(joints))
    torch.testing.assert_close(features, expected)
    both = prior.features(torch.stack((rotations, rotations)), torch.stack((joints, joints + 3)))
    torch.testing.assert_close(both[0], features)
    # A window elsewhere on the floor has the same features, a lower one too: HumanML3D puts everybody on the floor.
    torch.testing.assert_close(both[1], features, atol=2e-3, rtol=0)


def test_turning_away_from_the_first_heading_does_not_flip(prior):
    """Somebody who turns on the spot at an even rate: so do the features, through the wrap of the heading too."""
    frames = 120
    angle = 2 * torch.pi * torch.arange(frames) / 80
    rotations = torch.eye(3).repeat(frames, 22, 1, 1)
    rotations[:, 0] = roma.rotvec_to_rotmat(angle[:, None] * torch.tensor([0.0, 1.0, 0.0]))
    joints = pose(rotations, torch.tensor([0.0, 0.9, 0.0]).repeat(frames, 1), AVERAGE_OFFSETS)

    rate = prior.normalization.denormalize(prior.features(rotations, joints))[..., 0]

    assert (rate[2:].sign() == rate[20].sign()).all()


def test_gradient_of_guidance_reaches_the_joints_and_is_right(prior):
    """Guidance's target is held still; finite differences of the distance to that target agree with its gradient."""
    prior = prior.double()
    rotations, _, joints = random_motion(10)
    joints = joints[None].requires_grad_()
    guidance = Guidance(noise_start=0.5, noise_end=0.5)

    features = prior.features(rotations[None], joints)
    target = guidance_target(prior, guidance, features.detach(), 0.0, torch.Generator().manual_seed(5))
    guidance_loss(prior, guidance, features, target).backward()

    level = torch.full((1,), round(0.5 * 49))
    target = clean_target(prior, features.detach(), level, level, 1, torch.Generator().manual_seed(5))

    def distance(moved):
        squared = 0.5 * (prior.features(rotations[None], moved) - target).square()
        return (squared[..., prior.root].mean() + squared[..., prior.articulation].mean()).item()

    assert joints.grad.isfinite().all() and (joints.grad.abs().amax(dim=(0, 1, 3)) > 0).all()
    generator = torch.Generator().manual_seed(0)
    for _ in range(8):
        direction = torch.randn(joints.shape, generator=generator, dtype=torch.float64)
        step = 1e-6 * direction
        slope = (distance(joints.detach() + step) - distance(joints.detach() - step)) / 2e-6
        assert slope == pytest.approx(float((joints.grad * direction).sum()), rel=1e-5)


def test_the_same_question_has_the_same_answer_whatever_was_asked_before(prior):
    features, level = torch.randn(2, 8, 263), torch.tensor([20, 30])

    first = prior.denoise(features, level, level)
    torch.rand(7)

    assert torch.equal(prior.denoise(features, level, torch.zeros(2, dtype=torch.long)), first)
    assert torch.equal(first, prior.denoiser.denoise(features, level, None, torch.Generator().manual_seed(0)))


def test_what_is_no_humanml3d_checkpoint_is_refused(prior, tmp_path):
    with pytest.raises(DiffoptError, match="No model<step>"):
        load_prior(tmp_path)
    with pytest.raises(DiffoptError, match="No MDM checkpoint"):
        load_prior(tmp_path / "nowhere.pt")
    with pytest.raises(DiffoptError, match=r"251 features a frame"):
        load_prior(write_checkpoint(tmp_path / "kit", features=251))
    with pytest.raises(ValueError, match="every frame of a window"):
        joints = torch.randn(1, 5, 22, 3)
        prior.features(torch.eye(3).expand(1, 5, 22, 3, 3), joints, torch.zeros(1, 5, dtype=torch.bool))


def test_a_checkpoint_that_knows_one_motion_draws_it(prior, monkeypatch):
    *_, joints = random_motion(13, dtype=torch.float32)
    features = features_from_joints(joints, mode="fixed")
    known = prior.normalization.normalize(features)
    monkeypatch.setattr(prior, "denoise", lambda noised, *_: known.expand_as(noised))

    drawn = draw(prior, 2, 12, 5, torch.Generator().manual_seed(0), AVERAGE_OFFSETS)

    found = pose(drawn.rotations[1], drawn.root[1], AVERAGE_OFFSETS)
    wanted = joints_from_features(features)
    for start, end in ((1, 4), (4, 7), (16, 18), (18, 20), (12, 15)):
        bones = [F.normalize(each[:, end] - each[:, start], dim=-1) for each in (found, wanted)]
        torch.testing.assert_close(*bones, atol=1e-3, rtol=0)
