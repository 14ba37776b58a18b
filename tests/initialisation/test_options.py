"""Every number that the initialisation takes for granted is read, and decides something."""

import dataclasses
import functools
from dataclasses import replace

import numpy as np
import pytest
import torch

from diffopt.body.model import load_body
from diffopt.initialisation.options import InitialisationOptions
from diffopt.initialisation.recipe import initialise, world_solver
from diffopt.prior.motion_prior import load_prior
from diffopt.simulation.front_end_errors import DETECTORS
from diffopt.simulation.synthetic import simulate_observation, synthetic_walk

OPTIONS = InitialisationOptions()
LOST, METRIC, BLIND = "tracking lost, sides swapped", "scale known", "no camera"
SCENES = {
    "contradiction_m_s": BLIND,
    "contradiction_s": BLIND,
    "stance": METRIC,
    "doubt_m_s": METRIC,
    "view_decides": METRIC,
}
"""Where the numbers of a group, or one, are read, if not where tracking was lost."""
LARGER = {"min_keypoints": 10, "contradiction_m_s": 10, "contradiction_s": 10, "least_travel_m": 100}
"""Numbers that decide once they are this much larger; all others do at a tenth."""


def numbers(options, path=()):
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        yield from numbers(value, (*path, field.name)) if dataclasses.is_dataclass(value) else [(*path, field.name)]


def scaled(options, path, factor):
    """The same options with the number at `path` this many times as large."""
    name, *rest = path
    value = getattr(options, name)
    return replace(options, **{name: scaled(value, rest, factor) if rest else _like(value, factor * value)})


def _like(old, new):
    return max(1, round(new)) if isinstance(old, int) else new


@pytest.fixture(scope="module")
def solve():
    body, prior = load_body(), load_prior()
    walk = synthetic_walk(body, num_frames=60, fps=30.0, seed=7)
    lost, metric = (
        simulate_observation(body, *walk, fps=30.0, camera="follow", errors=replace(DETECTORS, **errors), seed=seed)
        for seed, errors in ((4, {"slam_lost_per_s": 1.0, "swaps_per_s": 1.0}), (7, {"slam_scale_factor": 1.0}))
    )
    standing = np.tile(np.eye(3, dtype=np.float32), (60, 1, 1))
    blind = replace(metric, rotation_w2c=standing, translation_w2c=0 * metric.translation_w2c)
    scenes = {LOST: lost, METRIC: metric, BLIND: blind}

    @functools.cache
    def found(scene, root_trajectory, options):
        solver = world_solver(scenes[scene], body, options, root_trajectory, prior)
        start = initialise(scenes[scene], body, solver, options, 0.3).start
        sure = torch.full((1, 3), start.findings["camera_scale_log_error"])
        return torch.cat([start.motion.transl, start.cameras.translation_w2c, sure])

    return found


@pytest.mark.parametrize("path", list(numbers(OPTIONS)), ids=".".join)
def test_every_number_decides_something(solve, path):
    scene = next((SCENES[name] for name in path if name in SCENES), LOST)
    told_by = "feet" if path[-1] == "contact_m_s" else "prior"
    other = scaled(OPTIONS, path, LARGER.get(path[-1], 0.1))
    assert not torch.equal(solve(scene, told_by, OPTIONS), solve(scene, told_by, other))
