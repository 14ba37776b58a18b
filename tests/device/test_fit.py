"""Fits on a device: whatever a recipe asks for must be there, and in a step nothing may go to it or come from it."""

from collections import Counter

import pytest
import pytorch_lightning as pl

from diffopt.config import load_config
from diffopt.evaluation.truth import TruthScore
from diffopt.fitting import run
from diffopt.prior.motion_prior import load_prior
from tests.device.pretended_cuda import CUDA, crossings, pretended_cuda
from tests.fitting.conftest import body, small_prior, walk  # noqa: F401
from tests.fitting.test_recipes import ABLATIONS
from tests.prior.mdm.test_mdm_prior import write_checkpoint

RECIPES = {
    "default": [],
    "paper": ["paper"],
    **{name: [f"ablations/{name}"] for name in ABLATIONS},
}


class Count(pl.Callback):
    """What crosses in a step, from the end of the one before; comes before all other callbacks."""

    def __init__(self):
        self.found = {}

    def on_train_batch_end(self, trainer, fit, outputs, batch, batch_idx):
        assert {tensor.device for tensor in (*fit.parameters(), batch.trust, fit.losses["total"])} == {CUDA}
        self.found.setdefault(fit.stage, []).append(+crossings)


class Forget(pl.Callback):
    """What the callbacks before it moved to report it, now and then; comes after them."""

    def on_train_batch_end(self, trainer, fit, outputs, batch, batch_idx):
        crossings.clear()


def short(names: list[str]):
    """Two rounds of the turns of every stage: the first puts its constants on the device, the second needs no more."""
    config = load_config([f"configs/{name}.yaml" for name in names], ["logging.wandb=disabled"])
    for stage in config.fit.stages.values():
        stage.steps = 2 * len(stage.updates) * (stage.steps > 0)
    return config


def crossed_in_the_second_round(names, observation, body, prior, folder, monkeypatch):  # noqa: F811
    """Fits on the pretended device.

    Returns:
        What crossed in each stage's second round.
    """
    config = short(names)
    count, last = Count(), Forget()
    with pretended_cuda():
        trainer = pl.Trainer
        monkeypatch.setattr(
            pl, "Trainer", lambda callbacks, **rest: trainer(callbacks=[count, *callbacks, last], **rest)
        )
        fitted = run.fit_sequence(
            observation, body, None if config.prior.path == "none" else prior, config.fit, config.guidance,
            config.logging, 0, "auto", folder, score=TruthScore(observation, body), show_progress=False,
        )  # fmt: skip
        # What came of it lies where NumPy can read it, and what was lent is where it was.
        assert fitted.motion.transl.device.type == fitted.cameras.focal_px.device.type == body.device.type == "cpu"
        assert CUDA not in {parameter.device for parameter in prior.parameters()}
    assert [*count.found] == [name for name, stage in config.fit.stages.items() if stage.steps > 0]
    second = {stage: sum(steps[len(steps) // 2 :], Counter()) for stage, steps in count.found.items()}
    return {stage: what for stage, what in second.items() if what}


@pytest.mark.parametrize("names", RECIPES.values(), ids=RECIPES)
def test_a_recipe_fits_on_the_device(names, walk, body, small_prior, tmp_path, monkeypatch):  # noqa: F811
    assert crossed_in_the_second_round(names, walk, body, small_prior, tmp_path, monkeypatch) == {}


@pytest.mark.parametrize("mask_frames", [False, True], ids=["padded", "masked"])
def test_a_published_mdm_guides_on_the_device(mask_frames, walk, body, tmp_path, monkeypatch):  # noqa: F811
    prior = load_prior(write_checkpoint(tmp_path / "mdm", mask_frames=mask_frames))
    assert crossed_in_the_second_round(["paper"], walk, body, prior, tmp_path, monkeypatch) == {}
