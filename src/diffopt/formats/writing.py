"""A result in other programs' formats; each writer states its layout and what it cannot hold."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diffopt.body.model import BodyModel, load_body
from diffopt.errors import DiffoptError
from diffopt.formats import amass, bvh, glb, gvhmr, plain_json, slahmr, slam, tram, wham
from diffopt.result.result import Result

__all__ = ["EXPORTERS", "Exporter", "export"]


@dataclass(frozen=True)
class Exporter:
    """One format: its writer and the ending of its files; an empty one where it is a folder."""

    write: Callable[[Path, Result, BodyModel], Path]
    suffix: str


EXPORTERS: dict[str, Exporter] = {
    "amass": Exporter(amass.write, ".npz"),
    "bvh": Exporter(bvh.write, ".bvh"),
    "glb": Exporter(glb.write, ".glb"),
    "gvhmr": Exporter(gvhmr.write, ".pt"),
    "json": Exporter(plain_json.write, ".json"),
    "slahmr": Exporter(slahmr.write, ""),
    "tram": Exporter(tram.write, ""),
    "tum": Exporter(slam.write, ".txt"),
    "wham": Exporter(wham.write, ".pkl"),
}


def export(result: Result, format: str, path: str | Path, body: BodyModel | None = None) -> Path:
    """Write a result in another program's format.

    Args:
        result: what to write.
        format: a key of `EXPORTERS`.
        path: the file, or the folder where the format is one; what is there is replaced once the new one is complete.
        body: the body that the result was fitted with; may be left out for the free one.

    Returns:
        `path`.

    Raises:
        DiffoptError: the format is unknown, or the body is another one than the result's.
    """
    if format not in EXPORTERS:
        raise DiffoptError(f"'{format}' is no known format; expected one of {', '.join(EXPORTERS)}.")
    body = body or load_body()
    if body.name != result.body_model:
        raise DiffoptError(
            f"The motion was fitted with the '{result.body_model}' body but the '{body.name}' body is given; their "
            "betas do not mean the same; give the one that it was fitted with (`body.model=`)."
        )
    return EXPORTERS[format].write(Path(path), result, body)
