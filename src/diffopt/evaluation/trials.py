"""The trials of a sweep file, as `wandb sweep` takes it, drawn on this machine."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.random import Generator

from diffopt.errors import DiffoptError

METHODS = ("grid", "random", "bayes")


@dataclass(frozen=True)
class Sweep:
    """A sweep file, as far as it is used here."""

    name: str
    method: str
    metric: str
    minimize: bool
    fixed: tuple[str, ...]
    """What the file's command sets in every trial, `key=value`."""
    parameters: dict[str, dict[str, Any]]
    run_cap: int | None


def read_sweep(path: Path) -> Sweep:
    """Read a sweep file.

    Raises:
        DiffoptError: it is missing, no sweep file, or asks for what cannot be done here.
    """
    if not path.is_file():
        raise DiffoptError(f"{path}: no such file; expected a sweep file, e.g. configs/sweeps/guidance.yaml.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DiffoptError(f"{path}: not readable as YAML ({' '.join(str(error).split())}).") from error
    if not isinstance(content, dict) or not isinstance(content.get("parameters"), dict):
        raise DiffoptError(f"{path}: no 'parameters'; expected a sweep file as `wandb sweep` takes it.")
    metric = content.get("metric") or {}
    if "name" not in metric:
        raise DiffoptError(f"{path}: no 'metric' with a 'name'; expected e.g. `metric: {{name: g_mpjpe_mm}}`.")
    if content.get("method") not in METHODS:
        raise DiffoptError(f"{path}: method '{content.get('method')}'; expected one of {', '.join(METHODS)}.")
    command = [str(part) for part in content.get("command", [])]
    sweep = Sweep(
        name=str(content.get("name", path.stem)),
        method=content["method"],
        metric=str(metric["name"]),
        minimize=metric.get("goal", "minimize") == "minimize",
        fixed=tuple(part for part in command if "=" in part and "${" not in part),
        parameters=content["parameters"],
        run_cap=content.get("run_cap"),
    )
    for name, parameter in sweep.parameters.items():
        if name in ("seed", "seeds"):
            raise DiffoptError(
                f"{path}: parameter '{name}': the best trial would be the luckiest one; leave it out and say `seeds=3` "
                "in the command, over which every trial is averaged."
            )
        try:
            _distribution(parameter)
            if sweep.method == "grid":
                _every_value(parameter)
        except (KeyError, ValueError, TypeError) as error:
            raise DiffoptError(f"{path}: parameter '{name}' cannot be drawn ({error}).") from error
    return sweep


def trials(sweep: Sweep, seed: int) -> Iterator[dict[str, Any]]:
    """Values by parameter, trial after trial: all combinations of a grid, or draws without end.

    The same seed gives the same trials, however many are taken; so a sweep can be gone on with.
    """
    if sweep.method == "grid":
        axes = [_every_value(parameter) for parameter in sweep.parameters.values()]
        for values in itertools.product(*axes):
            yield dict(zip(sweep.parameters, values, strict=True))
        return
    for index in itertools.count():
        random = np.random.default_rng([seed, index])
        yield {name: _distribution(parameter)(random) for name, parameter in sweep.parameters.items()}


def _every_value(parameter: Mapping[str, Any]) -> list[Any]:
    if "value" in parameter:
        return [parameter["value"]]
    if "values" in parameter:
        return list(parameter["values"])
    kind = _kind(parameter)
    if kind == "int_uniform":
        return list(range(parameter["min"], parameter["max"] + 1))
    if kind == "q_uniform":
        count = math.floor((parameter["max"] - parameter["min"]) / parameter["q"] + 1e-9)
        return [parameter["min"] + step * parameter["q"] for step in range(count + 1)]
    raise ValueError(f"a grid needs values, not the distribution {kind}")


def _kind(parameter: Mapping[str, Any]) -> str:
    """The distribution; left out, it follows from what is given, as it does there."""
    if "distribution" in parameter:
        return str(parameter["distribution"])
    if "value" in parameter:
        return "constant"
    if "values" in parameter:
        return "categorical"
    if {"mu", "sigma"} <= parameter.keys():
        return "normal"
    integers = isinstance(parameter["min"], int) and isinstance(parameter["max"], int)
    return "int_uniform" if integers else "uniform"


def _distribution(parameter: Mapping[str, Any]) -> Callable[[Generator], Any]:
    kind = _kind(parameter)
    if kind == "constant":
        value = parameter["value"]
        return lambda random: value
    if kind.startswith("categorical"):
        values, odds = list(parameter["values"]), parameter.get("probabilities")
        return lambda random: values[int(random.choice(len(values), p=odds))]
    if kind == "normal":
        mean, deviation = float(parameter.get("mu", 0)), float(parameter.get("sigma", 1))
        return lambda random: float(random.normal(mean, deviation))
    low, high, step = parameter["min"], parameter["max"], parameter.get("q", 1)
    if not low <= high:
        raise ValueError(f"min {low} is above max {high}")
    if kind == "int_uniform":
        return lambda random: int(random.integers(low, high, endpoint=True))
    if kind == "uniform":
        return lambda random: float(random.uniform(low, high))
    if kind == "q_uniform":
        return lambda random: _rounded(random.uniform(low, high), step)
    if kind in ("log_uniform_values", "q_log_uniform_values"):
        draw = lambda random: math.exp(random.uniform(math.log(low), math.log(high)))  # noqa: E731
        return draw if kind == "log_uniform_values" else lambda random: _rounded(draw(random), step)
    raise ValueError(
        f"distribution '{kind}' is not known here; expected constant, categorical, uniform, int_uniform, normal, "
        "q_uniform, log_uniform_values or q_log_uniform_values"
    )


def _rounded(value: float, step: float | int) -> float | int:
    rounded = round(value / step) * step
    return int(rounded) if isinstance(step, int) else rounded
