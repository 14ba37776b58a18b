"""W&B's file of a fit, read back: whole, comparable by its settings, gone on with, and silent about the machine."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
import wandb
from rich.console import Console

from diffopt.body.model import load_body
from diffopt.commands.fit import fit
from diffopt.config import load_config
from diffopt.errors import DiffoptError
from diffopt.fitting import run as fitting
from diffopt.result.result import Result
from diffopt.simulation.synthetic import simulate_observation, synthetic_walk
from diffopt.tracking import flat, refuse_without_account
from tests.offline_run import OfflineRun

STAGES = load_config().fit.stages
STEPS = 26
"""Of each stage."""
SHORT = ["device=cpu", "pictures=false", *(f"fit.stages.{name}.steps={STEPS}" for name in STAGES)]
LAST = STEPS * len(STAGES)
STRIDE = 3
"""Between two points of a curve, which are pairs of steps; the last step is none of them."""


@pytest.fixture(scope="module", autouse=True)
def sparse_curves():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fitting, "CURVE_POINTS", LAST // STRIDE)
        assert LAST % STRIDE == 2
        yield


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    body = load_body()
    motion = synthetic_walk(body, num_frames=16, fps=30.0, seed=0)
    observation = simulate_observation(body, *motion, fps=30.0, camera="follow", seed=0)
    return observation.save(tmp_path_factory.mktemp("walk") / "walk.npz")


def fitted(walk: Path, out: Path, *overrides: str) -> Path:
    return fit(load_config(overrides=[f"source={walk}", f"out={out}", *SHORT, *overrides]), Console(quiet=True))


@pytest.fixture(scope="module")
def folder(walk):
    return fitted(walk, walk.parent / "whole", "seed=3", "guidance.noise_start=0.4")


def curves(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """The rows of the CSV, by step."""
    rows = csv.DictReader((folder / "logs" / "metrics.csv").open())
    return [
        (int(row.pop("step")), {name: float(value) for name, value in sorted(row.items()) if value}) for row in rows
    ]


def test_the_run_is_finished_with_its_last_point_and_its_final_score(folder):
    run = OfflineRun(folder)

    assert run.exit_codes == [0]
    assert run.steps == sorted(set(run.steps)) and run.steps[-1] == LAST and len(run.steps) < LAST
    metrics = Result.load(folder).metrics
    assert metrics is not None
    for name in ("g_mpjpe_mm", "pa_mpjpe_mm"):
        assert run.summary[name] == pytest.approx(metrics[name], rel=1e-6)
        assert run.summary[f"truth/{name}"] == run.summary[name]
        assert [name in row for row in run.history] == [False] * (len(run.history) - 1) + [True]
    assert run.history[-1]["finetune/total"] == run.summary["finetune/total"]


def test_runs_are_compared_by_every_setting_under_the_names_that_sweeps_use(folder, walk):
    config = OfflineRun(folder).config
    assert config["guidance.noise_start"] == 0.4 and config["seed"] == 3
    assert config["fit.stages.guidance.updates.human.losses.diffusion"] == 1.0
    assert config["guidance.annealed"] is True and config["body.height_m"] is None
    assert config["source"] == walk.name and config["fit.stages.guidance.steps"] == STEPS
    settings = [f"{name}={str(value).lower()}" for name, value in config.items() if isinstance(value, bool | int)]
    assert len(settings) > 40 and load_config(overrides=settings).seed == 3


def test_names_are_flat_and_paths_are_told_by_their_last_part():
    nested = {"a": {"b": {"c": 1}, "d": None}, "e": "/home/me/x.npz", "f": "../me/y", "g": "plain"}
    assert flat(nested) == {"a.b.c": 1, "a.d": None, "e": "x.npz", "f": "y", "g": "plain"}


@pytest.mark.parametrize("machine", [False, True])
def test_nothing_private_is_in_it_unless_asked_for(machine, walk, tmp_path):
    """In a program, a home, a git checkout and on a host with names that would be seen."""
    program = tmp_path / "secret-program.py"
    program.write_text("import sys; from diffopt.cli import main; sys.exit(main(sys.argv[1:]))")
    checkout, home = tmp_path / "checkout", tmp_path / "home"
    for place in (checkout, home):
        place.mkdir()
    for command in (["init", "--quiet"], ["remote", "add", "origin", "https://git.example/secret-remote.git"]):
        subprocess.run(["git", *command], cwd=checkout, check=True)
    names = {"HOME": str(home), "USER": "secret-user", "LOGNAME": "secret-user", "WANDB_USERNAME": "secret-user",
             "WANDB_HOST": "secret-host"}  # fmt: skip
    arguments = ["fit", f"source={walk}", f"out={tmp_path / 'out'}", *SHORT, f"logging.machine={machine}"]
    subprocess.run([sys.executable, program, *arguments], cwd=checkout, env=os.environ | names, check=True)

    files = [path for path in (tmp_path / "out" / "wandb").rglob("*") if path.is_file()]
    private = [
        "secret-program", "secret-remote", "secret-user", "secret-host", str(home), str(checkout), str(walk.parent),
        sys.executable, str(Path(wandb.__file__).parent), "device=cpu", "pytorch-lightning==",
    ]  # fmt: skip
    found = {name for name in private for path in files if name.encode() in path.read_bytes()}
    if machine:
        assert {"secret-host", "secret-program", "secret-remote", "device=cpu", sys.executable} <= found
    else:
        assert found == set() and files == [OfflineRun(tmp_path / "out").path]
        assert not any(
            record.HasField("environment") or record.run.host for record in OfflineRun(tmp_path / "out").records
        )


def test_each_fit_of_a_process_has_its_own_run(folder, walk, tmp_path):
    mine = wandb.init(mode="offline", dir=tmp_path, settings=wandb.Settings(silent=True))
    second = OfflineRun(fitted(walk, tmp_path / "second", "seed=4"))
    assert wandb.run is mine
    mine.finish()

    assert second.run.run_id not in (OfflineRun(folder).run.run_id, mine.id)
    assert second.steps[-1] == LAST and second.config["seed"] == 4 and "g_mpjpe_mm" in second.summary


def test_fits_at_once_into_one_parent_folder_keep_apart(walk, tmp_path):
    code = "import sys; from diffopt.cli import main; sys.exit(main(sys.argv[1:]))"
    fits = [
        subprocess.Popen(
            [sys.executable, "-c", code, "fit", f"source={walk}", f"out={tmp_path / 'both' / str(seed)}", *SHORT,
             f"seed={seed}"], stdout=subprocess.DEVNULL,
        )
        for seed in range(2)
    ]  # fmt: skip
    assert [each.wait() for each in fits] == [0, 0]

    first, second = (OfflineRun(tmp_path / "both" / str(seed)) for seed in range(2))
    assert first.run.run_id != second.run.run_id
    assert [(run.steps[-1], run.config["seed"], run.exit_codes) for run in (first, second)] == [
        (LAST, 0, [0]), (LAST, 1, [0]),
    ]  # fmt: skip
    assert first.summary["g_mpjpe_mm"] != second.summary["g_mpjpe_mm"]


class StopAt(pl.Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, fit, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            raise RuntimeError("out of memory")


def test_a_fit_that_goes_on_is_the_same_run_and_its_curves_are_whole(folder, walk, tmp_path, monkeypatch):
    trainer = pl.Trainer
    stop = StopAt(90)
    same = ["seed=3", "guidance.noise_start=0.4", "logging.checkpoint_every=40"]
    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="out of memory"):
        patched.setattr(
            fitting.pl,
            "Trainer",
            lambda callbacks, **rest: trainer(callbacks=[*callbacks, stop], **rest),
        )
        fitted(walk, tmp_path / "out", *same)
    cut = OfflineRun(tmp_path / ".out.work")
    assert cut.exit_codes == [1] and 80 < cut.steps[-1] <= 90

    resumed = fitted(walk, tmp_path / "out", *same)

    run, whole = OfflineRun(resumed), OfflineRun(folder)
    assert run.run.run_id == cut.run.run_id
    assert run.steps == whole.steps
    for name in ("finetune/total", "truth/g_mpjpe_mm", "pose/total"):
        values = [[row.get(name) for row in one.history] for one in (run, whole)]
        assert values[0] == values[1] and any(values[0])
    assert curves(resumed) == curves(folder) and curves(folder)[-1][0] == LAST


def test_online_without_a_key_is_refused_before_the_fit(walk, tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(DiffoptError, match=r"'logging\.wandb' is 'online'.*none is there.*offline"):
        fitted(walk, tmp_path / "out", "logging.wandb=online")
    assert list(tmp_path.iterdir()) == []

    monkeypatch.setenv("WANDB_API_KEY", "short")
    with pytest.raises(DiffoptError, match="40"):
        refuse_without_account("online")
