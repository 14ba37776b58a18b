import json
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
import roma
import torch

from diffopt.body.keypoints import keypoint_regressor
from diffopt.body.model import load_body
from diffopt.errors import DiffoptError
from diffopt.evaluation.metrics import mpjpe_cam_mm, pa_mpjpe_mm
from diffopt.geometry.cameras import camera_centers, project, to_camera
from diffopt.motion.motion import Motion
from diffopt.observation.keypoint_sets import KEYPOINT_SETS
from diffopt.simulation.detected_keypoints import _part
from diffopt.simulation.front_end_errors import DETECTORS, FrontEndErrors
from diffopt.simulation.synthetic import simulate_observation, synthetic_walk
from diffopt.simulation.virtual_camera import CAMERA_MOVES, correlated_noise, film

FPS = 30.0
PERFECT = DETECTORS.scaled(0.0)


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def walk(body):
    return synthetic_walk(body, 90, FPS, seed=2)


def tensors(observation):
    return {k: torch.from_numpy(v) for k, v in asdict(observation).items() if isinstance(v, np.ndarray)}


def true_landmarks(body, seen):
    motion = Motion.from_axis_angle(seen["truth_body_pose"], seen["truth_global_orient"], seen["truth_transl"])
    return body.landmarks(motion.body_pose, motion.global_orient, motion.transl, seen["truth_betas"])


def estimated_landmarks_c(body, seen):
    motion = Motion.from_axis_angle(seen["body_pose"], seen["global_orient_c"], seen["transl_c"])
    return body.landmarks(motion.body_pose, motion.global_orient, motion.transl, seen["betas"])


def true_landmarks_c(body, seen):
    return to_camera(true_landmarks(body, seen), seen["truth_rotation_w2c"], seen["truth_translation_w2c"])


@pytest.mark.parametrize("camera", CAMERA_MOVES)
def test_perfect_tools_agree_with_the_truth_in_every_part(body, walk, camera):
    seen = tensors(simulate_observation(body, *walk, FPS, camera=camera, errors=PERFECT, seed=5, keypoint_set="coco23"))

    points = true_landmarks(body, seen)
    pixels = project(
        keypoint_regressor("coco23") @ points,
        seen["truth_rotation_w2c"], seen["truth_translation_w2c"], seen["truth_focal_px"], seen["center_px"],
    )  # fmt: skip
    visible = seen["confidence"] > 0
    assert visible.float().mean() > 0.95
    torch.testing.assert_close(seen["keypoints_px"][visible], pixels[visible], atol=2e-2, rtol=0)
    torch.testing.assert_close(estimated_landmarks_c(body, seen), true_landmarks_c(body, seen), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen["focal_px"], seen["truth_focal_px"])
    # The given camera is the true one in another world: the first camera's.
    turn = seen["truth_rotation_w2c"][0].T
    torch.testing.assert_close(seen["rotation_w2c"], seen["truth_rotation_w2c"] @ turn, atol=1e-5, rtol=0)
    centers = camera_centers(seen["truth_rotation_w2c"], seen["truth_translation_w2c"])
    moved = camera_centers(seen["rotation_w2c"], seen["translation_w2c"])
    torch.testing.assert_close(moved @ turn.T + centers[0], centers, atol=1e-4, rtol=0)


def test_metric_scale_is_said_only_where_it_is_true(body, walk):
    perfect = simulate_observation(body, *walk, FPS, errors=PERFECT)
    usual = simulate_observation(
        body, *walk, FPS, camera="orbit", errors=replace(PERFECT, slam_scale_factor=4.0), seed=1
    )

    assert perfect.camera_scale == "metric" and usual.camera_scale == "unknown"
    scale = json.loads(usual.provenance)["slam_scale"]
    lengths = [
        np.linalg.norm(np.diff(camera_centers(torch.from_numpy(r), torch.from_numpy(t)).numpy(), axis=0), axis=1).sum()
        for r, t in (
            (usual.rotation_w2c, usual.translation_w2c),
            (usual.truth_rotation_w2c, usual.truth_translation_w2c),
        )
    ]
    assert lengths[0] / lengths[1] == pytest.approx(scale, rel=1e-4) and not 0.9 < scale < 1.1
    assert usual.has_truth and usual.has_truth_camera


def test_the_usual_errors_are_as_large_as_published(body):
    rows = []
    for seed in range(6):
        walk = synthetic_walk(body, 90, FPS, seed)
        seen = tensors(simulate_observation(body, *walk, FPS, camera="pan", seed=seed))
        estimate, truth = estimated_landmarks_c(body, seen)[:, :24], true_landmarks_c(body, seen)[:, :24]
        orient = roma.rotvec_to_rotmat(seen["global_orient_c"])
        true_orient = seen["truth_rotation_w2c"] @ roma.rotvec_to_rotmat(seen["truth_global_orient"])
        rows.append(
            [
                pa_mpjpe_mm(estimate, truth).mean(),
                mpjpe_cam_mm(estimate, truth).mean(),
                roma.rotmat_geodesic_distance(orient, true_orient).rad2deg().mean(),
                (estimate[:, 0, 2] / truth[:, 0, 2]).log().abs().mean(),
            ]
        )
    pa, camera, root, depth = np.mean(rows, axis=0)

    assert 45 < pa < 65 and 75 < camera < 110 and 3 < root < 7 and 0.02 < depth < 0.2


