"""Who moves when: the rows of the paper's Table 1."""

import pytorch_lightning as pl
import torch

from diffopt.fitting import run
from diffopt.fitting.stages import locate, stage_lengths


def test_locate_counts_through_the_stages():
    lengths = {"warmup": 3, "guidance": 2, "finetune": 4}
    found = [locate(lengths, step) for step in range(9)]
    assert found[:4] == [("warmup", 0), ("warmup", 1), ("warmup", 2), ("guidance", 0)]
    assert found[-1] == ("finetune", 3)


def test_a_longer_clip_gets_more_steps_and_an_empty_stage_is_left_out(short_recipe):
    short_recipe.fit.stages["guidance"].steps = 0
    assert stage_lengths(short_recipe.fit, 60) == {"warmup": 4, "finetune": 4}
    assert stage_lengths(short_recipe.fit, 2 * short_recipe.fit.frames_per_step) == {"warmup": 8, "finetune": 8}


class Watch(pl.Callback):
    """What each step moved."""

    def __init__(self):
        self.moved = []
        self.optimizers = []

    def on_train_batch_start(self, trainer, fit, batch, batch_idx):
        self.before = {name: value.detach().clone() for name, value in fit.named_parameters()}

    def on_train_batch_end(self, trainer, fit, outputs, batch, batch_idx):
        changed = {n.split(".")[0] for n, value in fit.named_parameters() if not torch.equal(value, self.before[n])}
        self.moved.append((fit.stage, frozenset(changed)))
        self.optimizers.append(id(trainer.optimizers[0]))


def watched(walk, body, prior, config, folder, monkeypatch):
    watch, trainer = Watch(), pl.Trainer
    monkeypatch.setattr(
        run.pl, "Trainer", lambda **options: trainer(**options | {"callbacks": [*options["callbacks"], watch]})
    )
    run.fit_sequence(
        walk, body, prior, config.fit, config.guidance, config.logging, 0, "cpu", folder, show_progress=False
    )
    return watch


def test_each_stage_moves_its_own_and_guidance_takes_turns(
    walk, body, small_prior, short_recipe, tmp_path, monkeypatch
):
    watch = watched(walk, body, small_prior, short_recipe, tmp_path, monkeypatch)
    field, camera = frozenset({"field"}), frozenset({"correction"})
    assert watch.moved == [
        *[("warmup", field)] * 4,
        *[("guidance", field), ("guidance", camera)] * 2,
        ("guidance", field),
        *[("finetune", field | camera)] * 4,
    ]
    assert len(set(watch.optimizers)) == 3


def test_a_known_camera_is_held_exactly(walk, body, small_prior, short_recipe, tmp_path, monkeypatch):
    from dataclasses import replace

    known = replace(walk, camera_trust="known", camera_scale="metric")
    watch = watched(known, body, small_prior, short_recipe, tmp_path, monkeypatch)
    assert all("correction" not in moved for _, moved in watch.moved)
