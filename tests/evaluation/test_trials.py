"""Sweep files: what W&B's own schema accepts, and trials drawn as the file says."""

import importlib.util
import itertools
import json
import math
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from diffopt.cli import _parser
from diffopt.commands.trial import load_trial
from diffopt.errors import DiffoptError
from diffopt.evaluation.metrics import Track, score
from diffopt.evaluation.trials import Sweep, read_sweep, trials

FILES = sorted((Path(__file__).parents[2] / "configs" / "sweeps").glob("*.yaml"))


def plan(method="random", **parameters):
    return Sweep("s", method, "g_mpjpe_mm", True, (), parameters, None)


def draws(parameter, count=2000):
    return [trial["p"] for trial in itertools.islice(trials(plan(p=parameter), seed=0), count)]


def written(path, **changes):
    content = {"method": "random", "metric": {"name": "g_mpjpe_mm"}, "parameters": {"threads": {"values": [1]}}}
    path.write_text(yaml.safe_dump(content | changes))
    return path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_wandbs_own_schema_accepts_the_shipped_files(path):
    jsonschema = pytest.importorskip("jsonschema")
    package = importlib.util.find_spec("sweeps")
    if package is None or package.origin is None:
        pytest.skip("W&B's package `sweeps` is not installed (pip install --no-deps sweeps)")
    # Only its schema is read: the package itself asks for an older NumPy.
    schema = json.loads((Path(package.origin).parent / "config" / "schema.json").read_text())
    validator = jsonschema.Draft7Validator(schema)
    content = yaml.safe_load(path.read_text())

    assert [error.message for error in validator.iter_errors(content)] == []
    assert list(validator.iter_errors(content | {"metod": "grid"})) != []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_agents_command_is_one_that_our_command_line_takes(path, monkeypatch):
    monkeypatch.setenv("DIFFOPT_SOURCE", "walk.npz")
    monkeypatch.setenv("DIFFOPT_OUT", "out/sweep")
    content = yaml.safe_load(path.read_text())
    values = next(trials(read_sweep(path), seed=0))
    given = create_sweep_command_args({"args": {name: {"value": value} for name, value in values.items()}})

    command = create_sweep_command(list(content["command"]))
    place = command.index("${args_no_hyphens}")
    options = _parser().parse_args([*command[2:place], *given["args_no_hyphens"], *command[place + 1 :]])

    assert command[:2] == ["${env}", "diffopt"] and command[2] == "trial"
    config = load_trial(options.overrides)
    assert (config.source, config.out, config.seeds, config.logging.wandb) == ("walk.npz", "out/sweep", 3, "online")
    assert content["metric"] == {"name": "g_mpjpe_mm", "goal": "minimize"}
    anybody = Track(torch.randn(5, 24, 3), torch.eye(3).expand(5, 3, 3))
    assert content["metric"]["name"] in score(anybody, anybody, fps=30.0)


def test_a_grid_is_every_combination_in_order():
    grid = plan("grid", a={"values": [1, 2]}, b={"value": "x"}, c={"min": 0, "max": 1})
    assert [tuple(trial.values()) for trial in trials(grid, seed=5)] == [
        (1, "x", 0),
        (1, "x", 1),
        (2, "x", 0),
        (2, "x", 1),
    ]
    (steps,) = (
        [
            trial["q"]
            for trial in trials(plan("grid", q={"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.25}), 0)
        ],
    )
    assert steps == [0, 0.25, 0.5, 0.75, 1]


def test_more_trials_go_on_from_fewer():
    parameters = {"a": {"min": 0.0, "max": 1.0}, "b": {"values": ["x", "y", "z"]}}
    few, many = (list(itertools.islice(trials(plan(**parameters), seed=3), count)) for count in (3, 9))
    assert many[:3] == few and len({trial["a"] for trial in many}) == 9
    assert list(itertools.islice(trials(plan(**parameters), seed=4), 3)) != few


def test_draws_follow_their_distributions():
    uniform = draws({"min": 2.0, "max": 4.0})
    assert min(uniform) >= 2 and max(uniform) <= 4 and sum(uniform) / len(uniform) == pytest.approx(3, abs=0.05)
    integers = Counter(draws({"min": 1, "max": 3}))
    assert set(integers) == {1, 2, 3} and min(integers.values()) > 500
    logarithms = [math.log10(value) for value in draws({"distribution": "log_uniform_values", "min": 1e-4, "max": 1.0})]
    assert min(logarithms) >= -4 and max(logarithms) <= 0
    assert sum(logarithms) / len(logarithms) == pytest.approx(-2, abs=0.1)
    assert set(draws({"distribution": "q_uniform", "min": 200, "max": 400, "q": 100})) == {200, 300, 400}
    odds = Counter(draws({"values": ["a", "b"], "probabilities": [0.9, 0.1]}))
    assert odds["a"] / 2000 == pytest.approx(0.9, abs=0.03)
    normal = draws({"distribution": "normal", "mu": 5, "sigma": 2})
    assert sum(normal) / len(normal) == pytest.approx(5, abs=0.2)
    assert set(draws({"value": 7}, 5)) == {7}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"parameters": None}, "no 'parameters'"),
        ({"metric": {}}, "no 'metric'"),
        ({"method": "guess"}, "expected one of grid, random, bayes"),
        ({"parameters": {"a": {"distribution": "beta", "min": 0, "max": 1}}}, "'a' cannot be drawn"),
        ({"parameters": {"a": {"min": 0}}}, "'a' cannot be drawn"),
        ({"parameters": {"a": {"min": 2, "max": 1}}}, "min 2 is above max 1"),
        (
            {"parameters": {"seed": {"values": [0, 1]}}},
            "'seed': the best trial would be the luckiest one; leave it out",
        ),
        ({"method": "grid", "parameters": {"a": {"min": 0.0, "max": 1.0}}}, "a grid needs values"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_files_name(changes, told, tmp_path):
    path = written(tmp_path / "s.yaml", **changes)
    with pytest.raises(DiffoptError, match=r"s\.yaml") as error:
        read_sweep(path)
    assert told in str(error.value)


def test_a_missing_or_unreadable_file_is_refused(tmp_path):
    with pytest.raises(DiffoptError, match="no such file"):
        read_sweep(tmp_path / "none.yaml")
    (tmp_path / "s.yaml").write_text("a: [b\n")
    with pytest.raises(DiffoptError, match="not readable as YAML"):
        read_sweep(tmp_path / "s.yaml")
