"""Moves a fit through its stages: swaps the optimizer and the losses, and says whose turn it is (paper, Table 1)."""

import math
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from torch.optim import Optimizer

from diffopt.fitting.batch import SequenceBatch
from diffopt.fitting.fit import SequenceFit
from diffopt.fitting.options import FitOptions, Stage
from diffopt.initialisation.recipe import WorldSolver
from diffopt.losses.guidance import GuidanceTarget


def stage_lengths(options: FitOptions, num_frames: int) -> dict[str, int]:
    """Optimizer steps of each stage; a clip longer than one window gets proportionally more.

    Args:
        options: stages with their steps for a clip of one window.
        num_frames: frames of the clip.
    """
    windows = max(1.0, num_frames / options.frames_per_step)
    return {name: round(stage.steps * windows) for name, stage in options.stages.items() if stage.steps > 0}


def locate(lengths: Mapping[str, int], step: int) -> tuple[str, int]:
    """The stage that an optimizer step belongs to, and the step's number within it."""
    name = ""
    for name, length in lengths.items():
        if step < length:
            return name, step
        step -= length
    return name, lengths[name] + step


class StageSwitch(pl.Callback):
    """Before every step: the stage's optimizer, its falling step size, and the update whose turn it is.

    The stage is saved, not worked out again from the step count: at a boundary the count already belongs to the next
    stage while the optimizer's state is still the last one's.
    """

    def __init__(self, stages: Mapping[str, Stage], lengths: Mapping[str, int], solve_world: WorldSolver) -> None:
        """
        Args:
            stages: by name, in the order in which they are run.
            lengths: optimizer steps of each stage that is run.
            solve_world: finds the world of the bodies as they stand, for stages that ask for it.
        """
        self.stages = stages
        self.lengths = lengths
        self.solve_world = solve_world

    def on_train_batch_start(self, trainer: pl.Trainer, fit: SequenceFit, batch: SequenceBatch, batch_idx: int) -> None:  # type: ignore[override]
        name, step = locate(self.lengths, trainer.global_step)
        stage = self.stages[name]
        if name != fit.stage:
            fit.stage = name
            if stage.solve_world:
                # Their feet tell trajectory and scale better than those of the bodies that were given.
                fit.restart(self.solve_world(fit.bodies_in_camera(batch.betas).to("cpu")))
            trainer.strategy.setup_optimizers(trainer)
        progress = step / self.lengths[name]
        for optimizer in trainer.optimizers:
            _set_step_size(optimizer, stage.final_lr, progress)
        updates = list(stage.updates.values())
        held = step // len(updates) % fit.guidance.reuse * len(updates)
        fit.take_turn(updates[step % len(updates)], progress, held)

    def on_save_checkpoint(self, trainer: pl.Trainer, fit: SequenceFit, checkpoint: dict[str, Any]) -> None:  # type: ignore[override]
        checkpoint["diffopt_stage"] = fit.stage
        checkpoint["diffopt_target"] = None if fit.target is None else tuple(fit.target)

    def on_load_checkpoint(self, trainer: pl.Trainer, fit: SequenceFit, checkpoint: dict[str, Any]) -> None:  # type: ignore[override]
        fit.stage = checkpoint["diffopt_stage"]  # comes before configure_optimizers, as it must
        if checkpoint["diffopt_target"] is not None:
            fit.target = GuidanceTarget(*(part.to(fit.device) for part in checkpoint["diffopt_target"]))


def _set_step_size(optimizer: Optimizer, final: float, progress: float) -> None:
    """Half a cosine from the full step size to its share `final`."""
    share = final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
    for group in optimizer.param_groups:
        group["lr"] = share * group["full_lr"]
