"""Camera corrections: nothing at the start, each does what its equation says, and what is known is not moved."""

import pytest
import roma
import torch

from diffopt.geometry.cameras import Cameras, camera_centers
from diffopt.motion.correction import CameraCorrection


@pytest.fixture
def given():
    generator = torch.Generator().manual_seed(0)
    rotation = roma.rotvec_to_rotmat(torch.randn(6, 3, generator=generator))
    centers = torch.randn(6, 3, generator=generator) + torch.tensor([0.0, 1.5, 0.0])
    translation = -(rotation @ centers[..., None]).squeeze(-1)
    return Cameras(rotation, translation, torch.full((6,), 900.0), torch.full((6, 2), 300.0))


def correction(trust="estimated", scale_known=False, focal_per_frame=False):
    return CameraCorrection(6, trust, scale_known, focal_per_frame)


def test_changes_nothing_at_the_start(given):
    found = correction()(given)
    assert torch.allclose(found.rotation_w2c, given.rotation_w2c, atol=1e-6)
    assert torch.allclose(found.translation_w2c, given.translation_w2c, atol=1e-6)
    assert torch.equal(found.focal_px, given.focal_px)


def test_equals_the_papers_equation_in_a_world_that_starts_at_the_first_camera(given):
    """R = orth(6D(R) + b_R), t = s_t t + b_t, f = s_f f, written out with numpy-style Gram-Schmidt."""
    generator = torch.Generator().manual_seed(1)
    made = correction(focal_per_frame=True)
    with torch.no_grad():
        made.rotation_bias_6d.copy_(0.1 * torch.randn(6, 3, 2, generator=generator))
        made.translation_scale.copy_(1 + 0.1 * torch.randn(6, 1, generator=generator))
        made.translation_bias.copy_(0.1 * torch.randn(6, 3, generator=generator))
        made.focal_scale.copy_(1 + 0.1 * torch.randn(6, 1, generator=generator))
    origin = camera_centers(given.rotation_w2c, given.translation_w2c)[0]
    # The same cameras in SLAM's world: its origin is the first camera.
    slam_translation = given.translation_w2c + given.rotation_w2c @ origin

    found = made(given)

    for frame in range(6):
        a, b = (given.rotation_w2c[frame, :, :2] + made.rotation_bias_6d[frame]).unbind(dim=-1)
        x = a / a.norm()
        y = b - (x @ b) * x
        y = y / y.norm()
        rotation = torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)
        t_slam = made.translation_scale[frame] * slam_translation[frame] + made.translation_bias[frame]
        point = torch.tensor([0.3, 0.2, 4.0])
        seen = found.rotation_w2c[frame] @ point + found.translation_w2c[frame]
        assert torch.allclose(seen, rotation @ (point - origin) + t_slam, atol=1e-5)
        assert torch.allclose(found.focal_px[frame], made.focal_scale[frame, 0] * 900)


def test_the_papers_camera_has_a_scale_per_frame_and_no_other():
    ours = CameraCorrection(6, "estimated", scale_known=False, focal_per_frame=True)
    papers = CameraCorrection(6, "estimated", scale_known=False, focal_per_frame=True, travel_scale=False)
    names = {id(parameter): name for name, parameter in papers.named_parameters()}
    assert {names[id(parameter)] for parameter in papers.free_parameters()} == {
        "rotation_bias_6d", "translation_scale", "translation_bias", "focal_scale",
    }  # fmt: skip
    assert len(ours.free_parameters()) == 5


def test_one_travel_scale_stretches_the_path_about_the_first_camera(given):
    made = correction()
    with torch.no_grad():
        made.travel_scale.fill_(2.0)
    found = made(given)
    before = camera_centers(given.rotation_w2c, given.translation_w2c)
    after = camera_centers(found.rotation_w2c, found.translation_w2c)
    assert torch.allclose(after - after[0], 2 * (before - before[0]), atol=1e-5)
    assert torch.allclose(after[0], before[0], atol=1e-5)


def test_a_window_equals_the_whole(given):
    made = correction()
    with torch.no_grad():
        made.rotation_bias_6d.normal_(std=0.1)
        made.translation_bias.normal_(std=0.1)
    whole, part = made(given), made(given, slice(2, 5))
    assert torch.allclose(whole.translation_w2c[2:5], part.translation_w2c)
    assert torch.allclose(whole.rotation_w2c[2:5], part.rotation_w2c)


def test_what_is_known_is_not_moved():
    def moves(made):
        return {
            name for name, value in made.named_parameters() if any(value is free for free in made.free_parameters())
        }

    everything = {name for name, _ in correction().named_parameters()}
    assert moves(correction()) == everything
    assert moves(correction(scale_known=True)) == everything - {"travel_scale", "translation_scale"}
    assert moves(correction("known", scale_known=True)) == set()
    assert moves(correction("known")) == {"travel_scale"}
    assert moves(correction("static", scale_known=True)) == {"focal_scale"}
