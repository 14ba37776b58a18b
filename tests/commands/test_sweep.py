"""`diffopt sweep`: the trials of a file, here, resumable; and what a fit tells W&B of its score."""

import csv
import json

import pytest
import yaml

from diffopt.body.model import load_body
from diffopt.cli import main
from diffopt.config import load_config
from diffopt.simulation.synthetic import simulate_observation, synthetic_walk

FIT = ["device=cpu", *(f"fit.stages.{name}.steps=2" for name in load_config().fit.stages)]
SHORT = ["seeds=2", *FIT]


@pytest.fixture(scope="module")
def walks(tmp_path_factory):
    folder, body = tmp_path_factory.mktemp("walks"), load_body()
    for seed in range(2):
        motion = synthetic_walk(body, num_frames=16, fps=30.0, seed=seed)
        observation = simulate_observation(body, *motion, fps=30.0, camera="follow", seed=seed, name=f"walk{seed}")
        observation.save(folder / f"walk{seed}.npz")
    return folder


def plan(path, method, **parameters):
    content = {
        "method": method, "metric": {"name": "g_mpjpe_mm", "goal": "minimize"}, "parameters": parameters,
        "command": ["${env}", "diffopt", "fit", "source=${envvar:DIFFOPT_SOURCE}", "fit.field.width=32",
                    "${args_no_hyphens}"],
    }  # fmt: skip
    path.write_text(yaml.safe_dump(content))
    return str(path)


def table(folder):
    return list(csv.DictReader((folder / "sweep.csv").open()))


def test_a_grid_is_run_best_first_and_gone_on_with(walks, tmp_path, capsys):
    values = {"fit.field.width": {"values": [8, 16]}, "fit.field.layers": {"values": [2, 3]}}
    file = plan(tmp_path / "s.yaml", "grid", **values)
    settings = [f"source={walks / 'walk0.npz'}", f"out={tmp_path / 'out'}", "fit.field.kind=cosine", *SHORT]

    assert main(["sweep", file, "--count", "2", *settings]) == 0
    first = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "records").iterdir()}
    assert main(["sweep", file, *settings]) == 0

    rows = table(tmp_path / "out")
    assert sorted((row["fit.field.width"], row["fit.field.layers"]) for row in rows) == [
        ("16", "2"),
        ("16", "3"),
        ("8", "2"),
        ("8", "3"),
    ]
    scores = [float(row["g_mpjpe_mm"]) for row in rows]
    assert scores == sorted(scores) and len(set(scores)) == 4
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "records").iterdir()}
    assert len(first) == 4 and len(after) == 8 and {name: after[name] for name in first} == first
    best = f"Best: `fit.field.layers={rows[0]['fit.field.layers']} fit.field.width={rows[0]['fit.field.width']}`"
    assert best in capsys.readouterr().out


def test_bayes_falls_back_to_random_over_a_folder_and_says_so(walks, tmp_path, capsys):
    file = plan(tmp_path / "s.yaml", "bayes", **{"fit.stages.guidance.motion_lr": {"min": 1e-4, "max": 1e-3}})

    assert main(["sweep", file, f"source={walks}", f"out={tmp_path / 'out'}", *SHORT, "--count", "2"]) == 0

    assert "at random instead" in capsys.readouterr().out
    trials = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert len(trials) == 2 and trials[0]["metric"] <= trials[1]["metric"]
    assert len(list((tmp_path / "out" / "records").iterdir())) == 8


def test_a_failed_trial_comes_last_and_a_sweep_without_any_score_says_why(walks, tmp_path, capsys):
    file = plan(tmp_path / "s.yaml", "grid", **{"prior.path": {"values": ["nowhere.safetensors", "default"]}})
    assert main(["sweep", file, f"source={walks / 'walk0.npz'}", f"out={tmp_path / 'out'}", *SHORT]) == 0
    assert [row["prior.path"] for row in table(tmp_path / "out")] == ["default", "nowhere.safetensors"]
    assert "failed (2)" in (tmp_path / "out" / "sweep.md").read_text()

    file = plan(tmp_path / "t.yaml", "grid", **{"prior.path": {"values": ["nowhere.safetensors"]}})
    capsys.readouterr()
    assert main(["sweep", file, f"source={walks / 'walk0.npz'}", f"out={tmp_path / 'none'}", *SHORT]) == 2
    assert "no trial has a score; the first one:" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere.yaml", "source=a.npz"], "nowhere.yaml: no such file"),
        (["{random}", "source={walk}"], "say how many trials"),
        (["{random}", "--count", "2", "seed=1"], "give an observation with truth"),
        (["{random}", "--count", "2", "source={walk}", "sede=1"], "did you mean 'seed'"),
        (["{random}", "--count", "2", "source={walk}", "seeds=1"], "Field 'seeds' is 1; expected 2 or more"),
    ],
)
def test_what_cannot_be_swept_is_told_in_a_sentence(arguments, told, walks, tmp_path, capsys):
    names = {
        "random": plan(tmp_path / "s.yaml", "random", **{"fit.field.layers": {"values": [2]}}),
        "walk": str(walks / "walk0.npz"),
    }
    assert main(["sweep", *(argument.format(**names) for argument in arguments), *FIT]) == 2
    assert told in capsys.readouterr().err


def test_a_fit_logs_its_final_score_by_the_plain_name_that_sweeps_look_at(walks, tmp_path):
    quiet = ["logging.wandb=disabled", "pictures=false"]
    assert main(["fit", f"source={walks / 'walk0.npz'}", f"out={tmp_path / 'fit'}", *quiet, *FIT]) == 0

    rows = list(csv.DictReader((tmp_path / "fit" / "logs" / "metrics.csv").open()))
    logged = [float(row["g_mpjpe_mm"]) for row in rows if row.get("g_mpjpe_mm")]
    final = json.loads((tmp_path / "fit" / "metrics.json").read_text())["g_mpjpe_mm"]
    assert logged == [pytest.approx(final, rel=1e-6)]
