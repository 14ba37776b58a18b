"""The pose prior against its architecture written out with bare matrices, and what training must achieve."""

import math
from dataclasses import replace

import pytest
import roma
import torch

from diffopt.body.skeleton import JOINT_INDEX
from diffopt.errors import DiffoptError
from diffopt.mocap.clip import AVERAGE_OFFSETS, MotionClip
from diffopt.prior.pose_prior import PosePrior, load_pose_prior
from diffopt.training import pose_prior as pose_prior_training
from diffopt.training.pose_prior import PosePriorTraining, pose_prior_objective, train, train_pose_prior


def random_prior(width=24, latent=6) -> PosePrior:
    torch.manual_seed(0)
    prior = PosePrior(width, latent)
    for name, tensor in prior.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.2, 2.0)
        elif tensor.dtype.is_floating_point:
            tensor.normal_(std=0.3)
    return prior.eval()


def random_poses(count, spread=0.5, dtype=torch.float32):
    vectors = torch.randn(count, 21, 3, generator=torch.Generator().manual_seed(1), dtype=dtype)
    return roma.rotvec_to_rotmat(spread * vectors)


def published_layout(prior: PosePrior) -> dict:
    """What VPoser's trainer leaves in a checkpoint: names of the whole trainer, a body model among them."""
    weights = {f"vp_model.{name}": tensor for name, tensor in prior.state_dict().items()}
    return {"state_dict": {**weights, "bm_train.init_pose_body": torch.zeros(1, 63)}, "epoch": 13, "global_step": 9}


def by_hand(weights, rotvec):
    """Encoder and decoder of the published layout, from the tensors alone."""

    def linear(name, x):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name, x):
        centred = (x - weights[f"{name}.running_mean"]) / (weights[f"{name}.running_var"] + 1e-5).sqrt()
        return centred * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def leaky(x):
        return torch.where(x > 0, x, 0.01 * x)

    hidden = leaky(linear("encoder_net.2", norm("encoder_net.1", rotvec.flatten(1))))
    hidden = linear("encoder_net.7", linear("encoder_net.6", norm("encoder_net.4", hidden)))
    mean, deviation = linear("encoder_net.8.mu", hidden), (1 + linear("encoder_net.8.logvar", hidden).exp()).log()
    hidden = leaky(linear("decoder_net.3", leaky(linear("decoder_net.0", mean))))
    numbers = linear("decoder_net.5", hidden).view(-1, 21, 6)
    first = numbers[..., 0::2] / numbers[..., 0::2].norm(dim=-1, keepdim=True)
    second = numbers[..., 1::2] - (first * numbers[..., 1::2]).sum(dim=-1, keepdim=True) * first
    second = second / second.norm(dim=-1, keepdim=True)
    return mean, deviation, torch.stack((first, second, torch.linalg.cross(first, second)), dim=-1)


