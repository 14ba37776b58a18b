"""Files of plain arrays with fixed field names: what a field must look like, and how such a file is read and written.

`Observation` and `Result` list their fields as `Field`s; everything that can be wrong with a file is found here, once,
and told as one sentence (`DiffoptError`).
"""

import difflib
import os
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from diffopt.errors import DiffoptError

ROTATION_TOLERANCE = 1e-3
"""How far R Rᵀ may be from the identity: ten thousand times float32's rounding, far below any real mistake."""

_DTYPES = {"float": np.float32, "int": np.int64, "bool": np.bool_}
_ACCEPTED_KINDS = {"float": "fiu", "int": "iu", "bool": "b"}


@dataclass(frozen=True)
class Field:
    """One entry of a file.

    A letter in `shape` is a dimension that every field with that letter shares. Floats are kept as float32, whole
    numbers as int64; `()` is a single number or a text.
    """

    kind: Literal["float", "int", "bool", "text"]
    shape: tuple[int | str, ...] = ()
    optional: bool = False
    choices: tuple[str, ...] = ()
    rotation: bool = False
    positive: bool = False
    nan_allowed: bool = False


def check_fields(where: str, fields: Mapping[str, Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """Bring every value into its field's type, or say what is wrong with the first that does not fit.

    Args:
        where: the file or object the values come from; opens the sentence of the error.
        fields: what must be there.
        values: what is there; None stands for a missing optional value.

    Returns:
        Arrays of the field's dtype, plain `str`, `float` and `int`, None for what is optional and absent.

    Raises:
        DiffoptError: a value is missing, of another shape or type, not finite, not a rotation or not among the choices.
    """
    sizes: dict[str, tuple[int, str]] = {}
    checked: dict[str, Any] = {}
    for name, field in fields.items():
        value = values.get(name)
        if value is None:
            if not field.optional:
                raise DiffoptError(
                    f"{where}: '{name}' is missing; expected {_describe(field)} (docs/formats.md); add it."
                )
            checked[name] = None
        elif field.kind == "text":
            checked[name] = _checked_text(where, name, field, value)
        else:
            checked[name] = _checked_array(where, name, field, value, sizes)
    return checked


def read_npz(path: str | Path, schema: str, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Read an `.npz` of plain arrays whose `schema` entry is `schema`.

    Raises:
        DiffoptError: there is no such file, it is no `.npz`, holds pickled objects, is of another schema or version,
            or has entries that the schema does not know (a misspelt optional field must not be lost silently).
    """
    path = Path(path)
    if not path.is_file():
        raise DiffoptError(f"{path}: no such file; expected an .npz file ({schema}); check the path.")
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise DiffoptError(f"{path}: a single .npy array; expected an .npz file ({schema}); save named arrays.")
        with archive:
            values = {name: archive[name] for name in archive.files}
    except DiffoptError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, pickle.UnpicklingError) as error:
        reason = "pickled objects" if "pickle" in str(error).lower() or "Object arrays" in str(error) else "damaged"
        raise DiffoptError(
            f"{path}: not a readable .npz of plain arrays ({reason}); expected a file that numpy.load opens with "
            f"allow_pickle=False; write it again with numpy.savez_compressed."
        ) from error
    _check_schema(path, schema, values.pop("schema", None))
    for name in values:
        if name not in fields:
            close = difflib.get_close_matches(name, fields, n=1)
            meant = f"did you mean '{close[0]}'?" if close else "see docs/formats.md for the names."
            raise DiffoptError(f"{path}: '{name}' is not a field of {schema}; rename it or leave it out, {meant}")
    return values


def write_npz(path: str | Path, schema: str, values: Mapping[str, Any]) -> Path:
    """Write the values that are not None, so that the file is either complete or not there."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as stream:
            present = {name: np.asarray(value) for name, value in values.items() if value is not None}
            np.savez_compressed(stream, allow_pickle=False, schema=np.asarray(schema), **present)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _check_schema(path: Path, schema: str, found: np.ndarray | None) -> None:
    if found is None or found.dtype.kind != "U" or found.ndim != 0:
        raise DiffoptError(f"{path}: no 'schema' text; expected schema='{schema}'; is this another kind of file?")
    if str(found) == schema:
        return
    family = schema.rpartition("/")[0]
    mend = (
        "write the file again with this version, or install the diffopt that wrote it"
        if str(found).rpartition("/")[0] == family
        else "give the right kind of file"
    )
    raise DiffoptError(f"{path}: 'schema' is '{found}'; expected '{schema}'; {mend}.")


def _checked_text(where: str, name: str, field: Field, value: Any) -> str:
    if isinstance(value, np.ndarray) and value.dtype.kind == "U" and value.ndim == 0:
        value = str(value)
    if not isinstance(value, str):
        found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise DiffoptError(f"{where}: '{name}' is {found}; expected {_describe(field)}; store a str.")
    if field.choices and value not in field.choices:
        raise DiffoptError(
            f"{where}: '{name}' is '{value}'; expected {_describe(field)}; use one of these or convert the data."
        )
    return value


def _checked_array(where: str, name: str, field: Field, value: Any, sizes: dict[str, tuple[int, str]]) -> Any:
    array = np.asarray(value)
    if array.dtype.kind not in _ACCEPTED_KINDS[field.kind]:
        raise DiffoptError(
            f"{where}: '{name}' has dtype {array.dtype}; expected {_describe(field)}; convert it before saving."
        )
    _check_shape(where, name, field, array, sizes)
    array = array.astype(_DTYPES[field.kind], copy=False)
    bad = np.asarray(~np.isfinite(array))
    if bad.any() and not field.nan_allowed:
        raise DiffoptError(
            f"{where}: '{name}' is not finite in {int(bad.sum())} places, the first{_at(bad)}; expected "
            f"numbers everywhere; fill gaps in (interpolate, or repeat the last frame) and mark unseen frames invalid."
        )
    low = np.asarray(array <= 0)
    if field.positive and low.any():
        raise DiffoptError(
            f"{where}: '{name}' is {array[_first(low)]:g}{_at(low)}; expected values above 0; "
            "check the units and the order."
        )
    if field.rotation:
        _check_rotations(where, name, array)
    return array if field.shape else array.item()


def _check_shape(where: str, name: str, field: Field, array: np.ndarray, sizes: dict[str, tuple[int, str]]) -> None:
    if array.ndim != len(field.shape):
        raise DiffoptError(f"{where}: '{name}' has shape {array.shape}; expected {_describe(field)}; reshape it.")
    for size, expected in zip(array.shape, field.shape, strict=True):
        if isinstance(expected, int) and size != expected:
            raise DiffoptError(f"{where}: '{name}' has shape {array.shape}; expected {_describe(field)}; reshape it.")
        if isinstance(expected, str):
            other, origin = sizes.setdefault(expected, (size, name))
            if size != other:
                raise DiffoptError(
                    f"{where}: '{name}' has {expected}={size} (shape {array.shape}) but '{origin}' has "
                    f"{expected}={other}; expected {_describe(field)} with the same {expected}; "
                    "cut both to the same span or use the same set."
                )


def _check_rotations(where: str, name: str, rotations: np.ndarray) -> None:
    exact = rotations.astype(np.float64)
    away = np.abs(exact @ exact.swapaxes(-1, -2) - np.eye(3)).max(axis=(-2, -1))
    wrong = (away > ROTATION_TOLERANCE) | (np.linalg.det(exact) < 0)
    if wrong.any():
        at = _first(wrong)
        raise DiffoptError(
            f"{where}: '{name}' is not a rotation{_at(wrong)} (R Rᵀ is {away[at]:.2g} from the identity, determinant "
            f"{np.linalg.det(exact[at]):.3g}); expected orthonormal matrices with determinant 1; "
            "remove scale and mirroring."
        )


def _first(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(int(index) for index in np.argwhere(mask)[0])


def _at(mask: np.ndarray) -> str:
    return f" at index {list(_first(mask))}" if mask.ndim else ""


def _describe(field: Field) -> str:
    if field.kind == "text":
        return "one of " + ", ".join(field.choices) if field.choices else "a text"
    shape = ", ".join(str(size) for size in field.shape) + ("," if len(field.shape) == 1 else "")
    return f"{field.kind} ({shape})" if field.shape else f"one {field.kind}"
