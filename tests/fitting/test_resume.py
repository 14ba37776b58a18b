"""A fit that stops at any step goes on bit for bit as if it had not."""

import shutil

import pytest
import pytorch_lightning as pl
import torch

from diffopt.fitting import run


class StopAfter(pl.Callback):
    """A power cut after so many steps."""

    def __init__(self, steps):
        self.steps = steps

    def on_train_batch_end(self, trainer, fit, outputs, batch, batch_idx):
        if trainer.global_step == self.steps:
            raise KeyboardInterrupt


def fit(walk, body, prior, config, folder, monkeypatch, stop=None):
    if stop is not None:
        trainer = pl.Trainer
        # After the checkpoint callback: Lightning runs that one last, so the cut comes one step later.
        monkeypatch.setattr(
            run.pl,
            "Trainer",
            lambda **options: trainer(**options | {"callbacks": [*options["callbacks"], StopAfter(stop + 1)]}),
        )
    try:
        return run.fit_sequence(
            walk, body, prior, config.fit, config.guidance, config.logging, 0, "cpu", folder, show_progress=False
        )
    finally:
        monkeypatch.undo()


@pytest.fixture(scope="module")
def unbroken(request):
    return {}


@pytest.mark.parametrize("stop", range(1, 12))
def test_resume_from_every_step_is_bit_exact(
    stop, walk, body, small_prior, short_recipe, tmp_path, monkeypatch, unbroken
):
    if not unbroken:
        whole = fit(walk, body, small_prior, short_recipe, tmp_path / "whole", monkeypatch)
        unbroken["motion"], unbroken["cameras"] = whole.motion, whole.cameras
    work = tmp_path / "cut"
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(walk, body, small_prior, short_recipe, work, monkeypatch, stop)
    kept = list(work.glob("checkpoints-*/last.ckpt"))
    assert len(kept) == 1 and torch.load(kept[0], weights_only=True)["global_step"] in (stop, stop + 1)

    resumed = fit(walk, body, small_prior, short_recipe, work, monkeypatch)

    assert torch.equal(resumed.motion.transl, unbroken["motion"].transl)
    assert torch.equal(resumed.motion.body_pose, unbroken["motion"].body_pose)
    assert torch.equal(resumed.cameras.translation_w2c, unbroken["cameras"].translation_w2c)
    shutil.rmtree(work)


def test_a_checkpoint_of_another_fit_is_not_taken_up(walk, body, small_prior, short_recipe, tmp_path, monkeypatch):
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(walk, body, small_prior, short_recipe, tmp_path, monkeypatch, 6)
    short_recipe.fit.reprojection_scale *= 2

    other = fit(walk, body, small_prior, short_recipe, tmp_path, monkeypatch)
    fresh = fit(walk, body, small_prior, short_recipe, tmp_path / "fresh", monkeypatch)

    assert torch.equal(other.motion.transl, fresh.motion.transl)
