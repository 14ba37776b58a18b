"""What the motion prior knows, measured on people it has not seen; prints Markdown tables.

    python benchmarks/prior.py MOCAP_FOLDER [--unseen OTHER_FOLDER] [--prior FILE] [--config configs/prior.yaml]

Path from articulation: the joints carry smooth errors of 4 to 8 degrees (RMS of the rotation vector, 0.2 s wide), the
root's orientation 3 degrees; the root's path is hidden. Windows of 3.2 s, all methods on the same ones.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import roma
import torch
import yaml
from einops import rearrange
from prior_baselines import fit_regression, fit_temporal_network, fitted_scale, least_sliding_scale
from torch import Tensor

from diffopt.body.skeleton import BODY_JOINTS
from diffopt.geometry.alignment import heading_rotation
from diffopt.initialisation.options import ExpectedVelocityOptions
from diffopt.mocap.clip import AVERAGE_OFFSETS, MotionClip, pose
from diffopt.mocap.reading import read_motions
from diffopt.mocap.retargeting import Windows
from diffopt.motion.foot_contact import (
    TOES,
    StanceOptions,
    foot_contact,
    hold_still,
    kinematic_velocity,
    lock_feet,
    stance_toe,
)
from diffopt.prior import features as smpl_features
from diffopt.prior.draw import draw, motion_from_features
from diffopt.prior.motion_prior import MotionPrior, load_prior
from diffopt.prior.sampling import sample_ddim
from diffopt.training.augment import gather
from diffopt.training.corruption import correlated_noise

FPS, FRAMES = 20.0, 65
MOVING_M, STILL_M = 2.0, 0.1
"""Windows whose root travels further than the one count as moving, those within the other as standing."""
STANCE, EXPECTED = StanceOptions(), ExpectedVelocityOptions()

Method = Callable[[Windows], Tensor]
"""Windows as they are seen to root velocities in the axes of the world, (B, S, 3) m/s."""


@dataclass(frozen=True)
class Trial:
    """True windows and what is seen of them, posed on a root that does not move."""

    truth: Windows
    seen: Windows

    @property
    def path(self) -> Tensor:
        """True length of the root's planar path, (B,) metres."""
        return torch.diff(self.truth.root[..., [0, 2]], dim=1).norm(dim=-1).sum(dim=1)

    def rows(self, chosen: Tensor) -> "Trial":
        def pick(windows: Windows) -> Windows:
            return Windows(*(part[chosen] for part in vars(windows).values()))

        return Trial(pick(self.truth), pick(self.seen))


def make_trial(clips: list[MotionClip], seed: int, stride: float) -> Trial:
    """Every full window of the clips, a new one every `stride` seconds, and its noisy articulation."""
    span = (FRAMES - 1) / FPS
    rooms = [clip.seconds - 1 / clip.fps - span for clip in clips]
    counts = [int(room / stride) + 1 if room >= 0 else 0 for room in rooms]
    cuts = [(clip, index * stride) for clip, count in zip(clips, counts, strict=True) for index in range(count)]
    starts = torch.tensor([start for _, start in cuts])
    truth = gather([clip for clip, _ in cuts], starts, torch.ones(len(cuts)), FRAMES, FPS)
    generator = torch.Generator().manual_seed(seed)
    size = 4 + 4 * torch.rand(len(cuts), 1, 1, 1, generator=generator)
    size = torch.where(torch.arange(BODY_JOINTS)[:, None] == 0, 3.0, size).deg2rad()
    noise = correlated_noise(len(cuts), FRAMES, 3 * BODY_JOINTS, torch.full((len(cuts),), 0.2), FPS, generator)
    error = roma.rotvec_to_rotmat(size / math.sqrt(3) * rearrange(noise, "... (joint xyz) -> ... joint xyz", xyz=3))
    seen = replace(truth, rotations=truth.rotations @ error, root=truth.root[:, :1].expand_as(truth.root))
    return Trial(truth, seen)


