"""What diffopt's exporters add to other tools' layouts: what those have no place for, so that nothing is lost.

Plain entries named `diffopt_...` beside the layout's own; other readers do not look at them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from diffopt.formats.parts import Lens

PREFIX = "diffopt_"


@dataclass(frozen=True)
class OwnNotes:
    """What diffopt wrote about its result; nothing in a file that another tool wrote."""

    body: tuple[str, Float[ndarray, "10"]] | None = None
    fps: float | None = None
    image_size_px: tuple[int, int] | None = None
    lens: Lens | None = None


def own_entries(
    body_model: str,
    betas: Float[ndarray, "10"],
    fps: float,
    image_size_px: ndarray,
    focal_px: Float[ndarray, "T"],
    center_px: Float[ndarray, "T 2"],
) -> dict[str, Any]:
    """The entries to add to a file's outermost (or its person's) dictionary: plain arrays and one text."""
    return {
        f"{PREFIX}body_model": body_model,
        f"{PREFIX}betas": np.asarray(betas, np.float64),
        f"{PREFIX}fps": float(fps),
        f"{PREFIX}image_size_px": np.asarray(image_size_px),
        f"{PREFIX}focal_px": np.asarray(focal_px, np.float64),
        f"{PREFIX}center_px": np.asarray(center_px, np.float64),
    }


def own_notes(content: Mapping[Any, Any]) -> OwnNotes:
    """The entries read back."""
    if f"{PREFIX}body_model" not in content:
        return OwnNotes()
    width, height = (int(side) for side in np.asarray(content[f"{PREFIX}image_size_px"]).reshape(2))
    return OwnNotes(
        body=(str(content[f"{PREFIX}body_model"]), np.asarray(content[f"{PREFIX}betas"], np.float64)),
        fps=float(content[f"{PREFIX}fps"]),
        image_size_px=(width, height),
        lens=Lens(np.asarray(content[f"{PREFIX}focal_px"]), np.asarray(content[f"{PREFIX}center_px"])),
    )
