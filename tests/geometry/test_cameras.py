"""Projection against OpenCV, and cameras that look where they are told."""

import cv2
import numpy as np
import roma
import torch

from diffopt.geometry.cameras import camera_centers, look_at, project


def test_projection_equals_opencv():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(3, 7, 3, generator=generator)
    rotation = roma.rotvec_to_rotmat(0.3 * torch.randn(3, 3, generator=generator))
    translation = torch.tensor([0.1, -0.2, 5.0]).expand(3, 3)
    focal, center = torch.tensor([800.0, 900.0, 1000.0]), torch.tensor([[320.0, 240.0]]).expand(3, 2)

    ours = project(points, rotation, translation, focal, center)

    for frame in range(3):
        matrix = np.array([[focal[frame], 0, 320], [0, focal[frame], 240], [0, 0, 1]])
        axis = cv2.Rodrigues(rotation[frame].double().numpy())[0]
        theirs, _ = cv2.projectPoints(points[frame].double().numpy(), axis, translation[frame].numpy(), matrix, None)
        assert np.abs(theirs[:, 0] - ours[frame].numpy()).max() < 1e-2


def test_a_point_behind_the_camera_stays_finite_and_keeps_its_side():
    behind = torch.tensor([[[1.0, 0.0, -2.0]]]).requires_grad_()
    eye, zero = torch.eye(3)[None], torch.zeros(1, 3)
    pixel = project(behind, eye, zero, torch.ones(1), torch.zeros(1, 2))
    pixel.sum().backward()
    assert pixel.isfinite().all() and pixel[0, 0, 0] > 0
    assert behind.grad.isfinite().all()


def test_look_at_is_upright_and_centred():
    eye, target = torch.tensor([[1.0, 2.0, 3.0], [-4.0, 1.0, 0.5]]), torch.tensor([[0.0, 1.0, 0.0]]).expand(2, 3)
    rotation, translation = look_at(eye, target)
    assert torch.allclose(camera_centers(rotation, translation), eye, atol=1e-6)
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(2), atol=1e-6)
    seen = project(target[:, None], rotation, translation, torch.ones(2), torch.zeros(2, 2))
    assert seen.abs().max() < 1e-6
    higher = project(
        target[:, None] + torch.tensor([0, 0.1, 0]), rotation, translation, torch.ones(2), torch.zeros(2, 2)
    )
    assert (higher[..., 1] < 0).all()  # image y points down
