"""One reading of the field serves the pixels and the prior."""

import dataclasses

import pytest
import torch

from diffopt.fitting.batch import sequence_batch
from diffopt.fitting.fit import SequenceFit
from diffopt.fitting.objective import prior_phases
from diffopt.fitting.options import LossScales, LossWeights, Update
from diffopt.initialisation.state import observed_bodies
from diffopt.initialisation.world import solve_world


@pytest.fixture
def objective_under(walk, body, small_prior, short_recipe):
    start = solve_world(walk, body, observed_bodies(walk), short_recipe.fit.initialisation)
    fit = SequenceFit(
        start, walk.fps, body, small_prior, short_recipe.fit,
        short_recipe.guidance, trust="estimated", seed=0, pose_network=None,
    )  # fmt: skip
    batch = sequence_batch(walk, short_recipe.fit.min_confidence, 0.01)

    def make(weights: LossWeights):
        fit.take_turn(Update(motion=True, losses=weights), 0.5)
        return fit.objective(batch, step=3)

    return make


def test_frames_are_the_same_with_and_without_the_prior(objective_under):
    alone, guided = objective_under(LossWeights()), objective_under(LossWeights(diffusion=1.0))

    for name in ("warmup", "reprojection", "foot_sliding", "floor", "acceleration"):
        torch.testing.assert_close(getattr(guided, name), getattr(alone, name), msg=name)
    assert guided.diffusion.requires_grad


@pytest.mark.parametrize(
    ("loss", "scales"),
    [
        ("foot_sliding", ["sliding_height_m", "sliding_m_s"]),
        ("floor", ["floor_height_m", "floor_m_s"]),
        ("acceleration", ["acceleration_m_s2"]),
        ("correction_size", ["rotation", "translation_m", "ratio"]),
        ("correction_roughness", ["rotation_per_s2", "translation_m_s2", "ratio_per_s2"]),
    ],
)
def test_a_loss_reads_its_own_scales(objective_under, loss, scales):
    objective = objective_under(LossWeights())
    with torch.no_grad():
        for parameter in objective.correction.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape))
    before = getattr(objective, loss)

    for field in dataclasses.fields(LossScales):
        doubled = dataclasses.replace(objective.scales, **{field.name: 2 * getattr(objective.scales, field.name)})
        after = getattr(dataclasses.replace(objective, scales=doubled), loss)
        assert (after == before) == (field.name not in scales), field.name


def test_a_clip_that_one_window_shows_gets_one(small_prior):
    window_s = small_prior.window / small_prior.fps
    generator = torch.Generator().manual_seed(0)

    assert len(prior_phases(1.2 * window_s, small_prior, 3, generator)) == 1
    long = prior_phases(4 * window_s, small_prior, 3, generator)
    assert long.shape == (3, small_prior.window + 1)
    torch.testing.assert_close(long.diff(dim=1), torch.full((3, small_prior.window), 1 / (80 * window_s)))
