"""What a fit reports while it runs: a progress bar, the curves of its losses, and of its error where truth is known."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from diffopt.fitting.fit import SequenceFit
from diffopt.geometry.cameras import Cameras
from diffopt.motion.motion import Motion

Score = Callable[[Motion, Cameras], dict[str, float]]
"""Metrics of an estimate against the truth."""


class FitProgress(pl.Callback):
    """A bar with stage, loss and the time left."""

    def __init__(self, total_steps: int) -> None:
        self.total_steps = total_steps
        self.bar = Progress(
            TextColumn("[bold]fit"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} steps"),
            TextColumn("{task.fields[stage]}  loss {task.fields[loss]:.4f}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )

    def on_train_start(self, trainer: pl.Trainer, fit: SequenceFit) -> None:  # type: ignore[override]
        self.task = self.bar.add_task("fit", total=self.total_steps, completed=trainer.global_step, stage="", loss=0.0)
        self.bar.start()

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: pl.Trainer, fit: SequenceFit, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % 10 == 0 or trainer.global_step == self.total_steps:
            loss = float(fit.losses["total"])
            self.bar.update(self.task, completed=trainer.global_step, stage=fit.stage, loss=loss)

    def on_train_end(self, trainer: pl.Trainer, fit: SequenceFit) -> None:  # type: ignore[override]
        self.bar.stop()

    def on_exception(self, trainer: pl.Trainer, fit: SequenceFit, exception: BaseException) -> None:  # type: ignore[override]
        self.bar.stop()


class LossCurves(pl.Callback):
    """Logs every loss now and then, and keeps it for the diagnostics: {stage: {loss: [[step, value], ...]}}.

    Part of the checkpoint, so that the curves of a resumed fit begin at its beginning.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.curves: dict[str, dict[str, list[list[float]]]] = {}

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: pl.Trainer, fit: SequenceFit, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        # Two steps in a row: updates take turns, and an even stride would always meet the same one.
        if step % self.every < 2 or step == trainer.max_steps:
            values = {name: float(value) for name, value in fit.losses.items()}
            for name, value in values.items():
                self.curves.setdefault(fit.stage, {}).setdefault(name, []).append([float(step), value])
            for logger in trainer.loggers:
                logger.log_metrics({f"{fit.stage}/{name}": value for name, value in values.items()}, step)

    def state_dict(self) -> dict[str, Any]:
        return {"curves": self.curves}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.curves = state_dict["curves"]


class MetricCurves(pl.Callback):
    """Logs the metrics against the truth: every so many steps as curves, `truth/g_mpjpe_mm` and so on, and at the end
    by their plain names, which is what a sweep looks at."""

    def __init__(self, score: Score, every: int) -> None:
        self.score = score
        self.every = every

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: pl.Trainer, fit: SequenceFit, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, last = trainer.global_step, trainer.global_step == trainer.max_steps
        if step % self.every == 0 or last:
            motion, cameras = fit.estimate()
            metrics = self.score(motion.to("cpu"), cameras.to("cpu"))
            curves = {f"truth/{name}": value for name, value in metrics.items()}
            for logger in trainer.loggers:
                logger.log_metrics(curves | metrics if last else curves, step)
