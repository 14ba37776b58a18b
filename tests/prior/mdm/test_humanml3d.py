"""HumanML3D's features against the original scripts (oracles/make_oracles.py) and against finite differences."""

from pathlib import Path

import numpy as np
import pytest
import torch

from diffopt.prior.mdm import humanml3d
from diffopt.prior.mdm.humanml3d import BLOCKS, Normalization, features_from_joints, joints_from_features


@pytest.fixture(scope="module")
def oracle():
    with np.load(Path(__file__).parents[1] / "oracles" / "humanml3d.npz") as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_strict_features_equal_the_original_scripts(oracle, dtype):
    features = features_from_joints(oracle["joints"].to(dtype)).float()

    torch.testing.assert_close(features[oracle["rows"]], oracle["features"], rtol=0, atol=5e-5)
    torch.testing.assert_close(features[:, :4], oracle["root_features"], rtol=0, atol=5e-6)


def test_joints_equal_the_original_scripts(oracle):
    moved = humanml3d.face_forward(humanml3d.canonical_skeleton(oracle["joints"]))
    rebuilt = joints_from_features(features_from_joints(oracle["joints"]))

    torch.testing.assert_close(moved[oracle["rows"]], oracle["canonical"], rtol=0, atol=1e-5)
    torch.testing.assert_close(rebuilt[oracle["rows"]], oracle["rebuilt"], rtol=0, atol=1e-5)


def test_one_frame_of_features_is_one_pose(oracle):
    features = features_from_joints(oracle["joints"])
    torch.testing.assert_close(joints_from_features(features[:1]), joints_from_features(features)[:1])


def test_only_the_heading_wrap_tells_strict_from_fixed(oracle):
    joints = oracle["joints"].double()
    strict, fixed = features_from_joints(joints, "strict"), features_from_joints(joints, "fixed")

    differing = (strict - fixed).abs() > 1e-12
    wrapped = differing[:, 0].nonzero().squeeze(-1)
    assert len(wrapped) == 1, "the walk passes the direction opposite to its start once"
    assert not differing[:, 1:].any()
    torch.testing.assert_close(strict[wrapped, 0], -fixed[wrapped, 0])


def test_fixed_features_rebuild_the_walk_that_strict_ones_lose(oracle):
    joints = oracle["joints"].double()
    truth = humanml3d.face_forward(humanml3d.canonical_skeleton(joints))[:-1]

    fixed = joints_from_features(features_from_joints(joints, "fixed"))
    strict = joints_from_features(features_from_joints(joints, "strict"))

    torch.testing.assert_close(pairwise(fixed), pairwise(truth), rtol=0, atol=1e-9)
    assert (pairwise(strict) - pairwise(truth)).abs().max() > 0.1


def pairwise(joints):
    """Distances between the roots of all frames: blind to where the clip stands and which way it faces."""
    return torch.cdist(joints[:, 0], joints[:, 0], compute_mode="donot_use_mm_for_euclid_dist")


def test_features_ignore_where_the_clip_stands_and_faces(oracle):
    joints = oracle["joints"].double()
    sine, cosine = np.sin(2.0), np.cos(2.0)
    turn = torch.tensor([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])

    moved = joints @ turn.T + torch.tensor([3.0, -1.0, 5.0])

    torch.testing.assert_close(features_from_joints(moved), features_from_joints(joints), rtol=0, atol=1e-9)


def test_a_batch_of_clips_is_its_clips_one_by_one(oracle):
    joints = oracle["joints"].double()
    clips = torch.stack((joints[:30], joints[20:50]))

    batch = features_from_joints(clips)

    torch.testing.assert_close(batch, torch.stack([features_from_joints(clip) for clip in clips]))
    torch.testing.assert_close(joints_from_features(batch), torch.stack([joints_from_features(clip) for clip in batch]))


@pytest.mark.parametrize("mode", ["strict", "fixed"])
def test_gradients_equal_finite_differences(oracle, mode):
    joints = oracle["joints"][::16].double().requires_grad_()

    assert torch.autograd.gradcheck(lambda joints: features_from_joints(joints, mode), joints, fast_mode=True)


def test_gradients_of_rebuilt_joints_equal_finite_differences(oracle):
    features = features_from_joints(oracle["joints"][::16].double()).requires_grad_()

    assert torch.autograd.gradcheck(joints_from_features, features, fast_mode=True)


def test_an_arm_straight_up_gives_finite_values_and_gradients(oracle):
    joints = oracle["joints"][:4].clone()
    joints[:, 18] = joints[:, 16] + torch.tensor([0.0, 0.3, 0.0])
    joints.requires_grad_()

    features = features_from_joints(joints)
    features.square().sum().backward()

    assert features.isfinite().all()
    assert joints.grad.isfinite().all()


def test_named_blocks_cover_every_feature_once(oracle):
    covered = np.concatenate([np.arange(humanml3d.FEATURES)[block] for block in BLOCKS.values()])
    features = features_from_joints(oracle["joints"])

    np.testing.assert_array_equal(covered, np.arange(humanml3d.FEATURES))
    assert set(features[:, BLOCKS["foot_contacts"]].unique().tolist()) == {0.0, 1.0}
    assert (features[:, BLOCKS["joint_rotations_6d"]].reshape(-1, 3).norm(dim=-1) - 1).abs().max() < 1e-5


def test_contacts_name_the_feet_in_contact(oracle):
    joints = oracle["joints"][:1].repeat(3, 1, 1)
    joints[1:, [8, 11], 2] += 0.06  # right ankle and foot, by more than sqrt(0.002) m

    contacts = features_from_joints(joints)[:, BLOCKS["foot_contacts"]]

    assert contacts[0].tolist() == [1, 1, 0, 0]  # left ankle, left foot, right ankle, right foot
    assert contacts[1].tolist() == [1, 1, 1, 1]


def test_normalisation_goes_there_and_back_with_the_published_statistics(oracle):
    features = oracle["features"]
    statistics = Normalization.humanml3d()

    normalized = statistics.normalize(features)

    assert statistics.mean[3] == pytest.approx(0.9386, abs=1e-3)  # mean root height, metres
    torch.testing.assert_close(normalized * statistics.std + statistics.mean, features)
    torch.testing.assert_close(statistics.denormalize(normalized), features)


def test_a_users_own_statistics_are_read(tmp_path):
    np.save(tmp_path / "Mean.npy", np.arange(5.0))
    np.save(tmp_path / "Std.npy", np.full(5, 2.0))

    statistics = Normalization.load(tmp_path / "Mean.npy", tmp_path / "Std.npy")

    torch.testing.assert_close(statistics.normalize(torch.arange(5.0) + 1), torch.full((5,), 0.5))
    np.save(tmp_path / "Std.npy", np.zeros(5))
    with pytest.raises(ValueError, match="positive deviation"):
        Normalization.load(tmp_path / "Mean.npy", tmp_path / "Std.npy")


def test_one_frame_and_unknown_modes_are_refused(oracle):
    with pytest.raises(ValueError, match="at least 2 frames"):
        features_from_joints(oracle["joints"][:1])
    with pytest.raises(Exception, match="mended"):
        features_from_joints(oracle["joints"], "mended")
