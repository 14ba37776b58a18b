"""Who moves when: the rows of the paper's Table 1."""

import pytest
import pytorch_lightning as pl
import torch

from diffopt.errors import DiffoptError
from diffopt.fitting import run
from diffopt.fitting.options import LossWeights, Update
from diffopt.fitting.stages import locate, stage_lengths


def test_locate_counts_through_the_stages():
    lengths = {"warmup": 3, "guidance": 2, "finetune": 4}
    found = [locate(lengths, step) for step in range(9)]
    assert found[:4] == [("warmup", 0), ("warmup", 1), ("warmup", 2), ("guidance", 0)]
    assert found[-1] == ("finetune", 3)


def test_a_longer_clip_gets_more_steps_and_an_empty_stage_is_left_out(short_recipe):
    short_recipe.fit.stages["guidance"].steps = 0
    assert stage_lengths(short_recipe.fit, 60) == {"pose": 2, "warmup": 3, "finetune": 3}
    twice = stage_lengths(short_recipe.fit, 2 * short_recipe.fit.frames_per_step)
    assert twice == {"pose": 4, "warmup": 6, "finetune": 6}


class Watch(pl.Callback):
    """What each step moved."""

    def __init__(self):
        self.moved = []
        self.new_optimizers = 0
        self.optimizer = None

    def on_train_batch_start(self, trainer, fit, batch, batch_idx):
        self.before = {name: value.detach().clone() for name, value in fit.named_parameters()}

    def on_train_batch_end(self, trainer, fit, outputs, batch, batch_idx):
        changed = {n.split(".")[0] for n, value in fit.named_parameters() if not torch.equal(value, self.before[n])}
        self.moved.append((fit.stage, frozenset(changed)))
        self.new_optimizers += trainer.optimizers[0] is not self.optimizer
        self.optimizer = trainer.optimizers[0]


def fit_with(callback, walk, body, prior, config, folder, monkeypatch):
    trainer = pl.Trainer
    monkeypatch.setattr(
        run.pl, "Trainer", lambda **options: trainer(**options | {"callbacks": [*options["callbacks"], callback]})
    )
    run.fit_sequence(
        walk, body, prior, config.fit, config.guidance, config.logging, 0, "cpu", folder, show_progress=False
    )
    return callback


def test_each_stage_moves_its_own_and_guidance_takes_turns(
    walk, body, small_prior, short_recipe, tmp_path, monkeypatch
):
    watch = fit_with(Watch(), walk, body, small_prior, short_recipe, tmp_path, monkeypatch)
    field, camera = frozenset({"field"}), frozenset({"correction"})
    assert watch.moved == [
        *[("pose", field)] * 2,
        *[("warmup", field)] * 3,
        *[("guidance", field), ("guidance", camera)] * 2,
        ("guidance", field),
        *[("finetune", field | camera)] * 3,
    ]
    assert watch.new_optimizers == 4


def test_a_known_camera_is_held_exactly(walk, body, small_prior, short_recipe, tmp_path, monkeypatch):
    from dataclasses import replace

    known = replace(walk, camera_trust="known", camera_scale="metric")
    watch = fit_with(Watch(), known, body, small_prior, short_recipe, tmp_path, monkeypatch)
    assert all("correction" not in moved for _, moved in watch.moved)


def test_the_path_is_solved_anew_from_the_mended_bodies_once(
    walk, body, small_prior, short_recipe, tmp_path, monkeypatch
):
    """The start moves when the stage that asks for it begins, and at no other time; corrections begin at nothing."""
    starts = []

    class Record(pl.Callback):
        def on_train_batch_end(self, trainer, fit, outputs, batch, batch_idx):
            starts.append((fit.stage, fit.start.transl.clone()))

    fit_with(Record(), walk, body, small_prior, short_recipe, tmp_path, monkeypatch)
    before = [start for stage, start in starts if stage == "pose"]
    after = [start for stage, start in starts if stage != "pose"]
    assert all(torch.equal(start, before[0]) for start in before)
    assert all(torch.equal(start, after[0]) for start in after)
    assert not torch.equal(before[0], after[0])


def test_every_frame_of_a_long_clip_is_looked_at(walk, body, small_prior, short_recipe):
    """Windows of a third of the clip: its first and last frame are in about a third or more of them, as any other."""
    from diffopt.fitting.batch import sequence_batch
    from diffopt.fitting.fit import SequenceFit
    from diffopt.initialisation.state import observed_bodies
    from diffopt.initialisation.world import solve_world

    short_recipe.fit.frames_per_step = 20
    start = solve_world(walk, body, observed_bodies(walk), short_recipe.fit.initialisation)
    fit = SequenceFit(
        start,
        walk.fps,
        body,
        small_prior,
        short_recipe.fit,
        short_recipe.guidance,
        trust="estimated",
        seed=0,
    )
    seen = torch.zeros(walk.num_frames)
    for step in range(300):
        seen[fit.objective(sequence_batch(walk, 0.3, 0.01), step).window] += 1 / 300
    assert seen.min() > 0.1 and seen.max() < 0.6


class Gradients(pl.Callback):
    """What the last backward pass of each step reached."""

    def __init__(self):
        self.reached = set()
        self.losses = set()

    def on_after_backward(self, trainer, fit):
        grown = [n for n, value in fit.named_parameters() if value.grad is not None and value.grad.abs().max() > 0]
        self.reached |= {".".join(name.split(".")[:2]) for name in grown}
        self.losses |= set(fit.losses)


def test_a_pose_prior_moves_the_articulation_and_nothing_else(walk, body, short_recipe, tmp_path, monkeypatch):
    for stage in short_recipe.fit.stages.values():
        stage.updates = {"poses": Update(motion=True, camera=True, losses=LossWeights(pose_prior=1.0))}
    watch = fit_with(Gradients(), walk, body, None, short_recipe, tmp_path, monkeypatch)
    assert watch.losses == {"pose_prior", "total"}
    assert watch.reached == {"field.grid", "field.pose"}  # one grid serves all heads


def test_a_pose_prior_is_read_only_when_asked_for(walk, body, small_prior, short_recipe, tmp_path, monkeypatch):
    short_recipe.fit.pose_prior = str(tmp_path / "nowhere")
    fit_with(pl.Callback(), walk, body, small_prior, short_recipe, tmp_path, monkeypatch)
    short_recipe.fit.stages["guidance"].updates["human"].losses.pose_prior = 1.0
    with pytest.raises(DiffoptError, match="nowhere"):
        fit_with(pl.Callback(), walk, body, small_prior, short_recipe, tmp_path, monkeypatch)


class Asked(pl.Callback):
    """In which steps of the motion the prior is asked, and whether targets are held between."""

    def __init__(self):
        self.targets = []

    def on_train_batch_end(self, trainer, fit, outputs, batch, batch_idx):
        if fit.stage == "guidance" and fit.update.motion:
            self.targets.append(fit.target.clean)


def test_a_target_serves_as_many_steps_as_it_is_told(walk, body, small_prior, short_recipe, tmp_path, monkeypatch):
    short_recipe.fit.stages["guidance"].steps = 12  # six of the motion, six of the camera
    short_recipe.guidance.reuse = 3
    watch = fit_with(Asked(), walk, body, small_prior, short_recipe, tmp_path, monkeypatch)

    first, second = watch.targets[:3], watch.targets[3:6]
    assert len(watch.targets) == 6
    assert all(torch.equal(one, first[0]) for one in first) and all(torch.equal(one, second[0]) for one in second)
    assert not torch.equal(first[0], second[0])