def test_a_wrong_shape_or_focal_length_still_fits_the_picture(body, walk):
    errors = replace(PERFECT, betas_kept=0.2, focal_error=0.08)
    observation = simulate_observation(body, *walk, FPS, camera="orbit", errors=errors, seed=1)
    seen = tensors(observation)
    pelvis, true_pelvis = estimated_landmarks_c(body, seen)[:, 0], true_landmarks_c(body, seen)[:, 0]
    focal_ratio = (seen["focal_px"] / seen["truth_focal_px"])[0]
    heights = [body.rest_vertices(seen[name])[:, 1] for name in ("betas", "truth_betas")]
    height_ratio = (heights[0].max() - heights[0].min()) / (heights[1].max() - heights[1].min())

    assert abs(focal_ratio - 1) > 0.005 and abs(height_ratio - 1) > 0.005
    for sideways in (0, 1):
        torch.testing.assert_close(
            seen["focal_px"] * pelvis[:, sideways] / pelvis[:, 2],
            seen["truth_focal_px"] * true_pelvis[:, sideways] / true_pelvis[:, 2],
            atol=0.05, rtol=0,
        )  # fmt: skip
    torch.testing.assert_close(pelvis[:, 2] / true_pelvis[:, 2], (focal_ratio * height_ratio).expand(90))


def test_confidence_tells_of_the_error_unless_dishonest(body, walk):
    errors = replace(PERFECT, keypoint_drift=0.02, outlier_rate=0.05, occlusions_per_s=1.0)
    honest = simulate_observation(body, *walk, FPS, camera="pan", errors=errors)
    liar = simulate_observation(body, *walk, FPS, camera="pan", errors=replace(errors, dishonest=1.0))
    exact = simulate_observation(body, *walk, FPS, camera="pan", errors=PERFECT)

    def agreement(observation):
        wrong = np.linalg.norm(observation.keypoints_px - exact.keypoints_px, axis=-1)
        seen = observation.confidence > 0
        return np.corrcoef(wrong[seen], observation.confidence[seen])[0, 1]

    assert agreement(honest) < -0.6 and abs(agreement(liar)) < 0.1


def test_errors_grow_with_the_body_in_the_image(body, walk):
    far = walk[2].clone()
    errors = replace(PERFECT, keypoint_jitter=0.01)
    sizes = []
    for image in ((1280, 720), (640, 360)):
        noisy, exact = (
            simulate_observation(body, walk[0], walk[1], far, walk[3], FPS, "pan", chosen, image_size_px=image)
            for chosen in (errors, PERFECT)
        )
        sizes.append(np.nanstd(noisy.keypoints_px - exact.keypoints_px))
    assert sizes[0] / sizes[1] == pytest.approx(2, rel=0.02)


def test_lost_frames_are_marked_and_hold_the_last_body(body, walk):
    observation = simulate_observation(body, *walk, FPS, errors=replace(DETECTORS, lost_per_s=1.0), seed=3)
    lost = np.flatnonzero(~observation.frame_valid)

    assert len(lost) > 5
    assert (observation.confidence[lost] == 0).all() and np.isnan(observation.keypoints_px[lost]).all()
    first = lost[0]
    np.testing.assert_array_equal(observation.body_pose[first], observation.body_pose[first - 1])
    np.testing.assert_array_equal(observation.transl_c[first], observation.transl_c[first - 1])


def test_left_and_right_are_swapped_for_a_while(body, walk):
    swapping = simulate_observation(body, *walk, FPS, camera="pan", errors=replace(PERFECT, swaps_per_s=2.0), seed=1)
    exact = simulate_observation(body, *walk, FPS, camera="pan", errors=PERFECT, seed=1)
    moved = np.abs(swapping.keypoints_px - exact.keypoints_px).max(axis=(1, 2)) > 1

    assert 0.05 < moved.mean() < 0.9
    other = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]  # COCO's left and right
    np.testing.assert_array_equal(swapping.keypoints_px[moved], exact.keypoints_px[moved][:, other])


def test_every_keypoint_vanishes_with_a_part_of_the_body():
    assert all(0 <= _part(name) < 5 for names in KEYPOINT_SETS.values() for name in names)
    assert _part(("left_wrist",)) == 0 and _part(("joint:right_knee",)) == 3 and _part(("left_ear",)) == 4


