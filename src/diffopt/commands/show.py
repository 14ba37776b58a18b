"""`diffopt show`: the pictures of a result drawn anew."""

from pathlib import Path

from diffopt.commands.export import body_of
from diffopt.config import load_config
from diffopt.frontend.video import is_video
from diffopt.result.result import Result
from diffopt.show.pictures import show


def show_again(folder: Path, video: Path | None) -> list[Path]:
    """`diffopt show`: draw the pictures of a result folder anew.

    Args:
        folder: what a fit left behind.
        video: where the video is now; None looks where it was.
    """
    result = Result.load(folder)
    config = load_config(folder / "config.yaml")
    if video is None and is_video(config.source) and Path(config.source).is_file():
        video = Path(config.source)
    return show(folder, video, None, body_of(result, folder))
