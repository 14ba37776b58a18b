"""Fits on a device: whatever a recipe asks for must be there, and in a step nothing may go to it or come from it."""

import pytest
import pytorch_lightning as pl

from diffopt.config import load_config
from diffopt.evaluation.truth import TruthScore
from diffopt.fitting import run
from tests.device.pretended_cuda import CUDA, crossings, pretended_cuda
from tests.fitting.conftest import body, small_prior, walk  # noqa: F401
from tests.fitting.test_recipes import ABLATIONS

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


def short(names: list[str], *overrides: str):
    config = load_config([f"configs/{name}.yaml" for name in names], ["logging.wandb=disabled", *overrides])
    for stage in config.fit.stages.values():
        stage.steps = 3 * (stage.steps > 0)
    return config


@pytest.mark.parametrize("names", RECIPES.values(), ids=RECIPES)
def test_a_recipe_fits_on_the_device(names, walk, body, small_prior, tmp_path, monkeypatch):  # noqa: F811
    config = short(names)
    count, last = Count(), Forget()
    prior = None if config.prior.path == "none" else small_prior
    with pretended_cuda():
        trainer = pl.Trainer
        monkeypatch.setattr(
            pl, "Trainer", lambda callbacks, **rest: trainer(callbacks=[count, *callbacks, last], **rest)
        )
        fitted = run.fit_sequence(
            walk, body, prior, config.fit, config.guidance, config.logging, 0, "auto", tmp_path,
            score=TruthScore(walk, body), show_progress=False,
        )  # fmt: skip
        assert fitted.motion.transl.device.type == "cpu" and body.device.type == "cpu"
        assert CUDA not in {parameter.device for parameter in small_prior.parameters()}
    # The first steps of a stage put its constants there; no later one moves anything.
    assert {stage: steps[-1] for stage, steps in count.found.items() if steps[-1]} == {}
