"""Training of the motion prior: `diffopt train-prior --config configs/prior.yaml`.

The objective is the MDM's (paper, eq. 2), the two blocks noised to levels of their own; half of the windows look like
estimates of themselves, so that the network also learns to mend what estimators do.
"""

import math
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, Logger
from torch import Tensor
from torch.utils.data import DataLoader

from diffopt.body.model import load_body
from diffopt.body.skeleton import BODY_JOINTS
from diffopt.bounds import at_least
from diffopt.device import accelerator_of, choose_device, generator_on
from diffopt.mocap.reading import read_motions, split
from diffopt.prior.denoiser import DenoiserSize
from diffopt.prior.features import ARTICULATION, ROOT, SLICES, root_velocity
from diffopt.prior.motion_prior import MotionPrior, PriorDescription
from diffopt.tracking import Replay, Run
from diffopt.training.windows import Batch, MotionWindows, WindowRecipe, normalisation, seed_of

NORMALISATION_BATCHES = 60
VALIDATION_SEED = 77
VELOCITY_UNIT = 0.3
"""What an error of the root's velocity is measured in, m/s."""
DISPLACEMENT_FRAMES = 12
"""Steps over which an error of the root's displacement is summed: it is the bias that ruins a path, not the jitter."""


@dataclass
class FeatureWeights:
    """Weights of the mean squared errors of normalised features, per block, and of the errors of the path."""

    velocity_residual: float = 0.5
    clearance: float = 0.3
    yaw_rate: float = 0.3
    tilt: float = 0.5
    rotations: float = 1.0
    positions: float = 1.0
    velocities: float = 1.0
    contact_velocity: float = 0.5
    support: float = 0.2
    root_velocity: float = 0.5
    displacement: float = 1.0


@dataclass
class PriorTraining:
    """Everything that decides a training run of the motion prior."""

    data: str = "mocap"
    """File or folder with motion capture: the project's pack or AMASS."""
    out: str = "prior"
    """Folder for checkpoints, curves and the finished `prior.safetensors`. A run that stopped here goes on."""
    body: str = "free"
    """Whose skeleton the windows approach: `free` or the path of a user's own SMPL file."""
    validation: dict[str, str] = field(default_factory=dict)
    """Subjects kept out for validation, by what they stand for."""
    excluded: dict[str, str] = field(default_factory=dict)
    """Subjects and clips that are left out altogether, each with the reason."""
    windows: WindowRecipe = field(default_factory=WindowRecipe)
    num_steps: int = 1000
    """Noise levels of the cosine schedule."""
    network: DenoiserSize = field(default_factory=DenoiserSize)
    loss: FeatureWeights = field(default_factory=FeatureWeights)
    given_share: float = 0.25
    """Part of the windows whose articulation is nearly clean (a tenth of the levels at most) while the root is not."""
    steps: int = 3600
    learning_rate: float = 5e-4
    warmup_steps: int = 200
    weight_decay: float = 0.02
    clip_norm: float = 1.0
    ema: float = 0.998
    validate_every: int = 250
    """Steps between validations."""
    patience: int = 8
    """Validations without progress after which training stops."""
    validation_batches: int = 10
    precision: str = "32-true"
    threads: int = 1
    """CPU threads of torch; 0 leaves its default."""
    workers: int = 0
    """Processes that prepare windows."""
    device: str = "auto"
    """`auto` (a CUDA device where there is one), `cpu` or `cuda`."""
    devices: int = at_least(1, 1)
    """Devices, or on the CPU processes; with more than one: data-parallel (DDP)."""
    wandb: bool = False
    seed: int = 0
    trained_on: str = ""
    """Data and licence, written into the weights' header."""


