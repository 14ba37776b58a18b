"""Each metric against a second implementation written with loops and numpy, and against cases known by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation

from diffopt.evaluation import metrics
from diffopt.evaluation.metrics import Track, score

FPS = 25.0


def clip(seed: int, frames: int = 230) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth random walk of 24 joints with a turning root; float64."""
    generator = torch.Generator().manual_seed(seed)
    steps = 0.02 * torch.randn(frames, 1, 3, generator=generator, dtype=torch.float64)
    body = torch.randn(1, 24, 3, generator=generator, dtype=torch.float64)
    sway = 0.05 * torch.randn(frames, 24, 3, generator=generator, dtype=torch.float64)
    turns = 0.1 * torch.randn(frames, 3, generator=generator, dtype=torch.float64)
    rotation = roma.rotvec_to_rotmat(turns.cumsum(0))
    return (body + sway) @ rotation.mT + steps.cumsum(0), rotation


def pair():
    true, true_rotation = clip(0)
    other, other_rotation = clip(1)
    turn = roma.rotvec_to_rotmat(torch.tensor([0.2, 0.7, -0.1], dtype=torch.float64))
    joints = 1.2 * (0.8 * true + 0.2 * other) @ turn.T + torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    return joints, turn @ other_rotation, true, true_rotation


