"""`diffopt export`: a result in another program's format."""

from pathlib import Path

from diffopt.body.model import BodyModel, load_body
from diffopt.config import load_config
from diffopt.errors import DiffoptError
from diffopt.formats.writing import EXPORTERS, export
from diffopt.result.result import Result


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
    if result.body_model == "free":
        return load_body()
    options = load_config(folder / "config.yaml").body
    return load_body(options.model, options.keypoint_regressor)