class PriorFit(pl.LightningModule):
    """Trains a `MotionPrior`; `averaged` is its exponential moving average, which is what validates and ships."""

    def __init__(self, config: PriorTraining, prior: MotionPrior, windows: MotionWindows | None = None) -> None:
        super().__init__()
        self.config, self.prior, self.windows = config, prior, windows
        self.averaged = deepcopy(prior).requires_grad_(False)

    def configure_optimizers(self):
        config = self.config
        plain = [p for p in self.prior.parameters() if p.ndim < 2]
        decayed = [p for p in self.prior.parameters() if p.ndim >= 2]
        groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99))

        def rate(step: int) -> float:
            warm = min(1.0, (step + 1) / config.warmup_steps)
            return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / config.steps))))

        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": torch.optim.lr_scheduler.LambdaLR(optimizer, rate), "interval": "step"},
        }

    def on_fit_start(self) -> None:
        if self.windows is not None:
            self.windows.rank = self.global_rank

    def on_train_start(self) -> None:
        torch.manual_seed(seed_of(self.config.seed, self.global_step, self.global_rank))  # of dropout

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        # Of the seed, the step and the rank: noise that a resumed run draws on, and that no two ranks share.
        generator = generator_on(self.device, seed_of(self.config.seed, self.global_step, self.global_rank))
        losses = self.losses(self.prior, batch, self.draw_levels(len(batch[0]), generator), generator)
        self.log("train_loss", losses["loss"], prog_bar=True)
        self.log_dict({f"train/{name}": value for name, value in losses.items() if name != "loss"})
        return losses["loss"]

    def on_train_batch_end(self, outputs, batch, batch_idx) -> None:
        # A short memory at first, or the average would long remember the random start.
        keep = min(self.config.ema, (1 + self.global_step) / (10 + self.global_step))
        with torch.no_grad():
            for mean, now in zip(self.averaged.parameters(), self.prior.parameters(), strict=True):
                mean.lerp_(now, 1 - keep)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The training loss on unseen subjects under noise that is the same every time, and the path it predicts."""
        generator = generator_on(self.device, batch_idx)
        levels = self.draw_levels(len(batch[0]), generator)
        losses = self.losses(self.averaged, batch, levels, generator)
        self.log("val_loss", losses["loss"], prog_bar=True, sync_dist=True)
        self.log_dict({f"val/{name}": value for name, value in losses.items() if name != "loss"}, sync_dist=True)
        self.log("val_path", path_error(self.averaged, batch), prog_bar=True, sync_dist=True)

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
        clean, seen, valid = batch
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
        squared = (predicted - target.clamp(-8, 8)).square()
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
    whole = torch.cat([clean[valid.all(dim=1)] for clean, _, valid in batches if clean.shape[1] == prior.window])
    if len(whole):  # else no clip fills a window, and every frequency stays as likely as every other
        prior.denoiser.linear.learn(prior.normalised(whole))


def path_error(prior: MotionPrior, batch: Batch) -> Tensor:
    """Mean error of the root's displacement over a window, metres, with the articulation given as it was seen."""
    clean, seen, valid = batch
    given = prior.normalised(seen)
    given = torch.cat((torch.zeros_like(given[..., ROOT]), given[..., ARTICULATION]), dim=-1)
    top = torch.full((len(clean),), prior.schedule.num_steps - 1, device=clean.device)
    predicted = prior.denoise(given, top, torch.zeros_like(top), valid).float()
    error = (prior.root_velocity(predicted) - root_velocity(clean)) * valid[..., None] / prior.fps
    return error[..., ::2].sum(dim=1).norm(dim=-1).mean()


def train(config: PriorTraining) -> Path:
    """Train a prior, or go on with one, and write the best average by validation loss to `out/prior.safetensors`."""
    if config.threads:
        torch.set_num_threads(config.threads)
    pl.seed_everything(config.seed, verbose=False)
    out = Path(config.out)
    training, validation = split(read_motions(config.data), config.validation, config.excluded)
    unfinished = out / "checkpoints" / "last.ckpt"
    # A run that goes on draws new windows, not the first ones again.
    done = torch.load(unfinished, map_location="cpu", weights_only=True)["global_step"] if unfinished.is_file() else 0
    recipe = config.windows
    skeleton = load_body(config.body).skeleton(torch.zeros(10)).detach()[:BODY_JOINTS]
    windows = MotionWindows(training, recipe, skeleton, None, seed_of(config.seed, done))
    held_out = MotionWindows(validation, recipe, skeleton, config.validation_batches, config.seed + VALIDATION_SEED)
    size = DenoiserSize(**asdict(config.network))
    prior = MotionPrior(PriorDescription(size, config.num_steps, recipe.longest, recipe.fps, config.trained_on))
    generator = torch.Generator().manual_seed(config.seed)
    learn_statistics(prior, [windows.draw(generator) for _ in range(NORMALISATION_BATCHES)])

    replay = Replay()
    loggers: list[Logger] = [CSVLogger(out, name="curves"), replay]
    if config.wandb:
        kept = out / "checkpoints" / "wandb-id"
        loggers.append(Run(out, "offline", "diffopt-prior", "prior", kept, asdict(config)))
    best = ModelCheckpoint(out / "checkpoints", "best", monitor="val_loss", save_top_k=1, enable_version_counter=False)
    # After each validation, so that what it measured is in the checkpoint's curves.
    last = ModelCheckpoint(out / "checkpoints", "last", enable_version_counter=False)
    trainer = pl.Trainer(
        accelerator=accelerator_of(choose_device(config.device)),
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
        DataLoader(windows, batch_size=None, num_workers=config.workers),
        DataLoader(held_out, batch_size=None),
        ckpt_path=str(unfinished) if done else None,
        weights_only=True,
    )
    if trainer.is_global_zero:
        fit.load_state_dict(torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"])
        fit.averaged.save(out / "prior.safetensors")
    trainer.strategy.barrier()
    return out / "prior.safetensors"
