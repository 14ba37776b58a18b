"""The size that residuals are measured by is the person's own, in every frame."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from diffopt.fitting.batch import sequence_batch
from diffopt.fitting.fit import SequenceFit
from diffopt.initialisation.state import observed_bodies
from diffopt.initialisation.world import solve_world


@pytest.fixture
def zoom(walk):
    return np.linspace(1, 3, walk.num_frames, dtype=np.float32)


@pytest.fixture
def zoomed(walk, zoom):
    """The same film through a lens that zooms in."""
    about = walk.keypoints_px - walk.center_px[:, None]
    return replace(
        walk, keypoints_px=walk.center_px[:, None] + zoom[:, None, None] * about, focal_px=zoom * walk.focal_px
    )


def test_size_follows_lens_and_distance(walk, zoomed, zoom):
    plain = sequence_batch(walk, 0.3, 0.01).person_px
    # Ever nearer in the same pixels: how large the person is in metres changes for all frames alike.
    nearer = replace(walk, transl_c=walk.transl_c / np.stack([np.ones_like(zoom), np.ones_like(zoom), zoom], axis=1))

    box = walk.keypoints_px[walk.confidence >= 0.3]
    assert 0.3 * np.ptp(box[:, 1]) < plain.median() < 1.2 * np.ptp(box[:, 1])
    torch.testing.assert_close(sequence_batch(zoomed, 0.3, 0.01).person_px, torch.from_numpy(zoom) * plain)
    relative = sequence_batch(nearer, 0.3, 0.01).person_px / plain
    torch.testing.assert_close(relative / relative[0], torch.from_numpy(zoom))


def test_somebody_half_hidden_is_no_smaller(walk):
    confidence = walk.confidence.copy()
    confidence[:20, 11:] = 0.0
    hidden = replace(walk, confidence=confidence)

    torch.testing.assert_close(
        sequence_batch(hidden, 0.3, 0.01).person_px, sequence_batch(walk, 0.3, 0.01).person_px, rtol=0.05, atol=0
    )


def test_zooming_in_makes_no_residual_larger(walk, zoomed, body, small_prior, short_recipe):
    short_recipe.fit.frames_per_step = 40

    def reprojection(observation):
        start = solve_world(walk, body, observed_bodies(walk), short_recipe.fit.initialisation)
        fit = SequenceFit(
            start, walk.fps, body, small_prior,
            short_recipe.fit, short_recipe.guidance, trust="estimated", seed=0,
        )  # fmt: skip
        fit.start.focal_px.copy_(torch.from_numpy(observation.focal_px))
        return fit.objective(sequence_batch(observation, 0.3, 0.01), step=3).reprojection

    torch.testing.assert_close(reprojection(zoomed), reprojection(walk))


def test_frames_out_of_sight_are_held_lightly_and_show_nothing(walk):
    valid = walk.frame_valid.copy()
    valid[20:35] = False
    batch = sequence_batch(replace(walk, frame_valid=valid), 0.3, 0.01)

    assert (batch.confidence[~valid] == 0).all() and (batch.confidence[valid] > 0).any()
    assert (batch.trust[valid] == 1).all()
    assert (batch.trust[~valid] > 0).all() and (batch.trust[~valid] < 0.1).all()
