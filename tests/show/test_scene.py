import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation

from diffopt.errors import DiffoptError
from diffopt.show.scene import Scene, heading_alignment


def test_heading_alignment_undoes_a_turn_and_a_shift_over_the_floor():
    random = np.random.default_rng(0)
    points = random.normal(size=(6, 24, 3))
    turn = Rotation.from_rotvec([0, 2.3, 0]).as_matrix()
    moved = points @ turn.T + [1.5, 0, -4]
    rotation, shift = heading_alignment(points, moved)
    np.testing.assert_allclose(points @ rotation.T + shift, moved, atol=1e-9)
    np.testing.assert_allclose(rotation, turn, atol=1e-9)


def test_heading_alignment_leaves_heights_and_tilt_alone():
    points = np.random.default_rng(0).normal(size=(6, 24, 3))
    moved = points @ Rotation.from_rotvec([0.4, 0, 0.2]).as_matrix().T + [0, 3, 0]
    rotation, shift = heading_alignment(points, moved)
    np.testing.assert_allclose(rotation[1], [0, 1, 0], atol=1e-12)
    assert shift[1] == 0


def test_truth_lies_on_the_result_up_to_its_drift(body, walk):
    result, observation = walk
    truth = Scene(result, body, observation).truth
    off = np.linalg.norm(truth.joints[:, 0] - result.joints[:, 0], axis=1)
    # The result drifts by 0 to 8 cm: centred, that is at most 4 cm.
    assert off.max() == pytest.approx(0.04, abs=0.01)
    assert truth.camera.shape == (result.num_frames, 3)


def test_no_truth_without_an_observation(body, walk):
    assert Scene(walk[0], body).truth is None


def test_meshes_are_the_bodys_frame_by_frame(body, walk):
    result, _ = walk
    meshes = list(Scene(result, body).meshes())
    assert len(meshes) == result.num_frames
    for frame in (0, 7, 8):  # the last one is alone in its chunk
        pose, orient = (
            roma.rotvec_to_rotmat(torch.from_numpy(x[[frame]])) for x in (result.body_pose, result.global_orient)
        )
        betas, transl = torch.from_numpy(result.betas), torch.from_numpy(result.transl[[frame]])
        np.testing.assert_allclose(meshes[frame], body.vertices(pose, orient, transl, betas)[0], atol=1e-6)


def test_root_and_view_are_the_results(body, walk):
    result, _ = walk
    scene = Scene(result, body)
    np.testing.assert_allclose(scene.root, result.joints[:, 0])
    np.testing.assert_allclose(scene.seconds, np.arange(9) / 10)
    view = scene.view(3)
    np.testing.assert_allclose(view.to_camera(view.center_w), np.zeros(3), atol=1e-6)
    np.testing.assert_allclose(view.rotation_w2c, result.rotation_w2c[3])
    assert view.size_px == (160, 120) and view.focal_px == 150


def test_another_sequences_observation_is_refused(body, walk):
    result, observation = walk
    with pytest.raises(DiffoptError, match="has 5 frames but the result has 9"):
        Scene(result, body, observation.cut(0, 5))