@pytest.mark.parametrize("place", ["file", "folder", "plain"])
def test_the_published_layout_is_read_and_computed_as_written(tmp_path, place):
    prior = random_prior()
    (tmp_path / "snapshots").mkdir()
    path = tmp_path / "snapshots" / "V02_05_epoch=13_val_loss=0.03.ckpt"
    torch.save(prior.state_dict() if place == "plain" else published_layout(prior), path)

    again = load_pose_prior(tmp_path if place == "folder" else path)

    poses = random_poses(7)
    mean, deviation = again.encode(poses)
    expected = by_hand(prior.state_dict(), roma.rotmat_to_rotvec(poses))
    torch.testing.assert_close(mean, expected[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(deviation, expected[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(again.decode(mean), expected[2], atol=1e-4, rtol=0)
    assert not again.training and not any(parameter.requires_grad for parameter in again.parameters())


def test_a_pose_prior_is_read_as_it_was_written(tmp_path):
    prior = random_prior()
    prior.save(tmp_path / "pose_prior.safetensors")

    again = load_pose_prior(tmp_path / "pose_prior.safetensors")

    poses = random_poses(3)
    torch.testing.assert_close(again.encode(poses)[0], prior.encode(poses)[0], atol=2e-2, rtol=0)
    assert [file.name for file in tmp_path.iterdir()] == ["pose_prior.safetensors"]


def test_what_is_no_pose_prior_is_refused(tmp_path):
    with pytest.raises(DiffoptError, match="No pose prior at"):
        load_pose_prior(tmp_path / "nowhere.safetensors")
    with pytest.raises(DiffoptError, match=r"no snapshots/\*\.ckpt"):
        load_pose_prior(tmp_path)
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(DiffoptError, match="no safetensors file"):
        load_pose_prior(tmp_path / "text.safetensors")
    torch.save({"bodyprior_enc_fc1.weight": torch.zeros(3)}, tmp_path / "first_version.pt")
    with pytest.raises(DiffoptError, match="second version"):
        load_pose_prior(tmp_path / "first_version.pt")
    torch.save({"state_dict": {}, "callbacks": {DiffoptError: 1}}, tmp_path / "pickled.ckpt")
    with pytest.raises(DiffoptError, match="more than plain weights"):
        load_pose_prior(tmp_path / "pickled.ckpt")


def test_objective_of_a_known_gaussian():
    """A code of mean zero and deviation s in each of n entries diverges by n (s^2 - 1 - 2 ln s) / 2."""
    prior = random_prior()
    for layer in (prior.encoder_net[8].mu, prior.encoder_net[8].logvar, prior.decoder_net[5]):
        layer.weight.data.zero_()
    prior.encoder_net[8].mu.bias.data.zero_()
    prior.encoder_net[8].logvar.bias.data.fill_(0.5)
    prior.decoder_net[5].bias.data = torch.tensor([1.0, 0, 0, 1, 0, 0]).repeat(21)  # always the rest pose
    angle = 0.1
    poses = roma.rotvec_to_rotmat(torch.tensor([0.0, angle, 0.0]).repeat(4, 21, 1))

    found = pose_prior_objective(prior, poses, 0.2, torch.Generator().manual_seed(0))

    deviation = math.log(1 + math.exp(0.5))
    divergence = 6 * 0.5 * (deviation**2 - 1 - 2 * math.log(deviation))
    error = 21 * 2 * (1 - math.cos(angle))
    assert found.item() == pytest.approx(error + 0.2 * divergence, rel=1e-4)


def clip_of(subject: str, seed: int = 0) -> MotionClip:
    """Poses that differ along two directions."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(2, 21, 3, generator=torch.Generator().manual_seed(0))
    along = torch.randn(400, 2, generator=generator)
    vectors = 0.3 * torch.einsum("tk,kjc->tjc", along, directions)
    rotations = roma.rotvec_to_rotmat(torch.cat((torch.zeros(400, 1, 3), vectors), dim=1))
    return MotionClip(f"{subject}1", subject, "activity", 30.0, rotations, torch.zeros(400, 3), AVERAGE_OFFSETS)


def test_training_learns_poses_and_repeats_itself():
    clip = clip_of("b")
    training = PosePriorTraining(width=64, latent=8, steps=250, batch_size=64, rest_deg=0.0)

    prior = train_pose_prior([clip], training)
    short, again = (train_pose_prior([clip], replace(training, steps=3)) for _ in range(2))

    poses = clip.rotations[:, 1:]
    error = roma.rotmat_geodesic_distance(prior.decode(prior.encode(poses)[0]), poses).mean()
    untouched = roma.rotmat_geodesic_distance(torch.eye(3).expand_as(poses), poses).mean()
    assert error < 0.6 * untouched
    torch.testing.assert_close(again.encode(poses)[0], short.encode(poses)[0], rtol=0, atol=0)


def test_training_leaves_the_validation_subjects_out_and_overwrites_nothing(tmp_path, monkeypatch):
    clips, used = [clip_of(subject, seed) for seed, subject in enumerate("abc")], []
    monkeypatch.setattr(pose_prior_training, "read_motions", lambda _: clips)
    monkeypatch.setattr(
        pose_prior_training, "train_pose_prior", lambda known, _: used.extend(known) or random_prior().eval()
    )
    training = PosePriorTraining(
        out=str(tmp_path / "new" / "poses.safetensors"), validation={"x": "a"}, excluded={"c": ""}
    )

    path, error_deg = train(training)

    assert [clip.subject for clip in used] == ["b"] and load_pose_prior(path).latent == 6
    poses = clips[0].rotations[:, 1:]
    back = random_prior().eval().decode(random_prior().eval().encode(poses)[0])
    assert error_deg == pytest.approx(math.degrees(roma.rotmat_geodesic_distance(back, poses).mean().item()), rel=1e-4)
    with pytest.raises(DiffoptError, match="exists already"):
        train(training)
    with pytest.raises(DiffoptError, match="end the name in"):
        train(replace(training, out=str(tmp_path / "poses.pt")))


def code_length2(prior, turns: dict[str, tuple[float, float, float]]) -> float:
    rotvec = torch.zeros(1, 21, 3)
    for joint, turn in turns.items():
        rotvec[0, JOINT_INDEX[joint] - 1] = torch.tensor(turn)
    return float(prior.encode(roma.rotvec_to_rotmat(rotvec))[0].square().sum())


def test_the_shipped_pose_prior_knows_a_stand_from_a_knee_bent_backwards():
    prior = load_pose_prior()
    arms = {"left_shoulder": (0.0, 0.0, -1.2), "right_shoulder": (0.0, 0.0, 1.2)}

    standing = code_length2(prior, arms)
    crouching = code_length2(prior, arms | {"left_knee": (1.5, 0.0, 0.0), "right_knee": (1.5, 0.0, 0.0)})
    broken = code_length2(prior, arms | {"left_knee": (-1.5, 0.0, 0.0), "right_knee": (-1.5, 0.0, 0.0)})

    assert standing < 32 < broken
    assert crouching < 0.5 * broken
