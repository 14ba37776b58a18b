"""A world that is known comes out as it was."""

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from diffopt.body.model import load_body
from diffopt.evaluation.truth import TruthScore
from diffopt.geometry.cameras import camera_centers
from diffopt.initialisation.composed import compose_world
from diffopt.initialisation.options import InitialisationOptions
from diffopt.initialisation.state import observed_bodies
from diffopt.initialisation.world import solve_world
from diffopt.simulation.front_end_errors import DETECTORS
from diffopt.simulation.synthetic import simulate_observation, synthetic_walk

OPTIONS = InitialisationOptions()


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def clean_walk(body):
    """A walk of four seconds seen by perfect tools, but for SLAM's unknown world and scale."""
    motion = synthetic_walk(body, num_frames=120, fps=30.0, seed=1)
    return simulate_observation(body, *motion, fps=30.0, camera="follow", errors=DETECTORS.scaled(0.0), seed=1)


def test_clean_walk_comes_out_as_it_was(body, clean_walk):
    state = solve_world(clean_walk, body, observed_bodies(clean_walk), OPTIONS)
    metrics = TruthScore(clean_walk, body)(state.motion, state.cameras)
    assert metrics["g_mpjpe_mm"] < 60
    assert metrics["rte_percent"] < 2
    assert metrics["pa_mpjpe_mm"] < 1
    joints = body.joints(state.motion.body_pose, state.motion.global_orient, state.motion.transl, state.betas)
    assert -0.05 < float(joints[:, [10, 11], 1].min()) < 0.06  # the toes are on the floor


@pytest.mark.parametrize("origin_m", [0.0, 60.0])
def test_a_camera_that_only_turns_is_neither_lost_nor_travels(body, origin_m):
    """Wherever its world's origin is: single precision puts it at a little another place in every frame."""
    panned = simulate_observation(
        body,
        *synthetic_walk(body, num_frames=90, fps=30.0, seed=1),
        fps=30.0,
        camera="pan",
        errors=DETECTORS.scaled(0.0),
        seed=1,
    )
    moved = panned.rotation_w2c.astype(np.float64) @ np.array([origin_m, 0.7 * origin_m, 0.0])
    panned = replace(
        panned, translation_w2c=(panned.translation_w2c - moved).astype(np.float32), camera_scale="unknown"
    )
    state = solve_world(panned, body, observed_bodies(panned), OPTIONS)
    assert state.findings["camera_lost_share"] == 0.0
    assert state.scale_known
    centers = -torch.einsum("tji,tj->ti", state.cameras.rotation_w2c, state.cameras.translation_w2c)
    assert (centers - centers[0]).abs().max() < 1e-5


def test_camera_and_body_keep_their_relation(body, clean_walk):
    """Composition moves both: seen from the camera the composed body is where it was given."""
    state = solve_world(clean_walk, body, observed_bodies(clean_walk), OPTIONS)
    composed = body.joints(state.composed.body_pose, state.composed.global_orient, state.composed.transl, state.betas)
    seen = composed @ state.cameras.rotation_w2c.mT + state.cameras.translation_w2c[:, None]
    given = body.joints(
        state.composed.body_pose,
        roma.rotvec_to_rotmat(torch.as_tensor(clean_walk.global_orient_c)),
        torch.as_tensor(clean_walk.transl_c),
        state.betas,
    )
    assert (seen - given).abs().max() < 1e-3


def test_the_papers_start_is_the_bodies_where_the_camera_sees_them(body, clean_walk):
    """Seen from the camera, bodies are as given; cameras stand where they were given, their unit a metre; y is up."""
    state = compose_world(replace(clean_walk, camera_scale="unknown"), body, observed_bodies(clean_walk), OPTIONS)
    joints = body.joints(state.motion.body_pose, state.motion.global_orient, state.motion.transl, state.betas)
    seen = joints @ state.cameras.rotation_w2c.mT + state.cameras.translation_w2c[:, None]
    given = body.joints(
        state.motion.body_pose,
        roma.rotvec_to_rotmat(torch.as_tensor(clean_walk.global_orient_c)),
        torch.as_tensor(clean_walk.transl_c),
        state.betas,
    )
    assert (seen - given).abs().max() < 1e-3
    centers = camera_centers(state.cameras.rotation_w2c, state.cameras.translation_w2c)
    own = -np.einsum("tji,tj->ti", clean_walk.rotation_w2c, clean_walk.translation_w2c)
    travelled = np.linalg.norm(own - own[0], axis=-1)
    assert np.allclose((centers - centers[0]).norm(dim=-1).numpy(), travelled, atol=1e-4)
    # A camera's up in its own axes is the second column of its rotation, in any world that has y up.
    off = (state.cameras.rotation_w2c[:, :, 1].numpy() * clean_walk.truth_rotation_w2c[:, :, 1]).sum(axis=-1)
    assert np.degrees(np.arccos(off.clip(-1, 1))).max() < 6
    assert abs(joints[..., 1].amin(dim=1).median()) < 0.1
    assert not state.scale_known
    metric = replace(clean_walk, camera_scale="metric")
    assert compose_world(metric, body, observed_bodies(metric), OPTIONS).scale_known


def test_the_papers_start_keeps_the_gravity_that_is_given(body, clean_walk):
    down = np.array([0.1, 1.0, -0.2])
    state = compose_world(replace(clean_walk, gravity_w=down), body, observed_bodies(clean_walk), OPTIONS)
    before = clean_walk.rotation_w2c[3] @ (down / np.linalg.norm(down))
    assert np.abs(before + state.cameras.rotation_w2c[3, :, 1].numpy()).max() < 1e-5


def test_given_gravity_and_metric_scale_are_kept(body, clean_walk):
    down = np.array([0.1, 1.0, -0.2])
    told = replace(clean_walk, gravity_w=down, camera_scale="metric")
    state = solve_world(told, body, observed_bodies(told), OPTIONS)
    assert state.findings["camera_scale"] == 1.0 and state.findings["gravity_correction_deg"] == 0.0
    # A camera's rotation takes world axes to camera axes, so the down direction is seen alike in both worlds.
    before = told.rotation_w2c[3] @ (down / np.linalg.norm(down))
    after = -state.cameras.rotation_w2c[3, :, 1].numpy()
    assert np.abs(before - after).max() < 1e-5
