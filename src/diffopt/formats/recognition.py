"""Which tool wrote a file: told by its contents, not by its name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffopt.errors import DiffoptError
from diffopt.formats import (
    emdb,
    glamr,
    gvhmr,
    hybrik,
    openpose,
    phalp,
    prompthmr,
    slahmr,
    slam,
    tram,
    vibe,
    vitpose,
    wham,
)
from diffopt.formats.containers import Video, open_container
from diffopt.formats.parts import Contents


@dataclass(frozen=True)
class Format:
    """One tool's files."""

    matches: Callable[[Any], bool]
    parse: Callable[[Any], Contents]


FORMATS: dict[str, Format] = {
    module.__name__.rsplit(".", 1)[-1]: Format(module.matches, module.parse)
    for module in (
        phalp, prompthmr, emdb, glamr, gvhmr, hybrik, vibe, wham, slahmr, tram, vitpose, openpose, slam,
    )
}  # fmt: skip
"""By the name that `--from` takes. The more particular ones come first."""
OBSERVATION, VIDEO = "observation", "video"


def recognise(path: str | Path) -> str:
    """The name of a file's format: a key of `FORMATS`, `observation` or `video`.

    Raises:
        DiffoptError: the file is missing, damaged, unsafe or of no known format.
    """
    return name_of(open_container(Path(path)), Path(path))


def name_of(content: Any, path: Path) -> str:
    """The format of opened contents."""
    if isinstance(content, Video):
        return VIDEO
    if isinstance(content, dict) and str(content.get("schema", "")).startswith("diffopt/observation/"):
        return OBSERVATION
    for name, one in FORMATS.items():
        if one.matches(content):
            return name
    raise DiffoptError(
        f"{path}: {_described(content)}; expected a file of {', '.join(FORMATS)}; name the format (`--from`) if it is "
        "one of these, or write an observation yourself (docs/formats.md)."
    )


def _described(content: Any) -> str:
    if isinstance(content, dict):
        keys = [str(key) for key in list(content)[:6]]
        return (
            f"holds a dictionary with {', '.join(keys)}{' …' if len(content) > 6 else ''}, which no known tool writes"
        )
    shape = getattr(content, "shape", None)
    kind = f"an array of shape {shape}" if shape is not None else f"a {type(content).__name__}"
    return f"holds {kind}, which no known tool writes"