def facing(windows: Windows) -> Tensor:
    return heading_rotation(windows.rotations[:, :-1, 0])


def relative(windows: Windows) -> Tensor:
    return windows.joints() - windows.root[:, :, None]


def locked(method: Method) -> Method:
    return lambda seen: lock_feet(method(seen), relative(seen), FPS, STANCE)


def held(method: Method) -> Method:
    return lambda seen: hold_still(method(seen), FPS, STANCE)


def prior_mean(prior: MotionPrior) -> Method:
    """`MotionPrior.path_from_articulation`: one step, the expected root block given the articulation."""

    def velocity(seen: Windows) -> Tensor:
        path = prior.path_from_articulation(seen.rotations, seen.joints(), STANCE, EXPECTED.doubt_m_s, EXPECTED.doubt_s)
        return torch.diff(path, dim=1) * FPS

    return velocity


def prior_samples(prior: MotionPrior, draws: int = 4, steps: int = 20) -> Method:
    """Mean of a few DDIM samples of the root block while the articulation is held."""

    def velocity(seen: Windows) -> Tensor:
        given = prior.features(seen.rotations, seen.joints())[..., prior.articulation]
        schedule = prior.schedule.respaced(steps)
        generator = torch.Generator().manual_seed(0)
        total = torch.zeros(len(given), given.shape[1], 3)
        for _ in range(draws):
            clean = torch.zeros(1)

            def denoise(root: Tensor, level: Tensor) -> Tensor:
                nonlocal clean
                clean = prior.denoise(torch.cat((root, given), dim=-1), level, torch.zeros_like(level))
                return clean[..., prior.root]

            noise = torch.randn(*given.shape[:2], prior.root.stop, generator=generator)
            root = sample_ddim(denoise, schedule, noise)
            total += prior.root_velocity(torch.cat((root, clean[..., prior.articulation]), dim=-1)) / draws
        return (facing(seen) @ total[..., None]).squeeze(-1)

    return velocity


def score(trial: Trial, velocity: Tensor) -> dict[str, float]:
    """Medians over windows; the root error is after alignment of the first frame, sliding that of toes that stand."""
    truth = trial.truth.root
    path = torch.cat((truth[:, :1], truth[:, :1] + (velocity / FPS).cumsum(dim=1)), dim=1)
    length = torch.diff(truth, dim=1).norm(dim=-1).sum(dim=1)
    turn, shift = roma.rigid_points_registration(path, truth)
    aligned = path @ turn.mT + shift[:, None]
    toes, true_toes = (
        (relative(w) + root[:, :, None])[:, :, TOES] for w, root in ((trial.seen, path), (trial.truth, truth))
    )
    step, true_step = (torch.diff(each[..., [0, 2]], dim=1).norm(dim=-1) for each in (toes, true_toes))
    ratio = torch.diff(path[..., [0, 2]][:, ::10], dim=1).norm(dim=-1).sum(dim=1)
    ratio = ratio / torch.diff(truth[..., [0, 2]][:, ::10], dim=1).norm(dim=-1).sum(dim=1)
    return {
        "RTE %": 100 * ((aligned - truth).norm(dim=-1).mean(dim=1) / length).median().item(),
        "mean RTE %": 100 * ((aligned - truth).norm(dim=-1).mean(dim=1) / length).mean().item(),
        "speed ratio": ratio.median().item(),
        "root error mm": 1000 * (path - truth).norm(dim=-1).mean(dim=1).median().item(),
        "sliding mm/frame": 1000 * step[true_step < 0.01].mean().item(),
    }


def drift_mm(trial: Trial, velocity: Tensor) -> float:
    """Largest distance that a standing person's root goes astray on the floor within 3 s, median over windows."""
    frames = round(3 * FPS)
    truth = torch.diff(trial.truth.root, dim=1) * FPS
    astray = ((velocity - truth)[:, :frames, [0, 2]] / FPS).cumsum(dim=1).norm(dim=-1)
    return 1000 * astray.amax(dim=1).median().item()