def test_slam_drifts_like_a_random_walk_and_can_stand_still(body, walk):
    angles = []
    for seed in range(30):
        errors = replace(PERFECT, slam_turn_deg_per_s=1.0)
        seen = tensors(simulate_observation(body, *walk, FPS, camera="static", errors=errors, seed=seed))
        angles.append(roma.rotmat_geodesic_distance(seen["rotation_w2c"][-1], seen["rotation_w2c"][0]).rad2deg().item())
    assert np.sqrt(np.mean(np.square(angles))) == pytest.approx(np.sqrt(89 / 30), rel=0.3)

    lost = simulate_observation(body, *walk, FPS, camera="orbit", errors=replace(PERFECT, slam_lost_per_s=1.0), seed=1)
    still = np.abs(np.diff(lost.rotation_w2c, axis=0)).max(axis=(1, 2)) == 0
    assert 0 < still.sum() < 89


def test_a_stronger_level_is_worse_in_every_number():
    harder = DETECTORS.scaled(2.0)
    for field in fields(FrontEndErrors):
        if field.name not in ("correlation_s", "event_s"):
            assert getattr(harder, field.name) != getattr(DETECTORS, field.name) or getattr(DETECTORS, field.name) == 0
    assert DETECTORS.scaled(1.0) == DETECTORS
    assert (
        harder.betas_kept == 0
        and harder.slam_scale_factor == 16
        and harder.joint_bias_deg == 2 * DETECTORS.joint_bias_deg
    )


@pytest.mark.parametrize("camera", CAMERA_MOVES)
def test_cameras_keep_the_person_in_view_and_move_as_they_say(body, walk, camera):
    pelvis = true_landmarks(body, tensors(simulate_observation(body, *walk, FPS)))[:, 0]
    for seed in range(5):
        filmed = film(camera, pelvis, FPS, (1280, 720), np.random.default_rng(seed))
        centers = camera_centers(filmed.rotation_w2c, filmed.translation_w2c)
        pixels = project(
            pelvis[:, None].double(), filmed.rotation_w2c, filmed.translation_w2c, filmed.focal_px, filmed.center_px
        )[:, 0]
        assert (pixels > 0).all() and (pixels[:, 0] < 1280).all() and (pixels[:, 1] < 720).all()
        travelled = (centers[-1] - centers[0]).norm()
        turned = roma.rotmat_geodesic_distance(filmed.rotation_w2c[0], filmed.rotation_w2c[-1])
        assert (travelled > 0.3) == (camera in ("follow", "orbit", "dolly", "shake"))
        assert (turned > 0.01) == (camera in ("pan", "follow", "orbit", "zoom", "shake"))
        zoomed = float(filmed.focal_px.max() / filmed.focal_px.min())
        assert (zoomed > 1.5) == (camera == "zoom")
        assert (filmed.rotation_w2c[:, 1, 1] < 0).all()  # upright: the image's down is the world's down


def test_correlated_noise_has_unit_size_and_forgets():
    noise = correlated_noise(np.random.default_rng(0), 4000, 50, 10.0)

    assert noise.std().item() == pytest.approx(1, rel=0.03)
    # Gaussian smoothing with sigma s correlates values a apart by exp(-a² / 4 s²).
    for apart, expected in ((10, np.exp(-0.25)), (40, np.exp(-4))):
        assert (noise[:-apart] * noise[apart:]).mean().item() == pytest.approx(expected, abs=0.03)


def test_the_seed_decides_and_parts_are_independent(body, walk):
    first, again = (simulate_observation(body, *walk, FPS, camera="pan", seed=4) for _ in range(2))
    other_camera = simulate_observation(body, *walk, FPS, camera="orbit", seed=4)
    other_seed = simulate_observation(body, *walk, FPS, camera="pan", seed=5)

    for name, value in asdict(first).items():
        np.testing.assert_array_equal(value, getattr(again, name), err_msg=name)
    np.testing.assert_allclose(first.body_pose, other_camera.body_pose, atol=1e-6)
    assert not np.allclose(first.body_pose, other_seed.body_pose, atol=1e-3)
    with pytest.raises(DiffoptError, match="expected one of static, pan, follow, orbit, dolly"):
        film("crane", torch.zeros(3, 3), FPS, (640, 480), np.random.default_rng(0))


@pytest.mark.parametrize("keypoint_set", sorted(KEYPOINT_SETS))
def test_every_detector_can_be_simulated(body, walk, keypoint_set, tmp_path):
    observation = simulate_observation(body, *walk, FPS, keypoint_set=keypoint_set)

    missing = keypoint_regressor(keypoint_set).sum(dim=-1).numpy() == 0
    assert (observation.confidence[:, missing] == 0).all()
    observation.save(tmp_path / "seen.npz")
    assert observation.load(tmp_path / "seen.npz").keypoint_set == keypoint_set


def test_cameras_are_held_at_many_heights(walk):
    pelvis = walk[2].double()

    def height(move, seed):
        filmed = film(move, pelvis, FPS, (1280, 720), np.random.default_rng(seed))
        return float(camera_centers(filmed.rotation_w2c, filmed.translation_w2c)[:, 1].mean())

    for move in CAMERA_MOVES:
        heights = [height(move, seed) for seed in range(12)]
        assert 1.05 < min(heights) < 1.35 and 1.65 < max(heights) < 1.95, move
