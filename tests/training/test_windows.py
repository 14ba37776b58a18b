from dataclasses import replace

import pytest
import torch

from diffopt.body.skeleton import JOINT_INDEX
from diffopt.mocap.clip import AVERAGE_OFFSETS, KINDS, MotionClip
from diffopt.observation.keypoint_sets import JOINT_NAMES
from diffopt.prior import features as smpl_features
from diffopt.training.windows import MotionWindows, WindowKinds, WindowRecipe, normalisation, trusted_features
from tests.random_motion import random_motion


@pytest.fixture
def clips():
    def clip(kind: str, frames: int, seed: int) -> MotionClip:
        rotations, root, _ = random_motion(frames, seed, torch.float32)
        return MotionClip(f"{kind}{seed}", "s", kind, 30.0, rotations, root, AVERAGE_OFFSETS)

    return [clip("idle", 600, 0), clip("locomotion", 60, 1), clip("locomotion", 40, 2), clip("run", 33, 3)]


def test_kinds_are_drawn_as_often_as_told_whatever_their_length(clips):
    windows = MotionWindows(
        clips, WindowRecipe(shortest=8, kinds=WindowKinds(idle=0.1, locomotion=0.6, run=0.3)), AVERAGE_OFFSETS, 1, 0
    )

    weights = dict(zip([clip.name for clip in windows.clips], windows.weights.tolist(), strict=True))

    assert weights["idle0"] == pytest.approx(0.1)
    assert weights["locomotion1"] + weights["locomotion2"] == pytest.approx(0.6)
    assert weights["locomotion1"] / weights["locomotion2"] == pytest.approx((60 / 40) ** 0.5)


def test_a_clip_of_half_the_weight_is_drawn_half_as_often(clips):
    clips[1:3] = [replace(clips[1], weight=0.5), replace(clips[1], name="whole")]

    half, whole = MotionWindows(clips, WindowRecipe(shortest=8), AVERAGE_OFFSETS, 1, 0).weights[1:3].tolist()

    assert half == pytest.approx(0.5 * whole)


def test_windows_know_their_kind(clips):
    batch = next(iter(MotionWindows(clips, WindowRecipe(shortest=8, batch_size=200), AVERAGE_OFFSETS, 1, 0)))

    assert batch.kind.bincount(minlength=len(KINDS)).div(200).tolist() == pytest.approx(
        [0.15 / 0.7, 0, 0.43 / 0.7, 0.12 / 0.7, 0, 0], abs=0.1
    )


def test_what_an_untrusted_joint_carries_is_not_trusted_either():
    """A collar that was not captured: not its rotation, and not where shoulder, elbow and wrist are."""
    trusted = torch.ones(1, 22, dtype=torch.bool)
    trusted[:, JOINT_INDEX["left_collar"]] = False

    found = trusted_features(trusted)[0]

    def doubted(block: str, width: int) -> set[str]:
        rows = (~found[smpl_features.SLICES[block]]).view(-1, width).all(dim=1).nonzero()[:, 0] + 1
        return {JOINT_NAMES[row] for row in rows.tolist()}

    arm = {"left_shoulder", "left_elbow", "left_wrist"}
    assert doubted("rotations", 6) == {"left_collar"}
    assert doubted("positions", 3) == doubted("velocities", 3) == arm
    assert int((~found).sum()) == 6 + 2 * 3 * len(arm)


def test_windows_are_finite_repeatable_and_mark_what_exists(clips):
    recipe = WindowRecipe(longest=40, shortest=8, batch_size=16)

    batches = list(MotionWindows(clips, recipe, AVERAGE_OFFSETS, 3, seed=5))
    again = list(MotionWindows(clips, recipe, AVERAGE_OFFSETS, 3, seed=5))

    assert len(batches) == 3
    for (clean, seen, valid, *_), (clean_again, *_) in zip(batches, again, strict=True):
        assert clean.shape == seen.shape == (16, valid.shape[1], smpl_features.FEATURE_SIZE)
        assert clean[valid].isfinite().all()
        assert seen[valid].isfinite().all()
        assert valid[:, 0].all()
        torch.testing.assert_close(clean, clean_again)
    # The run lasts 1.1 s: no window of it reaches the end of a long batch.
    assert any(not valid.all() for _, _, valid, *_ in batches if valid.shape[1] > 30)


def test_normalised_windows_have_unit_size_per_block(clips):
    batches = list(
        MotionWindows(clips, WindowRecipe(longest=40, shortest=8, batch_size=16), AVERAGE_OFFSETS, 4, seed=5)
    )

    mean, scale = normalisation(batches)

    frames = torch.cat([batch.clean[batch.valid] for batch in batches])
    normalised = (frames - mean) / scale
    for name in ("rotations", "velocities", "contact_velocity"):
        assert normalised[:, smpl_features.SLICES[name]].square().mean().item() == pytest.approx(1.0, rel=1e-3)
        assert len(scale[smpl_features.SLICES[name]].unique()) == 1


def test_clips_that_are_too_short_are_refused(clips):
    with pytest.raises(ValueError, match="None of 4 clips"):
        MotionWindows(clips, WindowRecipe(shortest=500), AVERAGE_OFFSETS, 1, 0)
