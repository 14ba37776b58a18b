"""What is kept is found again, what is damaged or meant for other settings is made anew."""

from dataclasses import dataclass

import numpy as np
import pytest

from diffopt.frontend.cache import cached


@dataclass
class Made:
    values: np.ndarray
    note: str
    factor: float
    yes: bool


class Builder:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Made:
        self.calls += 1
        return Made(np.arange(self.calls + 3.0), "why — because", 0.5, True)


def test_the_same_key_is_built_once(tmp_path):
    build = Builder()
    first = cached(tmp_path / "new", "stage", {"a": 1}, Made, build)
    again = cached(tmp_path / "new", "stage", {"a": 1}, Made, build)

    assert build.calls == 1
    assert np.array_equal(first.values, again.values)
    assert (again.note, again.factor, again.yes) == (first.note, first.factor, first.yes)
    assert type(again.factor) is float
    assert type(again.yes) is bool


def test_another_key_or_stage_is_built_anew(tmp_path):
    build = Builder()
    cached(tmp_path, "stage", {"a": 1, "b": [2, None]}, Made, build)
    cached(tmp_path, "stage", {"a": 1, "b": [2, 3]}, Made, build)
    cached(tmp_path, "other", {"a": 1, "b": [2, None]}, Made, build)

    assert build.calls == 3


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "fields"])
def test_a_damaged_file_is_replaced(tmp_path, damage):
    build = Builder()
    cached(tmp_path, "stage", {}, Made, build)
    (path,) = tmp_path.glob("*.npz")
    if damage == "fields":
        np.savez(path, values=np.zeros(2))
    else:
        path.write_bytes({"cut": path.read_bytes()[:-60], "noise": b"x" * 500, "empty": b""}[damage])

    assert len(cached(tmp_path, "stage", {}, Made, build).values) == 5
    assert len(cached(tmp_path, "stage", {}, Made, build).values) == 5
    assert build.calls == 2
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_failure_keeps_nothing(tmp_path):
    def fail() -> Made:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        cached(tmp_path, "stage", {}, Made, fail)
    assert not list(tmp_path.iterdir())