def scale_error(trial: Trial, velocity: Tensor) -> float:
    """|log| of the scale that fits the true path, known but for scale, to the velocities found; median, per cent."""
    truth = torch.diff(trial.truth.root, dim=1) * FPS
    return 100 * fitted_scale(truth, velocity).log().abs().median().item()


def path_table(trials: dict[str, Trial], methods: dict[str, Method]) -> None:
    for name, trial in trials.items():
        moving = trial.rows(trial.path > MOVING_M)
        reach = (trial.truth.root - trial.truth.root[:, :1])[..., [0, 2]].norm(dim=-1).amax(dim=1)
        still = trial.rows(reach < STILL_M)
        print(f"\n{name}: {len(moving.path)} moving windows, {len(still.path)} standing\n")
        head = None
        for label, method in methods.items():
            velocity = method(moving.seen)
            row = {**score(moving, velocity), "scale error %": scale_error(moving, velocity)}
            row["drift mm"] = drift_mm(still, method(still.seen)) if len(still.path) else math.nan
            if head is None:
                head = "| method | " + " | ".join(row) + " |"
                print(head + "\n|" + "---|" * (len(row) + 1))
            print(f"| {label} | " + " | ".join(f"{value:.2f}" for value in row.values()) + " |")


def denoising_table(prior: MotionPrior, trial: Trial) -> None:
    """Root-mean-square error of the normalised features, block by block, against passing on what is left of them."""
    clean = prior.features(trial.truth.rotations, trial.truth.joints())
    generator = torch.Generator().manual_seed(0)
    print(
        "\nDenoising, both blocks at one level\n\n| level | alpha | "
        + " | ".join(smpl_features.SLICES)
        + " | all | linear estimate alone | alpha times the input |"
    )
    print("|" + "---|" * (len(smpl_features.SLICES) + 5))
    for level in (20, 100, 300, 500, 700, 900):
        levels = torch.full((len(clean),), level)
        noisy = prior.schedule.add_noise(clean, torch.randn(clean.shape, generator=generator), levels)
        error = prior.denoise(noisy, levels, levels) - clean
        alpha, sigma = prior.schedule.alpha[level], prior.schedule.sigma[level]
        linear = prior.denoiser.linear(noisy, alpha.expand(clean[:, 0].shape), sigma.expand(clean[:, 0].shape)) - clean
        trivial = (alpha * noisy - clean).square().mean().sqrt()
        cells = [error[..., block].square().mean().sqrt().item() for block in smpl_features.SLICES.values()]
        cells += [each.square().mean().sqrt().item() for each in (error, linear)]
        print(f"| {level} | {alpha:.2f} | " + " | ".join(f"{cell:.2f}" for cell in cells) + f" | {trivial:.2f} |")


def sample_table(prior: MotionPrior, trial: Trial, count: int = 48) -> None:
    """Motions drawn from noise (`prior.draw`) and, above them, as the network leaves them, beside real ones.

    All on one skeleton, from the joints: sliding of toes in contact, jitter, mean speed of each motion and its spread,
    and the mean distance of two poses (21 joints, seen from the root and its heading).
    """
    generator, frames = torch.Generator().manual_seed(0), FRAMES - 1
    noise = torch.randn(count, frames, smpl_features.FEATURE_SIZE, generator=generator)
    raw = sample_ddim(lambda x, level: prior.denoise(x, level, level), prior.schedule.respaced(50), noise)
    motions = {
        "real": (trial.truth.rotations[:, :-1], trial.truth.root[:, :-1]),
        "as the network leaves them": vars(motion_from_features(prior.physical(raw), FPS)).values(),
        "drawn": vars(draw(prior, count, frames, 50, generator.manual_seed(0), AVERAGE_OFFSETS)).values(),
    }
    print("\n| | sliding mm/frame | jitter 10 m/s³ | speed m/s, mean (spread) | distance of poses m |")
    print("|---|---|---|---|---|")
    for name, (rotations, root) in motions.items():
        joints = pose(rotations, root, AVERAGE_OFFSETS)
        posed = joints - root[:, :, None]
        step = torch.diff(joints[:, :, TOES][..., [0, 2]], dim=1).norm(dim=-1)
        slide = 1000 * step[foot_contact(posed, FPS).support > 0.6].mean()
        jitter = torch.diff(joints, n=3, dim=1).norm(dim=-1).mean() * FPS**3 / 10
        speed = FPS * torch.diff(root[..., [0, 2]], dim=1).norm(dim=-1).mean(dim=1)
        poses = (posed @ heading_rotation(rotations[:, :, 0]))[:, ::16].flatten(0, 1).flatten(1)
        spread = torch.pdist(poses[torch.randperm(len(poses), generator=generator.manual_seed(0))[:200]]).mean()
        print(f"| {name} | {slide:.1f} | {jitter:.1f} | {speed.mean():.2f} ({speed.std():.2f}) | {spread:.2f} |")


