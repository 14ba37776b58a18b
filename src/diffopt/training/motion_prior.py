"""Training of the motion prior: `diffopt train-prior --config configs/prior.yaml`.

The objective is the MDM's (paper, eq. 2), the two blocks noised to levels of their own; half of the windows look like
estimates of themselves, so that the network also learns to mend what estimators do.
"""

import math
import time
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from pytorch_lightning.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, Logger
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from diffopt.body.model import load_body
from diffopt.body.skeleton import BODY_JOINTS
from diffopt.device import accelerator_of, choose_device, generator_on
from diffopt.errors import DiffoptError
from diffopt.mocap.clip import KINDS
from diffopt.mocap.reading import split
from diffopt.mocap.sources import read_sources
from diffopt.prior.denoiser import DenoiserSize
from diffopt.prior.features import ARTICULATION, ROOT, SLICES, root_velocity
from diffopt.prior.motion_prior import MotionPrior, PriorDescription
from diffopt.tracking import Replay, Run
from diffopt.training.options import PriorTraining
from diffopt.training.windows import Batch, MotionWindows, normalisation, seed_of

NORMALISATION_WINDOWS = 1440
VALIDATION_SEED = 77
VELOCITY_UNIT = 0.3
"""What an error of the root's velocity is measured in, m/s."""
DISPLACEMENT_FRAMES = 12
"""Steps over which an error of the root's displacement is summed: it is the bias that ruins a path, not the jitter."""


