"""Endless training windows: clips drawn by kind, cut, resampled, augmented and corrupted, as motion features."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from einops import repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from diffopt.body.skeleton import BODY_JOINTS, PARENTS
from diffopt.errors import DiffoptError
from diffopt.mocap.clip import KINDS, MotionClip
from diffopt.prior.features import FEATURE_SIZE, SLICES, features_from_motion
from diffopt.training.augment import Augmentation, augment, gather
from diffopt.training.corruption import PoseNoise, corrupt

SCALE_FLOOR = 0.02
"""Least standard deviation that a block is divided by, in its own unit."""
FULL_LENGTH_SHARE = 0.7
"""Part of the batches whose windows have full length; the others are cut to a random one."""


class Batch(NamedTuple):
    """Training windows.

    Attributes:
        clean, seen: features of true motions, and of what an estimator makes of them, physical units.
        valid: steps that exist.
        trusted: features that were captured.
        kind: of each window, a row of `KINDS`.
    """

    clean: Float[Tensor, "B S D"]
    seen: Float[Tensor, "B S D"]
    valid: Bool[Tensor, "B S"]
    trusted: Bool[Tensor, "B D"]
    kind: Int[Tensor, " B"]


@dataclass
class WindowKinds:
    """How often each kind of clip is drawn, relative to each other; within a kind by weight and root of the length."""

    idle: float = 0.15
    activity: float = 0.33
    locomotion: float = 0.43
    run: float = 0.12
    dance: float = 0.22
    sport: float = 0.18


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
        weights = torch.tensor([clip.weight * math.sqrt(clip.seconds) for clip in self.clips])
        for kind, share in asdict(recipe.kinds).items():
            rows = torch.tensor([clip.kind == kind for clip in self.clips])
            weights[rows] *= share / weights[rows].sum()
        self.weights = weights
        for clip in self.clips:  # worked out here, not in every worker anew
            _ = clip.turns

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
        kind = torch.tensor([KINDS.index(clip.kind) for clip in clips])
        return Batch(clean, corrupted, windows.valid[:, 1:], trusted_features(windows.trusted), kind)


def trusted_features(joints: Bool[Tensor, "B 22"]) -> Bool[Tensor, "B D"]:
    """Features that follow from captured rotations: of a joint that is not trusted neither its rotation, nor where the
    joints are that it carries, nor how they move."""
    placed = torch.ones_like(joints)
    for joint in range(1, BODY_JOINTS):
        placed[:, joint] = placed[:, PARENTS[joint]] & joints[:, PARENTS[joint]]
    trusted = torch.ones(len(joints), FEATURE_SIZE, dtype=torch.bool)
    trusted[:, SLICES["rotations"]] = repeat(joints[:, 1:], "b joint -> b (joint six)", six=6)
    for block in ("positions", "velocities"):
        trusted[:, SLICES[block]] = repeat(placed[:, 1:], "b joint -> b (joint xyz)", xyz=3)
    return trusted


def normalisation(batches: list[Batch]) -> tuple[Float[Tensor, " D"], Float[Tensor, " D"]]:
    """Mean of every feature, and one standard deviation per block, whose channels keep their relative sizes."""
    frames = torch.cat([batch.clean[batch.valid] for batch in batches])
    mean, scale = frames.mean(dim=0), torch.ones(FEATURE_SIZE)
    for block in SLICES.values():
        scale[block] = (frames - mean)[:, block].square().mean().sqrt().clamp(min=SCALE_FLOOR)
    return mean, scale
