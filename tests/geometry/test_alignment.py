import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation

from diffopt.geometry.alignment import (
    align_clip,
    align_each_frame,
    align_first_frames,
    fit_rigid,
    fit_similarity,
    fit_world_turn,
    heading_rotation,
    shortest_turn,
    to_heading_frame,
)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def moved(points, generator, scale=1.0):
    rotation = roma.rotvec_to_rotmat(torch.randn(3, generator=generator, dtype=points.dtype))
    shift = torch.randn(3, generator=generator, dtype=points.dtype)
    return scale * points @ rotation.T + shift, rotation, shift


def test_a_known_move_is_found(generator):
    points = torch.randn(9, 24, 3, generator=generator, dtype=torch.float64)
    target, rotation, shift = moved(points, generator, scale=1.7)

    aligned, transform = align_clip(points, target, with_scale=True)

    torch.testing.assert_close(aligned, target)
    torch.testing.assert_close(transform.rotation, rotation)
    torch.testing.assert_close(transform.translation, shift)
    assert transform.scale.item() == pytest.approx(1.7)


def test_rigid_keeps_lengths_and_similarity_does_not(generator):
    points = torch.randn(9, 24, 3, generator=generator, dtype=torch.float64)
    target, _, _ = moved(points, generator, scale=2.0)

    rigid, transform = align_clip(points, target)

    assert transform.scale == 1
    torch.testing.assert_close(torch.pdist(rigid.flatten(0, 1)), torch.pdist(points.flatten(0, 1)))
    assert (rigid - target).norm(dim=-1).mean() > 0.5


def test_a_mirrored_target_is_met_by_a_rotation_and_agrees_with_scipy(generator):
    points = torch.randn(2, 15, 3, generator=generator, dtype=torch.float64)
    target = points * torch.tensor([1.0, 1.0, -1.0]) + 0.1 * torch.randn(2, 15, 3, generator=generator)

    transform = fit_rigid(points, target)

    for i in range(2):
        p, q = points[i].numpy(), target[i].numpy()
        expected = Rotation.align_vectors(q - q.mean(0), p - p.mean(0))[0].as_matrix()
        np.testing.assert_allclose(transform.rotation[i].numpy(), expected, atol=1e-10)
        np.testing.assert_allclose(transform.translation[i].numpy(), q.mean(0) - expected @ p.mean(0), atol=1e-10)


def test_similarity_cannot_be_bettered(generator):
    points = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    target = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    best = fit_similarity(points, target)
    cost = (best.apply(points) - target).square().sum()

    for _ in range(50):
        wiggle = 0.01 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
        turn = roma.rotvec_to_rotmat(wiggle[0])
        other = best._replace(
            rotation=turn @ best.rotation,
            translation=best.translation + wiggle[1],
            scale=best.scale * (1 + wiggle[2, 0]),
        )
        assert (other.apply(points) - target).square().sum() > cost


def test_first_frames_decide_alone(generator):
    points = torch.randn(9, 24, 3, generator=generator, dtype=torch.float64)
    target, _, _ = moved(points, generator)
    target[2:] += torch.randn(7, 24, 3, generator=generator)

    for frames in (1, 2):
        aligned, _ = align_first_frames(points, target, frames=frames)
        torch.testing.assert_close(aligned[:2], target[:2])
        assert (aligned[2:] - target[2:]).norm(dim=-1).min() > 1e-3
    assert (align_clip(points, target)[0][:2] - target[:2]).norm(dim=-1).min() > 1e-4


def test_each_frame_has_its_own_move(generator):
    points = torch.randn(4, 24, 3, generator=generator, dtype=torch.float64)
    target = torch.stack([moved(frame, generator, scale=1.0 + i)[0] for i, frame in enumerate(points)])

    aligned, transform = align_each_frame(points, target)

    torch.testing.assert_close(aligned, target)
    torch.testing.assert_close(transform.scale, torch.tensor([1.0, 2, 3, 4], dtype=torch.float64))


def test_the_turn_between_two_worlds_is_found_through_noise(generator):
    cameras = roma.random_rotmat(200, generator=generator).double()
    turn = roma.random_rotmat(generator=generator).double()
    noise = roma.rotvec_to_rotmat(0.05 * torch.randn(200, 3, generator=generator, dtype=torch.float64))

    found = fit_world_turn(noise @ cameras, cameras @ turn)

    assert roma.rotmat_geodesic_distance(found, turn) < 0.01
    torch.testing.assert_close(fit_world_turn(cameras, cameras @ turn), turn)


def test_heading_is_the_turn_about_the_vertical():
    yaw = torch.tensor([0.3, -2.8, 3.1], dtype=torch.float64)
    turn = roma.rotvec_to_rotmat(yaw[:, None] * torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
    lean = roma.rotvec_to_rotmat(
        torch.tensor([[0.4, 0.0, 0.0], [0.0, 0.0, -0.3], [0.5, 0.0, 0.2]], dtype=torch.float64)
    )

    torch.testing.assert_close(heading_rotation(turn @ lean), turn)
    upside_down = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    torch.testing.assert_close(heading_rotation(upside_down), torch.eye(3, dtype=torch.float64))


def test_heading_frame_forgets_place_and_heading_but_not_height(generator):
    points = torch.randn(9, 24, 3, generator=generator, dtype=torch.float64)
    roots = roma.random_rotmat(9, dtype=torch.float64, generator=generator)
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, 2.0, 0.0], dtype=torch.float64))

    seen = to_heading_frame(points, roots)
    elsewhere = to_heading_frame(points @ turn.T + torch.tensor([3.0, 0.0, -4.0]), turn @ roots)

    torch.testing.assert_close(elsewhere, seen)
    torch.testing.assert_close(seen[..., 1], points[..., 1])
    torch.testing.assert_close(seen[0, 0, [0, 2]], torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(heading_rotation(heading_rotation(roots[0]).T @ roots[0]), torch.eye(3).double())


def test_the_shortest_turn_takes_one_direction_to_another():
    first, second = torch.randn(2, 40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    second[0], second[1] = -3 * first[0], 2 * first[1]
    first[2], second[2] = torch.tensor([0.0, 2.0, 0.0]), torch.tensor([0.0, -1.0, 0.0])

    turn = shortest_turn(first, second)

    unit, wanted = (torch.nn.functional.normalize(each, dim=-1) for each in (first, second))
    torch.testing.assert_close((roma.rotvec_to_rotmat(turn) @ unit[..., None]).squeeze(-1), wanted)
    torch.testing.assert_close(turn.norm(dim=-1), (unit * wanted).sum(dim=-1).clamp(-1, 1).acos())
    assert turn[1].abs().max() < 1e-7
