"""Tasks for the tests of the engines; workers import them by name."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from diffopt.errors import DiffoptError


@dataclass(frozen=True)
class Chore:
    """What to do, and a folder in which to leave a mark at every attempt."""

    number: int
    marks: str
    mishap: str = ""
    """`once` fails the first time, `always` every time, `input` as the user's fault, `killed` dies the first time,
    `deadly` every time, `unfit` returns what JSON cannot hold."""


def attempts_of(chore: Chore) -> int:
    return len(list(Path(chore.marks).glob(f"{chore.number}-*")))


def do(chore: Chore) -> dict:
    """Numbers that hang on the seed and on the order of a sum, so that another thread count would show."""
    first = attempts_of(chore) == 0
    (Path(chore.marks) / f"{chore.number}-{time.time_ns()}").touch()
    if chore.mishap == "always" or (chore.mishap == "once" and first):
        raise RuntimeError(f"chore {chore.number} went wrong")
    if chore.mishap == "input":
        raise DiffoptError("walk.npz: no such file.")
    if chore.mishap == "deadly" or (chore.mishap == "killed" and first):
        os.kill(os.getpid(), signal.SIGKILL)
    if chore.mishap == "unfit":
        return {"value": float("nan")}
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(chore.number)
    values = torch.randn(200_000, generator=generator)
    return {"value": values.exp().sum().item()}


def where(chore: Chore) -> dict:
    """The process and what it sees of the machine; slow enough that no process does it all."""
    time.sleep(0.5)
    return {
        "pid": os.getpid(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "cuda": os.environ["CUDA_VISIBLE_DEVICES"],
    }
