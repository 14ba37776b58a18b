import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from diffopt.body.model import load_body
from diffopt.body.skeleton import BODY_JOINTS
from diffopt.errors import DiffoptError
from diffopt.mocap.clip import AVERAGE_OFFSETS, KINDS
from diffopt.mocap.reading import read_motions, split
from diffopt.mocap.sources import read_sources
from diffopt.prior.denoiser import DenoiserSize
from diffopt.prior.features import ARTICULATION, FEATURE_SIZE
from diffopt.prior.motion_prior import MotionPrior, PriorDescription, load_prior
from diffopt.training.motion_prior import VALIDATION_SEED, PriorFit, path_errors, train
from diffopt.training.options import PriorTraining
from diffopt.training.windows import Batch, MotionWindows, WindowRecipe, seed_of
from tests.offline_run import OfflineRun
from tests.random_motion import random_motion


@pytest.fixture
def config(tmp_path) -> PriorTraining:
    subjects, frames = ["a", "a", "b", "c"], 50
    motions = [random_motion(frames, seed, torch.float32) for seed in range(len(subjects))]
    np.savez(
        tmp_path / "pack.npz",
        name=np.array([f"clip{index}" for index in range(len(subjects))]),
        subject=np.array(subjects),
        description=np.array(["x"] * len(subjects)),
        start=np.arange(len(subjects)) * frames,
        length=np.full(len(subjects), frames),
        fps=30.0,
        rotvec=np.concatenate([roma.rotmat_to_rotvec(rotations).numpy() for rotations, _, _ in motions]),
        trans=np.concatenate([root.numpy() for _, root, _ in motions]),
        offsets=np.tile(AVERAGE_OFFSETS.numpy(), (len(subjects), 1, 1)),
    )
    return PriorTraining(
        data=str(tmp_path),
        out=str(tmp_path / "out"),
        validation={"walker": "b"},
        excluded={"c": "held out"},
        windows=WindowRecipe(longest=16, shortest=8, batch_size=4),
        network=DenoiserSize(width=16, depth=1, heads=2),
        num_steps=20,
        steps=4,
        validate_every=2,
        validation_batches=1,
        precision="32-true",
    )


def test_subjects_are_split_and_excluded_ones_left_out(config):
    clips = read_motions(config.data)

    training, validation = split(clips, config.validation, config.excluded)
    assert {clip.subject for clip in training} == {"a"}
    assert {clip.subject for clip in validation} == {"b"}
    training, _ = split(clips, config.validation, {"c": "held out", "clip1": "glitch"})
    assert [clip.name for clip in training] == ["clip0"]
    with pytest.raises(ValueError, match=r"\['z'\] are not among"):
        split(clips, {"walker": "z"}, {})


def test_levels_are_equal_in_half_of_the_windows_and_given_in_a_quarter(config):
    prior = MotionPrior(PriorDescription(config.network, num_steps=1000, window=16))
    fit = PriorFit(replace(config, num_steps=1000), prior)

    root, articulation = fit.draw_levels(4000, torch.Generator().manual_seed(0))

    assert (root == articulation).float().mean().item() == pytest.approx(0.5, abs=0.03)
    apart = articulation[root != articulation]
    assert (apart < 100).float().mean().item() == pytest.approx(0.55, abs=0.05)


def test_loss_is_nothing_for_a_perfect_prediction_and_sees_only_what_was_captured(config, monkeypatch):
    prior = MotionPrior(PriorDescription(config.network, config.num_steps, window=16))
    fit = PriorFit(config, prior)
    clean = torch.randn(2, 9, FEATURE_SIZE)
    valid = torch.arange(9) < torch.tensor([[9], [5]])
    levels = (torch.zeros(2, dtype=torch.long), torch.zeros(2, dtype=torch.long))
    trusted = torch.arange(FEATURE_SIZE).expand(2, -1) != FEATURE_SIZE - 1
    batch = Batch(clean, torch.randn_like(clean), valid, trusted, torch.zeros(2, dtype=torch.long))

    # The untrained network only hands on what it is given; that is the wrong motion here.
    generator = torch.Generator()
    assert fit.losses(prior, batch, levels, generator)["loss"] > 1
    seen = valid[..., None] & trusted[:, None]
    monkeypatch.setattr(prior, "denoise", lambda *_: torch.where(seen, clean, 100.0))
    assert fit.losses(prior, batch, levels, generator)["loss"] == 0


