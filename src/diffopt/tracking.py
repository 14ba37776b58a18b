"""Weights & Biases: one run for each fit or training, whole when it ends, with nothing about the machine in it."""

import os
import secrets
import shutil
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import wandb
from lightning_fabric.loggers.logger import rank_zero_experiment
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers import Logger
from wandb.errors import AuthenticationError
from wandb.proto.wandb_internal_pb2 import Record  # pyright: ignore[reportAttributeAccessIssue]

from diffopt.errors import DiffoptError
from diffopt.files.record_log import records

PRIVATE: dict[str, Any] = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "host": "",
    "label_disable": True,
    "program": "",
    "save_code": False,
    "username": "",
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}
"""W&B's settings that leave out host, user, command line, code, git, packages, screen output and load."""

PATIENCE_S = 30


def refuse_without_account(mode: str) -> None:
    """To be asked before the work: W&B itself would ask for a key in the middle of it.

    Args:
        mode: `offline`, `online` or `disabled`.

    Raises:
        DiffoptError: `online`, and W&B knows no API key, or one that cannot be right.
    """
    if mode != "online" or wandb.run is not None:  # who has a run going has logged in
        return
    wandb.setup(wandb.Settings(silent=True))
    found = "none is there"
    try:
        if wandb.login(prompt=False, verify=False):
            return
    except AuthenticationError as error:
        found = str(error)
    raise DiffoptError(
        f"Field 'logging.wandb' is 'online', which takes an API key of Weights & Biases, but {found}; run `wandb "
        "login` or set WANDB_API_KEY, or choose `logging.wandb=offline` and send the run later with `wandb sync`."
    )


def folder_of_its_own(out: Path) -> Path:
    """Under `wandb agent`, where all trials are told the same folder, one inside it named after the trial's run."""
    trial = os.environ.get("WANDB_RUN_ID") if "WANDB_SWEEP_ID" in os.environ else None
    return out / trial if trial and trial not in out.parts else out


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by the names that overrides and sweeps give them: `guidance.noise_start`.

    Of a path only the last part is kept; the rest says where somebody keeps their files.
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": one for inner, one in flat(value).items()}
        else:
            found[name] = Path(value).name if isinstance(value, str) and "/" in value else value
    return found


class Run(Logger):
    """Lightning's way to one run of W&B, which counts its steps as the fit does.

    Lightning's own `WandbLogger` never finishes a run, takes up whichever run is going on in the process, and counts
    calls instead of steps, so that a fit that goes on would log a second time what it logs again.
    """

    def __init__(
        self,
        folder: Path,
        mode: str,
        project: str,
        name: str,
        kept: Path,
        settings: Mapping[str, Any],
        machine: bool = False,
    ) -> None:
        """
        Args:
            folder: the run is written into `wandb/` in it.
            mode: `offline` or `online`.
            project: project that the run is filed under.
            name: name of the run.
            kept: file that keeps the run's id for whoever goes on with it, made if there is none; it belongs beside
                the checkpoints. Under `wandb agent` the trial's own id counts.
            settings: the configuration, which runs are compared by.
            machine: record also what W&B finds out about the machine.
        """
        super().__init__()
        self._folder, self._mode, self._project, self._label = folder, mode, project, name
        self._kept, self._config, self._machine = kept, flat(settings), machine
        self._run: wandb.Run | None = None

    @property
    def name(self) -> str:
        return self._label

    @property
    def version(self) -> str:
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> wandb.Run:
        if self._run is None:
            identity = self._identity()
            # What an earlier part of this run left here is logged again in this one (`Replay`).
            for earlier in self._folder.glob(f"wandb/*run-*-{identity}"):
                shutil.rmtree(earlier)
            self._run = wandb.init(
                dir=self._folder,
                mode=self._mode,  # type: ignore[arg-type]
                project=self._project,
                name=self._label,
                id=identity,
                resume="allow" if self._mode == "online" else None,
                config=self._config,
                # Runs may overlap in one process, and the end of one must not be that of another.
                reinit="create_new",
                settings=wandb.Settings(
                    silent=True, symlink=False, use_dot_wandb=False, **({} if self._machine else PRIVATE)
                ),
            )
        return self._run

    def _identity(self) -> str:
        if not self._kept.exists():
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            self._kept.write_text(secrets.token_hex(4))
        return self._kept.read_text()

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """The settings are known from the beginning."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.experiment.log(dict(metrics), step=step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End the run; only then is its file whole. Lightning says `success`, or else what went wrong."""
        if self._run is None:
            return
        run, self._run = self._run, None
        folder = Path(run.settings.sync_dir)
        run.finish(exit_code=0 if status == "success" else 1)
        _wait_for_its_end(folder / f"run-{run.id}.wandb")
        shutil.rmtree(folder / "logs", ignore_errors=True)  # of W&B's own doings; they name folders of this machine


def _wait_for_its_end(path: Path) -> None:
    """`wandb.Run.finish` returns while W&B's own process is still writing the end of the run's file."""
    patience = time.monotonic() + PATIENCE_S
    while time.monotonic() < patience:
        try:
            *_, last = records(path)
        except (EOFError, FileNotFoundError, ValueError):  # ValueError: no record yet
            last = b""
        if Record.FromString(last).HasField("exit"):
            return
        time.sleep(0.01)
    warnings.warn(f"{path}: Weights & Biases did not finish this file within {PATIENCE_S} s.", stacklevel=2)


class Replay(Logger, pl.Callback):
    """Keeps in the checkpoint what was logged, and logs it again when a fit goes on from there.

    So the curves of a fit that was stopped begin at its beginning, in every logger. A logger to hear what is logged, a
    callback to be asked at a checkpoint: the trainer gets it as both.
    """

    def __init__(self) -> None:
        super().__init__()
        self.points: list[tuple[int, dict[str, float]]] = []

    @property
    def name(self) -> str:
        return "replay"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Not part of the curves."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        assert step is not None  # ours and Lightning's own calls all say it
        self.points.append((step, {name: float(value) for name, value in metrics.items()}))

    def on_save_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["diffopt_logged"] = self.points

    def on_load_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        for step, metrics in checkpoint["diffopt_logged"]:
            for logger in trainer.loggers:
                logger.log_metrics(metrics, step)
