"""`diffopt trial`: what `wandb agent` runs: the mean over clips and seeds as one run, in a folder of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from diffopt.body.model import load_body
from diffopt.cli import main
from diffopt.commands.trial import trial_means
from diffopt.config import load_config
from diffopt.errors import DiffoptError
from diffopt.evaluation.parallel import Record
from diffopt.simulation.synthetic import simulate_observation, synthetic_walk
from tests.offline_run import OfflineRun

GUIDANCE = Path(__file__).parents[2] / "configs" / "sweeps" / "guidance.yaml"
SHORT = ["device=cpu", *(f"fit.stages.{name}.steps=2" for name in load_config().fit.stages)]


@pytest.fixture(scope="module")
def walks(tmp_path_factory):
    folder, body = tmp_path_factory.mktemp("walks"), load_body()
    for seed in range(2):
        motion = synthetic_walk(body, num_frames=16, fps=30.0, seed=seed)
        observation = simulate_observation(body, *motion, fps=30.0, camera="follow", seed=seed, name=f"walk{seed}")
        observation.save(folder / f"walk{seed}.npz")
    return folder


def agent(walks, out, run_id, values, monkeypatch):
    """A trial as `wandb agent` starts it, from the shipped file, but offline."""
    parameters = out.parent / f"{run_id}.yaml"
    parameters.write_text(yaml.safe_dump({"wandb_version": 1} | {name: {"value": v} for name, v in values.items()}))
    with monkeypatch.context() as ours:
        ours.setenv("DIFFOPT_SOURCE", str(walks))
        ours.setenv("DIFFOPT_OUT", str(out))
        command = create_sweep_command(list(yaml.safe_load(GUIDANCE.read_text())["command"]))
    given = create_sweep_command_args({"args": {name: {"value": value} for name, value in values.items()}})
    place = command.index("${args_no_hyphens}")
    arguments = [*command[2:place], *given["args_no_hyphens"], *SHORT, "logging.wandb=offline", "seeds=2"]
    names = {"WANDB_SWEEP_ID": "sweep", "WANDB_RUN_ID": run_id, "WANDB_SWEEP_PARAM_PATH": str(parameters)}
    return subprocess.Popen([sys.executable, "-m", "diffopt.cli", *arguments], env=os.environ | names)


def test_agents_that_share_a_folder_keep_their_trials_apart(walks, tmp_path, monkeypatch):
    out = tmp_path / "shared"
    noise = {"first": 0.3, "second": 0.8}
    agents = [
        agent(walks, out, run_id, {"guidance.noise_start": start}, monkeypatch) for run_id, start in noise.items()
    ]
    assert [one.wait() for one in agents] == [0, 0]

    assert {path.name for path in out.iterdir()} == set(noise)
    scores = set()
    for run_id, start in noise.items():
        run, records = OfflineRun(out / run_id), list((out / run_id / "records").iterdir())
        assert run.run.run_id == run_id and run.run.sweep_id == "sweep" and run.exit_codes == [0]
        assert run.config["guidance.noise_start"] == start and run.config["seeds"] == 2
        scored = [json.loads(path.read_text())["result"] for path in records]
        assert {(one["sequence"], one["seed"]) for one in scored} == {(f"walk{c}", s) for c in (0, 1) for s in (0, 1)}
        mean = fmean(one["metrics"]["g_mpjpe_mm"][0] for one in scored)
        assert run.summary["g_mpjpe_mm"] == pytest.approx(mean)
        assert json.loads((out / run_id / "metrics.json").read_text())["g_mpjpe_mm"] == pytest.approx(mean)
        scores.add(mean)
    assert len(scores) == 2


def test_a_fit_of_an_agent_has_a_folder_of_its_own_too(walks, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    for run_id in ("one", "two"):
        monkeypatch.setenv("WANDB_RUN_ID", run_id)
        quiet = ["pictures=false", "overwrite=true", "logging.wandb=disabled", f"out={tmp_path / 'shared'}"]
        assert main(["fit", f"source={walks / 'walk0.npz'}", *quiet, *SHORT]) == 0
    assert {path.parent.name for path in tmp_path.glob("shared/*/motion.npz")} == {"one", "two"}


def record(key, seed, error=None, **metrics):
    score = {"row": key.split("-")[0], "sequence": "a", "splits": [], "start": 0, "stop": 9, "seed": seed,
             "body": "free", "truth_body": "free", "true_camera_used": False,
             "metrics": {name: [value, 9] for name, value in metrics.items()}}  # fmt: skip
    return Record(key, "", 1, 1.0, None if error else score, error)


def test_the_best_trial_is_the_best_over_its_seeds_not_the_one_with_the_luckiest():
    records = {
        "lucky-0": record("lucky-0", 0, g_mpjpe_mm=10.0, rte=1.0),
        "lucky-1": record("lucky-1", 1, g_mpjpe_mm=90.0, rte=None),
        "steady-0": record("steady-0", 0, g_mpjpe_mm=40.0, rte=1.0),
        "steady-1": record("steady-1", 1, g_mpjpe_mm=42.0, rte=2.0),
    }
    assert trial_means("lucky", records) == {"g_mpjpe_mm": 50.0}
    assert trial_means("steady", records) == {"g_mpjpe_mm": 41.0, "rte": 1.5}


def test_a_trial_of_which_a_fit_failed_has_no_score_and_its_run_has_failed(walks, tmp_path, capsys):
    half = {"t-0": record("t-0", 0, g_mpjpe_mm=1.0), "t-1": record("t-1", 1, error="no prior")}
    with pytest.raises(DiffoptError, match="1 of 2 fits failed; the first one: no prior"):
        trial_means("t", half)

    broken = ["prior.path=nowhere.safetensors", f"out={tmp_path / 'out'}"]
    assert main(["trial", f"source={walks / 'walk0.npz'}", *broken, *SHORT]) == 2
    assert "3 of 3 fits failed" in capsys.readouterr().err.replace("\n", " ")
    assert OfflineRun(tmp_path / "out").exit_codes == [1]


@pytest.mark.parametrize(("arguments", "told"), [(["seeds=1", "source=a.npz"], "'seeds' is 1"), ([], "Nothing to fit")])
def test_what_cannot_be_tried_is_told_in_a_sentence(arguments, told, capsys):
    assert main(["trial", *arguments]) == 2
    assert told in capsys.readouterr().err
