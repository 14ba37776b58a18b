"""Endless training windows: clips drawn by kind, cut, resampled, augmented and corrupted, as motion features."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from diffopt.errors import DiffoptError
from diffopt.mocap.clip import MotionClip
from diffopt.prior.features import FEATURE_SIZE, SLICES, features_from_motion
from diffopt.training.augment import Augmentation, augment, gather
from diffopt.training.corruption import PoseNoise, corrupt

SCALE_FLOOR = 0.02
"""Least standard deviation that a block is divided by, in its own unit."""
FULL_LENGTH_SHARE = 0.7
"""Part of the batches whose windows have full length; the others are cut to a random one."""

Batch = Sequence[Tensor]
"""(B, S, D) features of true motions and of what an estimator makes of them, physical units, and (B, S) which exist."""


@dataclass
class WindowKinds:
    """How often each kind of clip is drawn, relative to each other; within a kind by the square root of its length."""

    idle: float = 0.15
    activity: float = 0.33
    locomotion: float = 0.43
    run: float = 0.12


@dataclass
class WindowRecipe:
    """What training windows are made of."""

    fps: float = 20.0
    longest: int = 64
    """Feature frames of a full window."""
    shortest: int = 16
    """Feature frames of the shortest window, and of the shortest clip that is used."""
    batch_size: int = 24
    """Windows per step and device."""
    kinds: WindowKinds = field(default_factory=WindowKinds)
    augmentation: Augmentation = field(default_factory=Augmentation)
    noise: PoseNoise = field(default_factory=PoseNoise)


def seed_of(*names: int) -> int:
    """A seed that the numbers name: no sum, in which a rank's windows would be those of another step."""
    return int(np.random.SeedSequence(names).generate_state(1, np.uint64)[0] >> 1)


class MotionWindows(IterableDataset):
    """Batches of augmented windows; each worker and each rank draws its own.

    Args:
        clips: where windows are cut from.
        recipe: how.
        skeleton: rest skeleton of the body that will be fitted, metres.
        batches: after how many batches to stop; without it, never.
        seed: of all draws; the same seed gives the same batches.
    """

    def __init__(
        self,
        clips: list[MotionClip],
        recipe: WindowRecipe,
        skeleton: Float[Tensor, "22 3"],
        batches: int | None,
        seed: int,
    ) -> None:
        self.clips = [clip for clip in clips if clip.seconds * recipe.fps >= recipe.shortest + 1]
        if not self.clips:
            raise DiffoptError(
                f"None of {len(clips)} clips lasts {recipe.shortest} frames at {recipe.fps} Hz. Set a lower `shortest`."
            )
        self.recipe, self.skeleton, self.batches, self.seed = recipe, skeleton, batches, seed
        self.rank = 0
        """Among all processes of a training, on whatever node: each draws windows of its own."""
        weights = torch.tensor([math.sqrt(clip.seconds) for clip in self.clips])
        for kind, share in asdict(recipe.kinds).items():
            rows = torch.tensor([clip.kind == kind for clip in self.clips])
            weights[rows] *= share / weights[rows].sum()
        self.weights = weights

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        generator = torch.Generator().manual_seed(seed_of(self.seed, self.rank, worker.id if worker else 0))
        drawn = 0
        while self.batches is None or drawn < self.batches:
            drawn += 1
            yield self.draw(generator)

    def draw(self, generator: torch.Generator) -> Batch:
        """One batch."""
        recipe = self.recipe
        rows = torch.multinomial(self.weights, recipe.batch_size, replacement=True, generator=generator).tolist()
        clips = [self.clips[row] for row in rows]
        slow, fast = math.log(recipe.augmentation.slowest), math.log(recipe.augmentation.fastest)
        speeds = torch.exp(slow + (fast - slow) * torch.rand(recipe.batch_size, generator=generator))
        frames = recipe.longest + 1
        if torch.rand((), generator=generator) > FULL_LENGTH_SHARE:
            frames = int(torch.randint(recipe.shortest + 1, frames, (), generator=generator))
        room = torch.tensor([clip.seconds - 1 / clip.fps for clip in clips]) - speeds * (frames - 1) / recipe.fps
        starts = torch.rand(recipe.batch_size, generator=generator) * room.clamp(min=0)
        windows = gather(clips, starts, speeds, frames, recipe.fps)
        windows = augment(windows, recipe.augmentation, self.skeleton, generator)
        seen = corrupt(windows, recipe.noise, recipe.fps, generator)
        clean, corrupted = (
            features_from_motion(each.rotations, each.joints(), recipe.fps, each.valid) for each in (windows, seen)
        )
        return clean, corrupted, windows.valid[:, 1:]


def normalisation(batches: list[Batch]) -> tuple[Float[Tensor, " D"], Float[Tensor, " D"]]:
    """Mean of every feature, and one standard deviation per block, whose channels keep their relative sizes."""
    frames = torch.cat([clean[valid] for clean, _, valid in batches])
    mean, scale = frames.mean(dim=0), torch.ones(FEATURE_SIZE)
    for block in SLICES.values():
        scale[block] = (frames - mean)[:, block].square().mean().sqrt().clamp(min=SCALE_FLOOR)
    return mean, scale
