"""A result in other programs' formats; each writer states its layout and what it cannot hold."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diffopt.body.model import BodyModel, load_body
from diffopt.errors import DiffoptError
from diffopt.formats.amass import write_amass
from diffopt.formats.bvh import write_bvh
from diffopt.formats.glb import write_glb
from diffopt.formats.gvhmr_writer import write_gvhmr
from diffopt.formats.plain_json import write_json
from diffopt.formats.slahmr_writer import write_slahmr
from diffopt.formats.tram_writer import write_tram
from diffopt.formats.tum import write_tum
from diffopt.formats.wham_writer import write_wham
from diffopt.result.result import Result

__all__ = ["EXPORTERS", "Exporter", "export"]


@dataclass(frozen=True)
class Exporter:
    """One format: its writer and the ending of its files; an empty one where it is a folder."""

    write: Callable[[Path, Result, BodyModel], Path]
    suffix: str


EXPORTERS: dict[str, Exporter] = {
    "amass": Exporter(write_amass, ".npz"),
    "bvh": Exporter(write_bvh, ".bvh"),
    "glb": Exporter(write_glb, ".glb"),
    "gvhmr": Exporter(write_gvhmr, ".pt"),
    "json": Exporter(write_json, ".json"),
    "slahmr": Exporter(write_slahmr, ""),
    "tram": Exporter(write_tram, ""),
    "tum": Exporter(write_tum, ".txt"),
    "wham": Exporter(write_wham, ".pkl"),
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
