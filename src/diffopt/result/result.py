"""What a fit leaves behind: one folder with the motion, the cameras, the figures and the settings (docs/formats.md)."""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from diffopt.errors import DiffoptError
from diffopt.observation.schema import Field, check_fields, read_npz, write_npz

MOTION_SCHEMA = "diffopt/motion/1"
CAMERAS_SCHEMA = "diffopt/cameras/1"

MOTION_FIELDS: dict[str, Field] = {
    "fps": Field("float", positive=True),
    "body_model": Field("text", choices=("free", "smpl")),
    "body_pose": Field("float", ("T", 23, 3)),
    "global_orient": Field("float", ("T", 3)),
    "transl": Field("float", ("T", 3)),
    "betas": Field("float", (10,)),
    "joints": Field("float", ("T", 24, 3)),
}
CAMERAS_FIELDS: dict[str, Field] = {
    "rotation_w2c": Field("float", ("T", 3, 3), rotation=True),
    "translation_w2c": Field("float", ("T", 3)),
    "focal_px": Field("float", ("T",), positive=True),
    "center_px": Field("float", ("T", 2)),
    "image_size_px": Field("int", (2,), positive=True),
}


@dataclass(frozen=True, eq=False)
class Result:
    """A person's motion and the camera in one world: right-handed, y up, floor y = 0, metres and radians.

    The arrays' shapes are in `MOTION_FIELDS` and `CAMERAS_FIELDS`.
    """

    fps: float
    body_model: str
    """`free` or `smpl`: the body that `betas` belong to."""
    body_pose: ndarray
    """Axis-angle, radians."""
    global_orient: ndarray
    transl: ndarray
    """smplx's `transl`: the pelvis is rest pelvis(betas) + this."""
    betas: ndarray
    joints: ndarray
    rotation_w2c: ndarray
    """World-to-camera, OpenCV axes."""
    translation_w2c: ndarray
    focal_px: ndarray
    center_px: ndarray
    image_size_px: ndarray
    """Width, height."""
    diagnostics: dict[str, Any]
    """What the fit found and how far it can be trusted."""
    config_yaml: str
    """The whole configuration the fit ran with."""
    run: dict[str, Any]
    """Versions, seed, seconds by part."""
    metrics: dict[str, Any] | None = None
    """Against the truth, where that is known."""

    def __post_init__(self) -> None:
        table = MOTION_FIELDS | CAMERAS_FIELDS
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in check_fields("Result", table, values).items():
            object.__setattr__(self, name, value)

    @property
    def num_frames(self) -> int:
        return len(self.transl)

    def write(self, folder: str | Path, overwrite: bool = False) -> Path:
        """Write the folder whole or not at all.

        Args:
            folder: where; its parents are made.
            overwrite: replace a result that is already there, once the new one is complete.

        Raises:
            DiffoptError: something is there already and `overwrite` is not set, or it is no result and so not ours to
                delete.
        """
        folder = Path(folder)
        refuse_to_destroy(folder, overwrite)
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
        try:
            partial.chmod(0o755)  # mkdtemp hides it from others
            self._write_files(partial)
            _move_into_place(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> "Result":
        """Read and check a result folder.

        Raises:
            DiffoptError: one sentence with the file, what was found, what was expected and how to mend it.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise DiffoptError(f"{folder}: no such folder; expected the result folder of a fit; check the path.")
        tables = ((MOTION_SCHEMA, MOTION_FIELDS), (CAMERAS_SCHEMA, CAMERAS_FIELDS))
        arrays: dict[str, Any] = {}
        for schema, table in tables:
            path = folder / f"{schema.split('/')[1]}.npz"
            arrays |= check_fields(str(path), table, read_npz(path, schema, table))
        try:
            return cls(
                **arrays,
                diagnostics=_read_json(folder / "diagnostics.json"),
                config_yaml=_read_text(folder / "config.yaml"),
                run=_read_json(folder / "run.json"),
                metrics=_read_json(folder / "metrics.json") if (folder / "metrics.json").exists() else None,
            )
        except DiffoptError as error:
            raise DiffoptError(f"{folder}: {error}") from error

    def _write_files(self, folder: Path) -> None:
        write_npz(folder / "motion.npz", MOTION_SCHEMA, {name: getattr(self, name) for name in MOTION_FIELDS})
        write_npz(folder / "cameras.npz", CAMERAS_SCHEMA, {name: getattr(self, name) for name in CAMERAS_FIELDS})
        documents = {"diagnostics.json": self.diagnostics, "run.json": self.run, "metrics.json": self.metrics}
        for name, document in documents.items():
            if document is not None:
                text = json.dumps(_plain(document), indent=2, allow_nan=False, ensure_ascii=False)
                (folder / name).write_text(text + "\n", encoding="utf-8")
        (folder / "config.yaml").write_text(self.config_yaml, encoding="utf-8")


def refuse_to_destroy(folder: Path, overwrite: bool) -> None:
    """Make sure that a result may be written to `folder`: to be asked before the work as well as after it.

    Raises:
        DiffoptError: as `Result.write`.
    """
    if not (folder.exists() or folder.is_symlink()):
        return
    if not overwrite:
        raise DiffoptError(
            f"{folder}: exists already; a result is never overwritten without being asked; choose another `out=` or "
            "set `overwrite=true`."
        )
    if folder.is_symlink() or not folder.is_dir():
        raise DiffoptError(f"{folder}: is no folder; expected an earlier result; remove it or choose another `out=`.")
    if any(folder.iterdir()) and not (folder / "motion.npz").is_file():
        raise DiffoptError(
            f"{folder}: holds files but no motion.npz; expected an earlier result, since only a result is overwritten; "
            "choose another `out=`."
        )


def _move_into_place(partial: Path, folder: Path) -> None:
    if not folder.exists():
        os.rename(partial, folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".old", dir=folder.parent))
    os.replace(folder, old)  # a folder may take the place of an empty one
    try:
        os.rename(partial, folder)
    except OSError:
        os.rename(old, folder)
        raise
    shutil.rmtree(old)


def _plain(value: Any) -> Any:
    """JSON has no arrays and no NaN: arrays become lists, what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DiffoptError(f"{path.name} cannot be read ({error}); expected a text; run the fit again.") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise DiffoptError(f"{path.name} is not JSON ({error}); expected an object; run the fit again.") from error
    if not isinstance(document, dict):
        raise DiffoptError(f"{path.name} holds a {type(document).__name__}; expected an object; run the fit again.")
    return document
