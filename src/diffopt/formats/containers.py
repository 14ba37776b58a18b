"""Opens a file by its first bytes, whatever its name: `.npz`, `.npy`, pickle, joblib, `.pt`, JSON, text, video."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from diffopt.errors import DiffoptError
from diffopt.files.unpickle import load_npy, load_pickle, load_torch


@dataclass(frozen=True)
class Video:
    """What a video says of itself; its pictures are not needed."""

    fps: float
    image_size_px: tuple[int, int]
    num_frames: int


@dataclass(frozen=True)
class Folder:
    """The JSON files of a folder, by name in order: OpenPose writes one per frame."""

    files: dict[str, Any]


def open_container(path: Path) -> Any:
    """The contents of a file as plain containers, numpy arrays (tensors become arrays), a `Video` or a `Folder`.

    Nothing in it is run.

    Raises:
        DiffoptError: the file is missing, damaged, of no known kind, or asks to run code.
    """
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        if not files:
            raise DiffoptError(
                f"{path}: a folder without JSON files; expected OpenPose's files, one per frame; give the result files "
                "themselves."
            )
        return Folder({file.name: _json(file) for file in files})
    if not path.is_file():
        raise DiffoptError(f"{path}: no such file. Check the path.")
    with open(path, "rb") as file:
        head = file.read(512)
    return _arrays(_by_magic(path, head))


def _by_magic(path: Path, head: bytes) -> Any:
    if head.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        return _npz(path) if all(name.endswith(".npy") for name in names) else load_torch(path)
    if head.startswith(b"\x93NUMPY"):
        return load_npy(path)
    if head[4:8] == b"ftyp" or head[:4] in (b"RIFF", b"\x1aE\xdf\xa3"):
        return _video(path)
    if path.suffix in (".pt", ".pth") and head.startswith(b"\x80\x02\x8a\x0a"):
        return load_torch(path)  # torch's older layout starts with a pickled magic number
    text = head.lstrip()
    if text[:1] in (b"{", b"[") and (text[:1] == b"{" or text[1:].lstrip()[:1] in (b"{", b"[", b"]")):
        return _json(path)
    if text[:1] in b"#+-.0123456789" and all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return _table(path)
    return load_pickle(path)


def _arrays(value: Any) -> Any:
    """Tensors as arrays, all the way down."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    if isinstance(value, dict):
        return {key: _arrays(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_arrays(item) for item in value]
    return value


def _npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise DiffoptError(f"{path}: not a readable .npz of plain arrays ({error}). Save it again.") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DiffoptError(f"{path}: not readable as JSON ({error}). Save it again.") from error


def _table(path: Path) -> np.ndarray:
    try:
        rows = np.loadtxt(path, comments="#", delimiter="," if "," in path.read_text() else None, ndmin=2)
    except (OSError, ValueError) as error:
        raise DiffoptError(
            f"{path}: not a table of numbers ({error}). Expected a TUM trajectory: lines of `time x y z qx qy qz qw`."
        ) from error
    return rows


def _video(path: Path) -> Video:
    video = cv2.VideoCapture(str(path))
    try:
        properties = (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_COUNT)
        fps, width, height, frames = (video.get(name) for name in properties)
    finally:
        video.release()
    if min(fps, width, height, frames) <= 0:
        raise DiffoptError(f"{path}: no readable video. Expected one that plays; convert it to H.264.")
    return Video(fps, (int(width), int(height)), int(frames))