class PriorFit(pl.LightningModule):
    """Trains a `MotionPrior`; `averaged` is its exponential moving average, which is what validates and ships."""

    def __init__(self, config: PriorTraining, prior: MotionPrior, windows: MotionWindows | None = None) -> None:
        super().__init__()
        self.config, self.prior, self.windows = config, prior, windows
        self.averaged = deepcopy(prior).requires_grad_(False)
        self.earlier_seconds, self.started = 0.0, time.monotonic()

    def configure_optimizers(self):
        config = self.config
        plain = [p for p in self.prior.parameters() if p.ndim < 2]
        decayed = [p for p in self.prior.parameters() if p.ndim >= 2]
        groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99))

        def rate(step: int) -> float:
            warm = min(1.0, (step + 1) / config.warmup_steps)
            done = max(step / config.steps, self.seconds() / config.max_seconds if config.max_seconds else 0.0)
            return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))

        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": torch.optim.lr_scheduler.LambdaLR(optimizer, rate), "interval": "step"},
        }

    def on_fit_start(self) -> None:
        if self.windows is not None:
            self.windows.rank = self.global_rank
        self.started = time.monotonic()

    def seconds(self) -> float:
        """Time spent on this training, that before it was stopped counted in."""
        return self.earlier_seconds + time.monotonic() - self.started

    def on_save_checkpoint(self, checkpoint) -> None:
        checkpoint["diffopt_seconds"] = self.seconds()

    def on_load_checkpoint(self, checkpoint) -> None:
        self.earlier_seconds = checkpoint["diffopt_seconds"]

    def on_train_start(self) -> None:
        torch.manual_seed(seed_of(self.config.seed, self.global_step, self.global_rank))  # of dropout

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        # Of the seed, the step and the rank: noise that a resumed run draws on, and that no two ranks share.
        generator = generator_on(self.device, seed_of(self.config.seed, self.global_step, self.global_rank))
        losses = self.losses(self.prior, batch, self.draw_levels(len(batch.clean), generator), generator)
        self.log("train_loss", losses["loss"], prog_bar=True)
        self.log_dict({f"train/{name}": value for name, value in losses.items() if name != "loss"})
        return losses["loss"]

    def on_train_batch_end(self, outputs, batch, batch_idx) -> None:
        # A short memory at first, or the average would long remember the random start.
        keep = min(self.config.ema, (1 + self.global_step) / (10 + self.global_step))
        average = get_ema_multi_avg_fn(keep)
        average(list(self.averaged.parameters()), list(self.prior.parameters()), torch.tensor(self.global_step))
        if self.config.max_seconds and self.seconds() >= self.config.max_seconds:
            self.trainer.should_stop = True

    def on_validation_start(self) -> None:
        batches: list[Batch] = self.trainer.val_dataloaders.dataset  # type: ignore[union-attr]
        self.validated_kinds = sorted({row for batch in batches for row in batch.kind.tolist()})

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The training loss on unseen subjects under noise that is the same every time, and the path it predicts."""
        generator = generator_on(self.device, batch_idx)
        levels = self.draw_levels(len(batch.clean), generator)
        losses = self.losses(self.averaged, batch, levels, generator)
        self.log("val_loss", losses["loss"], prog_bar=True, sync_dist=True)
        self.log_dict({f"val/{name}": value for name, value in losses.items() if name != "loss"}, sync_dist=True)
        errors = path_errors(self.averaged, batch)
        self.log("val_path", errors.mean(), prog_bar=True, sync_dist=True)
        errors, kind = errors.cpu(), batch.kind.cpu()
        for row in self.validated_kinds:  # all in every batch, or processes would wait for each other's
            of_kind = errors[kind == row]
            mean = of_kind.sum() / max(len(of_kind), 1)
            self.log(f"val_path/{KINDS[row]}", mean.to(self.device), batch_size=len(of_kind), sync_dist=True)

    def draw_levels(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Noise levels of root and articulation: half of the time equal, else apart, some with a given articulation."""
        steps = self.config.num_steps
        root, articulation = torch.randint(steps, (2, batch), generator=generator, device=generator.device)
        nearly_clean = torch.randint(max(1, steps // 10), (batch,), generator=generator, device=generator.device)
        how = torch.rand(batch, generator=generator, device=generator.device)
        articulation = torch.where(how < 0.5, root, articulation)
        articulation = torch.where(how > 1 - self.config.given_share, nearly_clean, articulation)
        return root, articulation

    def losses(
        self,
        prior: MotionPrior,
        batch: Batch,
        levels: tuple[Tensor, Tensor],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Weighted squared errors of the predicted clean features (paper, eq. 2), by block and in all."""
        clean, seen, valid, trusted, _ = batch
        target, given = prior.normalised(clean), prior.normalised(seen)
        noise = torch.randn(given.shape, generator=generator, device=generator.device).to(given)
        noisy = torch.cat(
            [
                prior.schedule.add_noise(given[..., block], noise[..., block], level)
                for block, level in zip((ROOT, ARTICULATION), levels, strict=True)
            ],
            dim=-1,
        )
        predicted = prior.denoise(noisy, *levels, valid).float()
        weight = (valid / valid.sum())[..., None]
        # One glitch in the capture must not steer a step.
        squared = trusted[:, None] * (predicted - target.clamp(-8, 8)).square()
        losses = {name: (weight * squared[..., block]).sum(dim=(0, 1)).mean() for name, block in SLICES.items()}
        error = (root_velocity(prior.physical(predicted)) - root_velocity(clean)) / VELOCITY_UNIT
        losses["root_velocity"] = (weight * error.square()).sum() / 3
        summed = (error * valid[..., None])[..., ::2].cumsum(dim=1)
        moved = summed[:, DISPLACEMENT_FRAMES:] - summed[:, :-DISPLACEMENT_FRAMES]
        losses["displacement"] = (weight[:, DISPLACEMENT_FRAMES:] * (moved / DISPLACEMENT_FRAMES).square()).sum()
        weights = asdict(self.config.loss)
        losses["loss"] = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        return losses


def learn_statistics(prior: MotionPrior, batches: list[Batch]) -> None:
    """Set what a prior knows of motion without training: the features' means and scales, and how they vary in time."""
    prior.mean, prior.scale = normalisation(batches)
    full = [batch for batch in batches if batch.clean.shape[1] == prior.window]
    whole = torch.cat([batch.clean[batch.valid.all(dim=1)] for batch in full]) if full else torch.empty(0)
    if len(whole):  # else no clip fills a window, and every frequency stays as likely as every other
        prior.denoiser.linear.learn(prior.normalised(whole))


def path_errors(prior: MotionPrior, batch: Batch) -> Float[Tensor, " B"]:
    """Error of the root's displacement over each window, metres, with the articulation given as it was seen."""
    clean, seen, valid, _, _ = batch
    given = prior.normalised(seen)
    given = torch.cat((torch.zeros_like(given[..., ROOT]), given[..., ARTICULATION]), dim=-1)
    top = torch.full((len(clean),), prior.schedule.num_steps - 1, device=clean.device)
    predicted = prior.denoise(given, top, torch.zeros_like(top), valid).float()
    error = (prior.root_velocity(predicted) - root_velocity(clean)) * valid[..., None] / prior.fps
    return error[..., ::2].sum(dim=1).norm(dim=-1)


def train(config: PriorTraining) -> Path:
    """Train a prior, or go on with one, and write the best average by validation loss to `out/prior.safetensors`.

    Raises:
        DiffoptError: the motions cannot be read or split, or processes would stop each by a clock of its own.
    """
    if config.max_seconds and config.devices > 1:
        raise DiffoptError("Field 'max_seconds' is set with several devices; set `steps` or devices=1.")
    if config.threads:
        torch.set_num_threads(config.threads)
    pl.seed_everything(config.seed, verbose=False)
    out = Path(config.out)
    clips = read_sources(config.data, config.sources, config.identities, config.kinds)
    training, validation = split(clips, config.validation, config.excluded)
    unfinished = out / "checkpoints" / "last.ckpt"
    # A run that goes on draws new windows, not the first ones again.
    done = torch.load(unfinished, map_location="cpu", weights_only=True)["global_step"] if unfinished.is_file() else 0
    recipe = config.windows
    skeleton = load_body(config.body).skeleton(torch.zeros(10)).detach()[:BODY_JOINTS]
    windows = MotionWindows(training, recipe, skeleton, None, seed_of(config.seed, done))
    # Made once: the same windows are asked for at every validation.
    held_out = list(
        MotionWindows(validation, recipe, skeleton, config.validation_batches, config.seed + VALIDATION_SEED)
    )
    size = DenoiserSize(**asdict(config.network))
    prior = MotionPrior(PriorDescription(size, config.num_steps, recipe.longest, recipe.fps, config.trained_on))
    generator = torch.Generator().manual_seed(config.seed)
    learn_statistics(
        prior, [windows.draw(generator) for _ in range(math.ceil(NORMALISATION_WINDOWS / recipe.batch_size))]
    )

    replay = Replay()
    loggers: list[Logger] = [CSVLogger(out, name="curves"), replay]
    if config.wandb:
        kept = out / "checkpoints" / "wandb-id"
        loggers.append(Run(out, "offline", "diffopt-prior", "prior", kept, asdict(config)))
    best = ModelCheckpoint(out / "checkpoints", "best", monitor="val_loss", save_top_k=1, enable_version_counter=False)
    # After each validation, so that what it measured is in the checkpoint's curves.
    last = ModelCheckpoint(out / "checkpoints", "last", enable_version_counter=False)
    device = choose_device(config.device)
    # What tensor cores round of a factor (TF32) is less than the noise that a step adds.
    torch.set_float32_matmul_precision("high" if device.type == "cuda" else "highest")
    trainer = pl.Trainer(
        accelerator=accelerator_of(device),
        devices=config.devices,
        strategy="ddp" if config.devices > 1 else "auto",
        precision=config.precision,  # pyright: ignore[reportArgumentType]
        max_steps=config.steps,
        val_check_interval=config.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        gradient_clip_val=config.clip_norm,
        logger=loggers,
        callbacks=[best, last, replay, LearningRateMonitor(), EarlyStopping("val_loss", patience=config.patience)],
        log_every_n_steps=25,
        default_root_dir=out,
    )
    fit = PriorFit(config, prior, windows)
    trainer.fit(
        fit,
        DataLoader(windows, batch_size=None, num_workers=config.workers, pin_memory=device.type == "cuda"),
        DataLoader(held_out, batch_size=None),  # pyright: ignore[reportArgumentType]
        ckpt_path=str(unfinished) if done else None,
        weights_only=True,
    )
    if trainer.is_global_zero:
        fit.load_state_dict(torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"])
        fit.averaged.save(out / "prior.safetensors")
    trainer.strategy.barrier()
    return out / "prior.safetensors"
