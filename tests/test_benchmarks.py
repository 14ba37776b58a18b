"""The accuracy benchmark on a small pack of its own, on from where it stopped; the files that the others write."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
import yaml

from diffopt.body.model import load_body
from diffopt.body.skeleton import BODY_JOINTS
from diffopt.data.formats import read
from diffopt.data.front_end_errors import DETECTORS
from diffopt.data.synthetic import simulate_observation
from diffopt.data.walk import synthetic_walk

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "accuracy.py"
PLAN = {
    "frames": 30,
    "families": {
        "walk": {"clip": "one", "start": 0, "cameras": ["follow"]},
        "chained": {"clip": ["one", "two"], "start": 10, "frames": 60, "cameras": ["pan"]},
    },
    "levels": {"usual": 1.0},
    "rows": {
        "naive": {"composition": "naive"},
        "true_scale": {"composition": "true_scale"},
        "gaussian": {"composition": "gaussian"},
        "one_euro": {"composition": "one_euro"},
        "fit": {"overrides": [f"fit.stages.{s}.steps=2" for s in ("mimic", "pose", "warmup", "guidance", "finetune")]},
    },
}


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """Two synthetic walks in the layout of the motion pack, and the plan."""
    body, folder = load_body(), tmp_path_factory.mktemp("pack")
    rotvec, trans, offsets = [], [], []
    for seed in (0, 1):
        pose, orient, transl, betas = synthetic_walk(body, 50, 30.0, seed=seed)
        skeleton = body.skeleton(betas)
        rotvec.append(torch.cat([orient[:, None], pose[:, : BODY_JOINTS - 1]], dim=1).float().numpy())
        trans.append((transl.float() + skeleton[0]).numpy())
        offsets.append(torch.cat([torch.zeros(1, 3), skeleton[1:BODY_JOINTS]]).numpy())
    np.savez(
        folder / "walks.npz",
        name=["one", "two"], subject=["a", "b"], description=["", ""], start=[0, 50], length=[50, 50],
        fps=30.0, rotvec=np.concatenate(rotvec), trans=np.concatenate(trans), offsets=np.stack(offsets),
    )  # fmt: skip
    (folder / "plan.yaml").write_text(yaml.safe_dump(PLAN))
    return folder


def test_the_accuracy_benchmark_fills_its_table_and_goes_on_where_it_stopped(pack):
    command = [sys.executable, str(SCRIPT), str(pack / "walks.npz"), "--plan", str(pack / "plan.yaml"), "--seeds", "0"]
    command += ["--out", str(pack / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    table = {line.split("|")[1].strip(): line.split("|") for line in done.stdout.splitlines() if line.startswith("| ")}
    assert set(PLAN["rows"]) <= table.keys()
    scores = [line for line in (pack / "out" / "records.csv").read_text().splitlines() if ",naive," in line]
    assert len(scores) == 2
    # An unknown scale ruins a naive composition where the camera travels, and nothing where it only turns.
    naive, oracle = (
        {row[0]: float(row[3]) for row in rows_of(pack) if row[2] == name} for name in ("naive", "true_scale")
    )
    assert naive["walk"] > 2 * oracle["walk"]
    assert naive["chained"] == pytest.approx(oracle["chained"], rel=0.01)
    jitter = {row[2]: float(row[9]) for row in rows_of(pack) if row[0] == "walk"}
    assert jitter["gaussian"] < 0.5 * jitter["true_scale"]
    assert jitter["one_euro"] < 0.5 * jitter["true_scale"]

    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert "1/" not in again.stdout.split("Means")[0]
    assert again.stdout.split("Means")[1] == done.stdout.split("Means")[1]


def rows_of(pack):
    return [line.split(",") for line in (pack / "out" / "records.csv").read_text().splitlines()[1:]]


def test_smoothing_keeps_rotations_rotations():
    sys.path.insert(0, str(SCRIPT.parent))
    from accuracy_rows import _one_euro

    still = np.tile(roma.rotvec_to_rotmat(torch.tensor([0.3, 0.2, 0.1])).reshape(1, 9).numpy(), (20, 1))
    assert np.allclose(_one_euro(still, 30.0), still)


@pytest.mark.parametrize(
    ("seed", "strength", "expected"), [(0, 0.0, 0.03), (1, 1.0, 0.1), (5, 1.0, 0.1), (47, 1.0, 0.1)]
)
def test_the_simulated_tools_files_are_read_however_imprecise_the_tools(seed, strength, expected, tmp_path):
    sys.path.insert(0, str(SCRIPT.parent))
    from emdb_layout import write_front_end

    body = load_body()
    walk = synthetic_walk(body, 60, 30.0, seed=0)
    seen = simulate_observation(body, *walk, fps=30.0, camera="follow", seed=seed, errors=DETECTORS.scaled(strength))
    write_front_end(tmp_path, "walk", seen, body)

    notes = json.loads(read([tmp_path / "walk" / name for name in ("demo_phalp.pkl", "vitpose.pt")]).provenance)

    assert len(notes["check"]) == 2 and max(notes["check"].values()) < expected
    assert ("imprecise" in notes) == (strength == 1)
