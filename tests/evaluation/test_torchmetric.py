import pytest
import torch

from diffopt.evaluation.metrics import Track, frame_errors, score
from diffopt.evaluation.torchmetric import SCORE_NAMES, MotionScore


def track(seed: int, frames: int) -> Track:
    generator = torch.Generator().manual_seed(seed)
    joints = torch.randn(frames, 24, 3, generator=generator)
    turn = torch.linalg.qr(torch.randn(frames, 3, 3, generator=generator))[0]
    turn = turn * torch.linalg.det(turn)[:, None, None]
    place = torch.randn(frames, 3, generator=generator)
    still = 0.001 * joints[:, :4]
    return Track(joints, turn, still, joints, joints, joints, turn, place)


def test_one_clip_scores_as_the_function_does():
    metric = MotionScore()
    metric.update(track(0, 30), track(1, 30), fps=30.0)

    found = {name: value.item() for name, value in metric.compute().items()}

    assert found == pytest.approx(score(track(0, 30), track(1, 30), fps=30.0))
    assert set(found) == set(SCORE_NAMES)


def test_clips_weigh_by_their_frames_and_processes_add_up():
    one, other, both = MotionScore(), MotionScore(), MotionScore()
    for metric, frames in ((one, 20), (other, 60), (both, 20), (both, 60)):
        metric.update(track(0, frames), track(1, frames), fps=30.0)

    means = one.compute()["g_mpjpe_mm"], other.compute()["g_mpjpe_mm"]
    assert both.compute()["g_mpjpe_mm"] == pytest.approx((means[0] * 20 + means[1] * 60) / 80)
    # What torchmetrics does between processes: sums of the states.
    one.total += other.total
    one.count += other.count
    one._computed = None
    assert {name: value.item() for name, value in one.compute().items()} == pytest.approx(
        {name: value.item() for name, value in both.compute().items()}
    )


def test_what_no_clip_allowed_is_left_out():
    joints, turn = torch.randn(9, 24, 3), torch.eye(3).expand(9, 3, 3)
    metric = MotionScore()
    metric.update(Track(joints, turn), Track(joints, turn), fps=30.0)

    assert set(metric.compute()) == set(frame_errors(Track(joints, turn), Track(joints, turn), 30.0))
    assert "ate_mm" not in metric.compute()
