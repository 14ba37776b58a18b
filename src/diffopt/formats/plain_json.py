"""The whole result as one JSON object, for programs that read nothing else (names, units, frames: docs/formats.md)."""

import json
from pathlib import Path

import numpy as np
import torch

from diffopt.body.model import BodyModel
from diffopt.body.skeleton import JOINT_NAMES, PARENTS
from diffopt.files.atomic import partial_file
from diffopt.result.result import CAMERAS_FIELDS, MOTION_FIELDS, Result

SCHEMA = "diffopt/json/1"
_DIGITS = 7


def write(path: Path, result: Result, body: BodyModel) -> Path:
    """Write motion and cameras, seven digits behind the point; a file that is there is replaced at the end.

    The bones' rest offsets are the body's, so that the joints can be posed again without it.
    """

    content: dict[str, object] = {"schema": SCHEMA, "joint_names": JOINT_NAMES, "parents": PARENTS}
    for name in (*MOTION_FIELDS, *CAMERAS_FIELDS):
        content[name] = _plain(getattr(result, name))
    content["rest_offsets"] = _plain(body.skeleton(torch.as_tensor(result.betas).float()).numpy())
    with partial_file(path) as partial:
        partial.write_text(json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n", encoding="utf-8")
    return path


def _plain(value: object) -> object:
    if not isinstance(value, np.ndarray):
        return value
    return np.round(value.astype(np.float64), _DIGITS).tolist() if value.dtype.kind == "f" else value.tolist()
