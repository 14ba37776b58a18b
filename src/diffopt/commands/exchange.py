"""Files in and out without a fit: other tools' results, captured motion, other programs' formats."""

from dataclasses import replace
from pathlib import Path

import torch

from diffopt.body.model import BodyModel, load_body
from diffopt.config import load_config
from diffopt.errors import DiffoptError
from diffopt.formats.reading import read, read_all
from diffopt.formats.writing import EXPORTERS, export
from diffopt.mocap.reading import read_motions
from diffopt.result.result import Result
from diffopt.simulation.front_end_errors import DETECTORS
from diffopt.simulation.performance import perform
from diffopt.simulation.synthetic import simulate_observation


def convert(
    sources: list[Path], out: Path, from_format: str | None, person: str | None, everyone: bool, body_model: str
) -> list[Path]:
    """`diffopt convert`: other tools' files of one video as an observation, or one observation for each person.

    Args:
        sources: the files, in any order.
        out: the observation; with `everyone`, each person's number is put before its suffix.
        from_format: format of the first file; None finds it out.
        person: the files' own number of the person; None takes the one seen longest.
        everyone: convert all people.
        body_model: `free` or the path of a SMPL file.

    Returns:
        The observations written; none is ever replaced.
    """
    if out.suffix != ".npz":
        raise DiffoptError(f"--out {out}: an observation is one .npz file; end the name in .npz.")
    body = load_body(body_model)
    if everyone:
        people = read_all(sources, from_format, body)
        observations = {out.with_name(f"{out.stem}_{label}.npz"): people[label] for label in people}
    else:
        observations = {out: read(sources, from_format, person, body)}
    for path in observations:
        if path.exists():
            raise DiffoptError(f"{path}: exists already; an observation is never overwritten. Choose another --out.")
    out.parent.mkdir(parents=True, exist_ok=True)
    return [observation.save(path) for path, observation in observations.items()]


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
        *perform(chosen, body, betas),
        fps=chosen.fps,
        camera=camera,
        errors=DETECTORS.scaled(errors),
        seed=seed,
        name=chosen.name,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    return observation.save(out)


def export_result(folder: Path, format: str, out: Path | None) -> Path:
    """`diffopt export`: a result in another program's format; by default inside the result's folder."""
    if format not in EXPORTERS:
        raise DiffoptError(f"--format {format}: no known format; expected one of {', '.join(EXPORTERS)}.")
    result = Result.load(folder)
    path = out or folder / f"{format}{EXPORTERS[format].suffix}"
    if path.exists():
        raise DiffoptError(f"{path}: exists already. Remove it, or choose another --out.")
    return export(result, format, path, body_of(result, folder))


def body_of(result: Result, folder: Path) -> BodyModel:
    """The body that a result was fitted with; a licensed one is where its configuration says."""
    return load_body("free" if result.body_model == "free" else load_config(folder / "config.yaml").body.model)
