"""`diffopt simulate`: a captured motion, filmed by a virtual camera, as tools would see it, with its truth."""

from dataclasses import replace
from pathlib import Path

import torch

from diffopt.body.model import load_body
from diffopt.errors import DiffoptError
from diffopt.mocap.reading import read_motions
from diffopt.simulation.front_end_errors import DETECTORS
from diffopt.simulation.performance import retarget
from diffopt.simulation.synthetic import simulate_observation


def simulate(
    motion: Path,
    out: Path,
    clip: str | None,
    camera: str,
    errors: float,
    seed: int,
    start_s: float,
    seconds: float | None,
) -> Path:
    """`diffopt simulate`: a captured motion, filmed by a virtual camera, as tools would see it, with its truth.

    Args:
        motion: a file or folder of motions: AMASS, BVH or the project's pack.
        out: the observation to write.
        clip: which one of several; None takes the first.
        camera: how the camera moves, one of `virtual_camera.CAMERA_MOVES`.
        errors: 1 for the errors of today's tools, 0 for none.
        seed: of the performer's build, the camera and the errors.
        start_s, seconds: the part of the clip; None takes the rest of it.
    """
    if out.suffix != ".npz":
        raise DiffoptError(f"--out {out}: an observation is one .npz file; end the name in .npz.")
    if out.exists():
        raise DiffoptError(f"{out}: exists already; an observation is never overwritten. Choose another --out.")
    clips = {one.name: one for one in read_motions(motion)}
    if clip is not None and clip not in clips:
        raise DiffoptError(f"{motion}: holds no clip '{clip}'; it holds {', '.join(list(clips)[:20])} ...")
    chosen = clips[clip] if clip is not None else next(iter(clips.values()))
    part = slice(round(start_s * chosen.fps), None if seconds is None else round((start_s + seconds) * chosen.fps))
    chosen = replace(chosen, rotations=chosen.rotations[part], root=chosen.root[part])
    if len(chosen.root) < 2:
        raise DiffoptError(f"{motion}: nothing is left of clip '{chosen.name}' after {start_s:g} s; start earlier.")
    body = load_body()
    betas = 0.5 * torch.randn(10, generator=torch.Generator().manual_seed(seed))
    observation = simulate_observation(
        body,
        *retarget(chosen, body, betas),
        fps=chosen.fps,
        camera=camera,
        errors=DETECTORS.scaled(errors),
        seed=seed,
        name=chosen.name,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    return observation.save(out)
