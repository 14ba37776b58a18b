"""`diffopt prepare`: from a video to an observation file."""

from pathlib import Path

from rich.console import Console

from diffopt.body.model import load_body
from diffopt.config import Config
from diffopt.errors import DiffoptError
from diffopt.frontend.prepare import prepare
from diffopt.frontend.video import VIDEO_SUFFIXES, is_video


def prepare_to_file(config: Config, console: Console) -> Path:
    """`diffopt prepare`: from a video to an observation file."""
    if not config.source:
        raise DiffoptError("Nothing to prepare: give a video, e.g. `source=video.mp4`.")
    path = Path(config.out or f"out/{Path(config.source).stem}.npz")
    if path.suffix != ".npz":
        raise DiffoptError(f"out={path}: an observation is one .npz file; end the name in .npz.")
    if path.exists() and not config.overwrite:
        raise DiffoptError(f"{path}: exists already. Choose another `out=` or set `overwrite=true`.")
    if not is_video(config.source):
        raise DiffoptError(f"source='{config.source}': expected a video ({', '.join(VIDEO_SUFFIXES)}).")
    work = path.parent / f".{path.stem}.work"
    sheet = path.with_name(f"{path.stem}_people.jpg")
    body, height = load_body(config.body.model, config.body.keypoint_regressor), config.body.height_m
    observation = prepare(Path(config.source), config.frontend, work, body, height, sheet=sheet, force=config.force)
    path.parent.mkdir(parents=True, exist_ok=True)
    observation.save(path)
    console.print(f"Observation: {path}. Fit it with `diffopt fit source={path}`.")
    return path