def test_a_run_that_stopped_goes_on_and_writes_weights(config):
    first = train(replace(config, steps=2))
    half = load_prior(first)
    begun = torch.load(f"{config.out}/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    weights = load_prior(train(config))

    checkpoint = torch.load(f"{config.out}/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 4
    moved = "prior.denoiser.enter.weight"
    assert not torch.equal(begun[moved], checkpoint["state_dict"][moved])
    torch.testing.assert_close(half.mean, weights.mean)
    assert weights.scale[ARTICULATION].min() > 0
    # What is known without training: how the windows' features vary.
    assert weights.denoiser.linear.power[0].mean() > 5 * weights.denoiser.linear.power[-1].mean()
    torch.testing.assert_close(half.denoiser.linear.power, weights.denoiser.linear.power)


def test_the_path_error_of_held_out_people_is_told_by_kind(config):
    """Over all windows of a kind, however they lie in batches; a kind that nobody moved in is not told."""
    held_out = {"walker": "b", "dancer": "c"}
    kinds = {"clip2": "locomotion", "clip3": "dance"}
    config = replace(config, validation=held_out, excluded={}, kinds=kinds, validation_batches=6, wandb=True, steps=2)
    prior = load_prior(train(config))
    (told,) = [row for row in OfflineRun(Path(config.out)).history if "val_path" in row]

    clips = [clip for clip in read_sources(config.data, {}, {}, kinds) if clip.kind in kinds.values()]
    skeleton = load_body().skeleton(torch.zeros(10)).detach()[:BODY_JOINTS]
    batches = list(MotionWindows(clips, config.windows, skeleton, 6, config.seed + VALIDATION_SEED))
    with torch.no_grad():
        errors = torch.cat([path_errors(prior, batch) for batch in batches])
    kind = torch.cat([batch.kind for batch in batches])
    expected = {f"val_path/{KINDS[row]}": float(errors[kind == row].mean()) for row in kind.unique().tolist()}
    assert len(expected) == 2
    assert {name: told[name] for name in told if name.startswith("val_path/")} == pytest.approx(expected, rel=1e-4)


def test_a_training_ends_when_its_time_is_up_and_that_before_a_stop_counts(config, monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr("diffopt.training.motion_prior.time.monotonic", lambda: float(next(clock)))
    endless = replace(config, steps=10000, validate_every=1)

    train(replace(endless, max_seconds=20.0))
    first = torch.load(f"{config.out}/checkpoints/last.ckpt", weights_only=True)
    train(replace(endless, max_seconds=40.0))
    second = torch.load(f"{config.out}/checkpoints/last.ckpt", weights_only=True)

    steps = [first["global_step"], second["global_step"] - first["global_step"]]
    assert 1 < steps[0] < 20 and abs(steps[1] - steps[0]) <= 2
    assert second["optimizer_states"][0]["param_groups"][0]["lr"] < 0.1 * config.learning_rate
    with pytest.raises(DiffoptError, match="max_seconds"):
        train(replace(endless, max_seconds=40.0, devices=2))


def test_a_training_that_goes_on_is_the_same_run_of_wandb_and_its_curves_are_whole(config):
    out = Path(config.out)
    train(replace(config, wandb=True, steps=3))
    first = OfflineRun(out)
    train(replace(config, wandb=True, steps=6))

    run = OfflineRun(out)
    assert run.run.run_id == first.run.run_id and run.exit_codes == [0]
    measured = [(row["_step"], row["val_loss"]) for row in run.history if "val_loss" in row]
    # Counted from 0; the first one was measured before the stop.
    assert [step for step, _ in measured] == [1, 3, 5] and measured[0][1] == first.history[0]["val_loss"]
    assert run.config["windows.longest"] == 16 and run.config["data"] == Path(config.data).name


def test_seeds_of_different_names_differ():
    names = [(seed, rank, worker) for seed in range(10) for rank in range(10) for worker in range(10)]
    assert len({seed_of(*one) for one in names}) == 1000
    assert seed_of(1, 2) == seed_of(1, 2)


def test_no_two_processes_draw_the_same_and_any_number_goes_on(config, tmp_path):
    """Two processes, then one whose windows come from two workers."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "extends: nothing\nvalidation: {walker: b}\nexcluded: {c: held out}\nnum_steps: 20\nvalidate_every: 2\n"
        "validation_batches: 1\nwindows: {longest: 16, shortest: 8, batch_size: 4}\n"
        "network: {width: 16, depth: 1, heads: 2}\nprecision: 32-true\n"
    )
    command = [sys.executable, str(Path(__file__).with_name("witness.py")), str(tmp_path), "train-prior"]
    command += ["--config", str(recipe), f"data={config.data}", f"out={config.out}", "device=cpu"]
    for run in (["steps=2", "devices=2"], ["steps=4", "devices=1", "workers=2"]):
        ran = subprocess.run([*command, *run], capture_output=True)
        assert ran.returncode == 0, ran.stderr.decode()[-2000:]

    notes = {
        rank: [json.loads(line) for line in (tmp_path / f"{rank}.jsonl").read_text().splitlines()] for rank in (0, 1)
    }
    assert [note["step"] for note in notes[0]] == [0, 1, 2, 3] and [note["step"] for note in notes[1]] == [0, 1]
    every = notes[0] + notes[1]
    assert len({note["windows"] for note in every}) == len({note["noise"] for note in every}) == 6
    # One each: of the two processes, and of the one that went on.
    assert len({note["dropout"] for note in every}) == 3
    assert torch.load(f"{config.out}/checkpoints/last.ckpt", weights_only=True)["global_step"] == 4