def scale_table(trials: dict[str, Trial], prior: MotionPrior) -> None:
    """The scale of a path that is known but for it: from feet that slide least, and from the prior's velocity."""
    print("\n| | scale from sliding alone: median abs. log error %, bias % | from the prior |\n|---|---|---|")
    for name, trial in trials.items():
        moving = trial.rows(trial.path > MOVING_M)
        velocity = torch.diff(moving.truth.root, dim=1) * FPS
        found = {
            "sliding": least_sliding_scale(velocity, relative(moving.seen)),
            "prior": fitted_scale(velocity, prior_mean(prior)(moving.seen)),
        }
        cells = [
            f"{100 * scale.log().abs().median():.1f}, {100 * scale.log().median():+.1f}" for scale in found.values()
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mocap", help="folder with the motions that the prior was trained on and held out from")
    parser.add_argument("--unseen", help="folder with motions of another origin")
    parser.add_argument("--prior", default="default", help="a .safetensors file")
    parser.add_argument("--config", default="configs/prior.yaml", help="names the held-out subjects")
    parser.add_argument(
        "--network-steps", type=int, default=600, help="training steps of the supervised network; 0: none"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)

    config = yaml.safe_load(Path(options.config).read_text())
    clips = [clip for clip in read_motions(options.mocap) if not {clip.subject, clip.name} & set(config["excluded"])]
    held_out = set(config["validation"].values())
    unseen_people = [clip for clip in clips if clip.subject in held_out]
    known = [clip for clip in clips if clip.subject not in held_out]
    prior = load_prior(options.prior)

    regression = fit_regression(known)
    methods: dict[str, Method] = {
        "stand still": lambda seen: torch.zeros_like(seen.root[:, 1:]),
        "constant speed": lambda seen: facing(seen) @ torch.tensor([0.0, 0.0, 1.2]),
        "stance toe": lambda seen: stance_toe(relative(seen), FPS),
        "stance toe + lock": locked(lambda seen: stance_toe(relative(seen), FPS)),
        "foot in contact": lambda seen: foot_contact(relative(seen), FPS).velocity,
        "foot in contact + lock + still": lambda seen: kinematic_velocity(relative(seen), FPS, STANCE),
        "regression + lock": locked(regression),
    }
    if options.network_steps:
        network = fit_temporal_network(known, options.network_steps)
        methods |= {"supervised network": network, "supervised network + lock": locked(network)}
    methods |= {
        "prior, mean": prior_mean(prior),
        "prior, mean + lock + still": held(locked(prior_mean(prior))),
        "prior, DDIM": prior_samples(prior),
        "prior, DDIM + lock + still": held(locked(prior_samples(prior))),
    }
    trials = {"Unseen people": make_trial(unseen_people, options.seed, stride=0.8)}
    if options.unseen:
        trials["Unseen people, studio and capture"] = make_trial(read_motions(options.unseen), options.seed, stride=3.2)
    path_table(trials, methods)
    scale_table(trials, prior)
    denoising_table(prior, trials["Unseen people"])
    sample_table(prior, trials["Unseen people"])


if __name__ == "__main__":
    main()
