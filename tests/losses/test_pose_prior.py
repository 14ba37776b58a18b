import pytest
import roma
import torch

from diffopt.losses.pose_prior import pose_prior_loss
from diffopt.prior.pose_prior import PosePrior


@pytest.fixture
def prior():
    torch.manual_seed(0)
    made = PosePrior(width=16, latent=5)
    for name, tensor in made.state_dict().items():
        if tensor.dtype.is_floating_point and not name.endswith("running_var"):
            tensor.normal_(std=0.4)
    return made.double().eval().requires_grad_(False)


@pytest.fixture
def rotvec():
    return 0.4 * torch.randn(3, 23, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_it_is_the_mean_squared_length_of_the_code(prior, rotvec):
    codes = [prior.encode(roma.rotvec_to_rotmat(frame[None, :21]))[0] for frame in rotvec]

    expected = sum(float((code**2).sum()) for code in codes) / 3

    assert pose_prior_loss(prior, roma.rotvec_to_rotmat(rotvec)).item() == pytest.approx(expected)


def test_gradient_reaches_every_body_joint_and_no_hand(prior, rotvec):
    rotvec = rotvec.requires_grad_()

    assert torch.autograd.gradcheck(lambda v: pose_prior_loss(prior, roma.rotvec_to_rotmat(v)), rotvec)
    pose_prior_loss(prior, roma.rotvec_to_rotmat(rotvec)).backward()

    assert (rotvec.grad[:, :21].abs().amax(dim=-1) > 0).all()
    assert rotvec.grad[:, 21:].abs().max() == 0


def test_the_rest_pose_has_a_gradient(prior):
    """All angles zero: where axis-angle is often divided by nothing."""
    matrices = torch.eye(3, dtype=torch.float64).repeat(2, 23, 1, 1).requires_grad_()

    pose_prior_loss(prior, matrices).backward()

    assert matrices.grad.isfinite().all() and matrices.grad.abs().max() > 0
