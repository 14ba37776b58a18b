"""Every command that computes on a device does so from its arguments to its files."""

import json

import numpy as np
import pytest
import torch

from diffopt.body.model import load_body
from diffopt.cli import main
from diffopt.commands import evaluate
from diffopt.config import load_config
from diffopt.prior.motion_prior import load_prior
from diffopt.prior.pose_prior import load_pose_prior
from diffopt.result.result import Result
from diffopt.simulation.synthetic import simulate_observation, synthetic_walk
from diffopt.training.motion_prior import train
from tests.device.chores import score_on_the_device
from tests.device.pretended_cuda import crossings, pretended_cuda
from tests.formats import layouts
from tests.formats.test_importers import dump_npz
from tests.prior.mdm.test_mdm_prior import write_checkpoint
from tests.training.test_motion_prior import config  # noqa: F401

SHORT = [f"fit.stages.{name}.steps=2" for name in load_config().fit.stages]
QUIET = ["pictures=false", "logging.wandb=disabled", *SHORT]


@pytest.fixture(autouse=True)
def device():
    crossings.clear()
    with pretended_cuda():
        yield


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    motion = synthetic_walk(load_body(), num_frames=40, fps=30.0, seed=0)
    observation = simulate_observation(load_body(), *motion, fps=30.0, camera="follow", seed=0)
    return observation.save(tmp_path_factory.mktemp("walk") / "walk.npz")


def test_fit(walk, tmp_path):
    assert main(["fit", f"source={walk}", f"out={tmp_path / 'out'}", *QUIET]) == 0

    assert crossings["to device"] > 10
    assert np.isfinite(Result.load(tmp_path / "out").transl).all()


def test_fit_under_a_published_mdm(walk, tmp_path):
    prior = write_checkpoint(tmp_path / "mdm")
    paper = "configs/paper.yaml"
    short = [f"fit.stages.{name}.steps=2" for name in load_config(paper).fit.stages]
    arguments = [f"prior.path={prior}", f"source={walk}", f"out={tmp_path / 'out'}", *QUIET[:2], *short]
    assert main(["fit", "--config", paper, *arguments]) == 0
    assert crossings["to device"] > 10


def test_fit_everyone(tmp_path):
    people = dump_npz(tmp_path / "clip_world_results.npz", layouts.slahmr_results(layouts.film_scene(load_body())))
    assert main(["fit", "--all", f"source={people}", f"out={tmp_path / 'out'}", *QUIET]) == 0
    assert crossings["to device"] > 20


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_evaluate(walk, tmp_path, engine, monkeypatch):
    monkeypatch.setattr(evaluate, "score_clip", score_on_the_device)
    arguments = [f"dataset={walk.parent}", "protocol=observations", f"out={tmp_path / 'out'}", "rows.diffopt.kind=fit"]
    assert main(["evaluate", *arguments, f"parallel.engine={engine}", "parallel.workers=1", *SHORT]) == 0
    records = [json.loads(path.read_text()) for path in (tmp_path / "out" / "records").glob("*.json")]
    assert records and all(record["error"] is None for record in records)


def test_train_prior(config):  # noqa: F811
    weights = load_prior(train(config))

    assert crossings["to device"] > 10
    assert all(parameter.isfinite().all() for parameter in weights.parameters())


def test_train_pose_prior(config, tmp_path):  # noqa: F811
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("extends: nothing\nvalidation: {walker: b}\nsteps: 2\nbatch_size: 8\nwidth: 8\nlatent: 4\n")
    out = tmp_path / "pose_prior.safetensors"
    assert main(["train-pose-prior", "--config", str(recipe), f"data={config.data}", f"out={out}"]) == 0
    assert all(parameter.isfinite().all() for parameter in load_pose_prior(out).parameters())


def test_sample(tmp_path):
    assert main(["sample", "count=1", "seconds=0.5", "steps=2", f"out={tmp_path / 'out'}"]) == 0
    assert not torch.is_inference_mode_enabled() and (tmp_path / "out" / "motion_1.glb").is_file()