def naive_registration(x, y, with_scale):
    """Umeyama, written with numpy's SVD: s, R, t for (N,3) arrays."""
    mx, my = x.mean(0), y.mean(0)
    u, d, vt = np.linalg.svd((y - my).T @ (x - mx) / len(x))
    sign = np.diag([1, 1, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ sign @ vt
    scale = np.trace(np.diag(d) @ sign) / ((x - mx) ** 2).sum(1).mean() if with_scale else 1.0
    return scale, rotation, my - scale * rotation @ mx


def naive_move(x, y, frames, with_scale):
    s, r, t = naive_registration(x[:frames].reshape(-1, 3), y[:frames].reshape(-1, 3), with_scale)
    return np.stack([[s * r @ point + t for point in frame] for frame in x])


def naive_mean(x, y):
    total, count = 0.0, 0
    for frame_x, frame_y in zip(x, y, strict=True):
        for a, b in zip(frame_x, frame_y, strict=True):
            total += math.sqrt(sum((a[i] - b[i]) ** 2 for i in range(3)))
            count += 1
    return 1000 * total / count


def naive_scores(x, rx, y, ry):
    """Every world metric, from its rule in words."""
    frames = len(x)
    by_frame = [(x[i : i + 1], y[i : i + 1]) for i in range(frames)]
    scores = {
        "g_mpjpe_mm": naive_mean(naive_move(x, y, frames, False), y),
        "g_mpjpe_first_frame_mm": naive_mean(naive_move(x, y, 1, False), y),
        "pa_mpjpe_mm": np.mean([naive_mean(naive_move(a, b, 1, True), b) for a, b in by_frame]),
    }
    for name, aligned_frames in (("w", 2), ("wa", 100)):
        moved, scales = [], []
        for start in range(0, frames, 100):
            a, b = x[start : start + 100], y[start : start + 100]
            moved.append(naive_move(a, b, aligned_frames, True))
            n = min(aligned_frames, len(a))
            scales.append(naive_registration(a[:n].reshape(-1, 3), b[:n].reshape(-1, 3), True)[0])
        scores[f"{name}_mpjpe_100_mm"] = naive_mean(np.concatenate(moved), y)
        scores[f"{name}_mpjpe_100_scale"] = np.mean(scales)
    root = naive_move(x[:, :1], y[:, :1], frames, False)[:, 0]
    length = sum(np.linalg.norm(y[i + 1, 0] - y[i, 0]) for i in range(frames - 1))
    scores["rte_percent"] = 100 * np.mean([np.linalg.norm(root[i] - y[i, 0]) for i in range(frames)]) / length
    _, turn, _ = naive_registration(x.reshape(-1, 3), y.reshape(-1, 3), False)
    angles = [Rotation.from_matrix((turn @ rx[i]).T @ ry[i]).magnitude() for i in range(frames)]
    scores["roe_deg"] = np.degrees(np.mean(angles))
    steps = [rx[i].T @ (x[i + 1, 0] - x[i, 0]) - ry[i].T @ (y[i + 1, 0] - y[i, 0]) for i in range(frames - 1)]
    scores["erve_mm"] = 1000 * np.mean([np.linalg.norm(step) for step in steps])
    moved = naive_move(x, y, frames, False)
    second = [
        (moved[i - 1] - 2 * moved[i] + moved[i + 1]) - (y[i - 1] - 2 * y[i] + y[i + 1]) for i in range(1, frames - 1)
    ]
    scores["accel_m_s2"] = FPS**2 * np.mean([np.linalg.norm(joint) for frame in second for joint in frame])
    third = [x[i + 3] - 3 * x[i + 2] + 3 * x[i + 1] - x[i] for i in range(frames - 3)]
    scores["jitter"] = FPS**3 / 10 * np.mean([np.linalg.norm(joint) for frame in third for joint in frame])
    blocks = []
    for start in range(0, frames, 250):
        seen = []
        for points, rotation in ((x, rx), (y, ry)):
            # The twist about y: the yaw that leaves no y component in the rest of the quaternion.
            q = Rotation.from_matrix(rotation[start]).as_quat()
            back = Rotation.from_euler("y", -2 * math.atan2(q[1], q[3]))
            origin = points[start, 0] * [1, 0, 1]
            seen.append(np.stack([back.apply(frame - origin) for frame in points[start : start + 250]]))
        blocks.append(seen)
    scores["glamr_g_mpjpe_mm"] = naive_mean(*(np.concatenate(side) for side in zip(*blocks, strict=True)))
    return scores


def test_world_metrics_equal_a_second_implementation():
    x, rx, y, ry = pair()
    found = score(Track(x, rx), Track(y, ry), FPS)
    expected = naive_scores(*(tensor.numpy() for tensor in (x, rx, y, ry)))

    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9), name


def test_glamr_blocks_start_anew():
    x, rx, y, ry = pair()
    found = metrics.glamr_g_mpjpe_mm(x, rx, y, ry, block_frames=100)

    for start in (0, 100, 200):
        span = slice(start, start + 100)
        torch.testing.assert_close(found[span], metrics.glamr_g_mpjpe_mm(x[span], rx[span], y[span], ry[span]))


def walk(frames: int = 40, speed: float = 0.05) -> torch.Tensor:
    joints, _ = clip(3, 1)
    shift = speed * torch.arange(frames, dtype=torch.float64)[:, None, None] * torch.tensor([0.0, 0.0, 1.0])
    return joints + shift


def test_a_shift_is_seen_only_where_nothing_is_aligned():
    true = walk()
    joints = true + torch.tensor([0.03, 0.0, 0.04])

    torch.testing.assert_close(metrics.mpjpe_mm(joints, true), torch.full((40,), 50.0, dtype=torch.float64))
    for metric in (metrics.g_mpjpe_mm, metrics.g_mpjpe_first_frame_mm, metrics.pa_mpjpe_mm, metrics.mpjpe_cam_mm):
        assert metric(joints, true).max() < 1e-9


def test_scale_is_forgiven_by_w_and_pa_and_reported_but_not_by_g():
    true = walk()
    joints = 0.5 * true

    for metric in (metrics.w_mpjpe_mm, metrics.wa_mpjpe_mm):
        error, scale = metric(joints, true)
        assert error.max() < 1e-9
        torch.testing.assert_close(scale, torch.tensor([2.0], dtype=torch.float64))
    assert metrics.pa_mpjpe_mm(joints, true).max() < 1e-9
    assert metrics.g_mpjpe_mm(joints, true).mean() > 300


def test_speed_error_of_a_straight_path_is_a_known_rte():
    # Both straight, n steps; the middles meet: the error at frame i is |i - n/2| * (difference of the steps).
    true, joints = walk(41)[:, 0], walk(41, speed=0.04)[:, 0]

    found = metrics.rte_percent(joints, true)

    assert found.mean().item() == pytest.approx(100 * 0.01 * np.abs(np.arange(41) - 20).mean() / (40 * 0.05))
    assert metrics.rte_percent(true, true).max() < 1e-9


def test_first_frame_alignment_shows_drift_from_there():
    drift = 0.001 * torch.arange(40, dtype=torch.float64)[:, None, None] * torch.tensor([1.0, 0.0, 0.0])

    error = metrics.g_mpjpe_first_frame_mm(walk() + drift, walk())

    torch.testing.assert_close(error, torch.arange(40, dtype=torch.float64))


def test_jitter_of_a_cubic_is_its_third_derivative():
    t = torch.arange(30, dtype=torch.float64) / FPS
    joints = (t**3)[:, None, None] * torch.tensor([1.0, 0.0, 0.0]).expand(1, 24, 3)

    torch.testing.assert_close(metrics.jitter(joints, FPS), torch.full((27,), 0.6, dtype=torch.float64))
    assert metrics.jitter(walk(), FPS).max() < 1e-6


def test_acceleration_error_of_a_parabola_is_known():
    t = torch.arange(30, dtype=torch.float64) / FPS
    fall = torch.zeros(30, 24, 3, dtype=torch.float64)
    fall[:, 5, 1] = -9.81 / 2 * t**2  # one joint of 24 falls

    true = walk(30)

    torch.testing.assert_close(metrics.accel_cam_m_s2(true + fall, true, FPS), torch.full((28,), 9.81 / 24).double())
    # A body that falls as a whole does so with its hips: nothing is left in the camera frame.
    assert metrics.accel_cam_m_s2(true + fall[:, 5:6], true, FPS).max() < 1e-9


def test_only_standing_feet_can_slide():
    true = torch.zeros(4, 2, 3, dtype=torch.float64)
    true[2:, 0, 0] = 0.0099  # foot 0 stands all the time
    true[1:, 1, 0] = torch.tensor([0.0, 0.5, 0.5])  # foot 1 leaps from frame 1 to 2
    feet = torch.zeros(4, 2, 3, dtype=torch.float64)
    feet[:, 0, 2] = torch.tensor([0.0, 0.003, 0.003, 0.003])
    feet[:, 1, 0] = torch.tensor([0.0, 0.0, 0.9, 0.9])

    found = metrics.foot_sliding_mm(feet, true)

    assert len(found) == 5 and found.sum().item() == pytest.approx(3.0)
    assert metrics.foot_sliding_mm(torch.zeros_like(feet), true).sum() == 0


def test_root_orientation_and_velocity_errors_are_known():
    true, upright = walk(), torch.eye(3, dtype=torch.float64).expand(40, 3, 3)
    tilt = roma.rotvec_to_rotmat(torch.tensor([math.radians(7), 0.0, 0.0], dtype=torch.float64))
    turn = roma.random_rotmat().double()

    assert metrics.roe_deg(true, tilt @ upright, true, upright).mean().item() == pytest.approx(7)
    assert metrics.roe_deg(true @ turn.T, turn @ upright, true, upright).max() < 1e-5
    # Walking forwards at 50 mm a frame while facing backwards: the step is wrong by twice that.
    back = roma.rotvec_to_rotmat(torch.tensor([0.0, math.pi, 0.0], dtype=torch.float64))
    error = metrics.erve_mm(true[:, 0], back @ upright, true[:, 0], upright)
    assert error.mean().item() == pytest.approx(100) and len(error) == 39


def test_camera_errors_are_known_and_equal_evo():
    evo_metrics = pytest.importorskip("evo.core.metrics")
    from evo.core.trajectory import PosePath3D

    x, rx, y, ry = pair()
    path, true = x[:, 0], y[:, 0]
    for with_scale in (False, True):
        sides = [
            PosePath3D(positions_xyz=points.numpy(), orientations_quat_wxyz=np.tile([1.0, 0, 0, 0], (len(points), 1)))
            for points in (path, true)
        ]
        sides[0].align(sides[1], correct_scale=with_scale)
        ape = evo_metrics.APE(evo_metrics.PoseRelation.translation_part)
        ape.process_data((sides[1], sides[0]))
        expected = 1000 * ape.get_statistic(evo_metrics.StatisticsType.rmse)
        assert metrics.ate_mm(path, true, with_scale).item() == pytest.approx(expected, rel=1e-9)

    wobble = torch.zeros(230, 3, dtype=torch.float64)
    wobble[:, 0] = math.radians(2) * torch.tensor([1.0, -1.0]).repeat(115)
    shaken = roma.rotvec_to_rotmat(wobble) @ ry.mT
    assert metrics.camera_rotation_deg(shaken @ rx[0], ry.mT).mean().item() == pytest.approx(2, rel=1e-3)


def test_score_in_the_camera_frame_uses_each_sides_own_camera():
    x, rx, y, ry = pair()
    cameras = {"rotation_w2c": ry.mT, "translation_w2c": y[:, 1]}
    moved = Track(x, rx, feet=x[:, 7:9], vertices=x, local_joints=x, local_vertices=x, **cameras)
    true = Track(y, ry, feet=y[:, 7:9], vertices=y, local_joints=y, local_vertices=y, **cameras)

    found = score(moved, true, FPS)

    centred = [(points - (points[:, 1:2] + points[:, 2:3]) / 2) @ ry for points in (x, y)]
    expected = naive_mean(*(points.numpy() for points in centred))
    assert found["mpjpe_cam_mm"] == pytest.approx(expected)
    assert found["ate_mm"] < 1e-6 and found["camera_rotation_deg"] < 1e-5
    assert found["mpjpe_mm"] == found["mpvpe_mm"] == pytest.approx(naive_mean(x.numpy(), y.numpy()))
    assert found["g_mpvpe_mm"] == found["g_mpjpe_mm"]
    scaled = score(replace(moved, translation_w2c=3 * y[:, 1]), true, FPS)
    assert scaled["ate_mm"] > 10 and scaled["ate_s_mm"] < 1e-6
    assert len(found) == 22


def test_invalid_frames_do_not_count():
    x, rx, y, ry = pair()
    valid = torch.ones(230, dtype=torch.bool)
    valid[[3, 50, 229]] = False
    x[~valid] = torch.nan

    found = score(Track(x.float(), rx.float()), Track(y.float(), ry.float()), FPS, valid)

    assert all(math.isfinite(value) for value in found.values())
    expected = naive_scores(*(tensor[valid].numpy() for tensor in (x, rx, y, ry)))
    assert found["g_mpjpe_mm"] == pytest.approx(expected["g_mpjpe_mm"], rel=1e-5)


def test_a_truth_scores_zero_and_metrics_do_not_see_where_the_world_lies():
    x, rx, y, ry = pair()
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))  # about the vertical, for GLAMR's

    perfect = score(Track(y, ry), Track(y, ry), FPS)
    here = score(Track(x, rx), Track(y, ry), FPS)
    elsewhere = score(Track(x @ turn.T + torch.tensor([5.0, 0.0, 5.0]), turn @ rx), Track(y, ry), FPS)

    assert all(value < 1e-4 for name, value in perfect.items() if name != "jitter" and not name.endswith("scale"))
    assert elsewhere == pytest.approx(here, rel=1e-6)
