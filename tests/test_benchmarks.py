"""The accuracy benchmark on a small pack, its tables and pictures; the files that other benchmarks write."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
import yaml
from accuracy import make_case
from accuracy_plots import write_plots
from accuracy_rows import _one_euro
from accuracy_table import write_tables
from emdb_layout import main as print_tables
from emdb_layout import write_front_end
from keypoint_errors import main as measure_keypoints
from PIL import Image
from published import measure as measure_answer
from published import read_answer
from right_person import main as find_the_right_person
from worst_cases import main as draw_worst_cases
from worst_cases import worst

from diffopt.body.model import load_body
from diffopt.body.skeleton import BODY_JOINTS
from diffopt.evaluation.clip import given_world
from diffopt.formats.reading import read
from diffopt.mocap.reading import read_motions
from diffopt.simulation.front_end_errors import DETECTORS
from diffopt.simulation.synthetic import simulate_observation
from diffopt.simulation.walk import synthetic_walk
from tests.formats import layouts
from tests.frontend.test_people import rendered
from tests.frontend.worlds import standing_body, write_film

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "accuracy.py"
PLAN = {
    "frames": 30,
    "families": {
        "walk": {"clip": "walk", "start": 0, "cameras": ["follow"]},
        "chained": {"clip": ["walk", "two"], "start": 10, "frames": 60, "cameras": ["pan"]},
    },
    "levels": {"usual": 1.0},
    "rows": {
        "naive": {"composition": "naive"},
        "true_scale": {"composition": "true_scale"},
        "gaussian": {"composition": "gaussian"},
        "one_euro": {"composition": "one_euro"},
        "full": {"overrides": [f"fit.stages.{s}.steps=2" for s in ("pose", "warmup", "guidance", "finetune")]},
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
        name=["walk", "two"], subject=["a", "b"], description=["", ""], start=[0, 50], length=[50, 50],
        fps=30.0, rotvec=np.concatenate(rotvec), trans=np.concatenate(trans), offsets=np.stack(offsets),
    )  # fmt: skip
    (folder / "plan.yaml").write_text(yaml.safe_dump(PLAN))
    return folder


@pytest.fixture(scope="module")
def cases(pack):
    """The options that name the pack's cases and the folder of their records."""
    return [str(pack / "walks.npz"), "--plan", str(pack / "plan.yaml"), "--seeds", "0", "--out", str(pack / "out")]


def measure(cases):
    done = subprocess.run([sys.executable, str(SCRIPT), *cases], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def measured(cases):
    """What a first run prints."""
    return measure(cases)


def test_the_accuracy_benchmark_fills_its_table_and_goes_on_where_it_stopped(pack, cases, measured):
    table = {line.split("|")[1].strip(): line.split("|") for line in measured.splitlines() if line.startswith("| ")}
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

    again = measure(cases)
    assert "1/" not in again.split("Means")[0]
    assert again.split("Means")[1] == measured.split("Means")[1]


def test_every_clip_is_filmed_in_its_own_way(pack):
    clips = {clip.name: clip for clip in read_motions(pack / "walks.npz")}
    plan = PLAN | {"families": {name: PLAN["families"]["walk"] | {"clip": name} for name in clips}}

    first, second = (make_case(plan, clips, name, 0, "usual") for name in clips)

    assert first.truth_focal_px[0] != second.truth_focal_px[0]
    assert not np.allclose(first.truth_betas, second.truth_betas)
    np.testing.assert_array_equal(first.keypoints_px, make_case(plan, clips, first.name, 0, "usual").keypoints_px)


def test_the_worst_case_is_fitted_again_and_drawn(pack, cases, measured):
    draw_worst_cases([*cases, "--count", "1", "--docs", str(pack / "docs.png")])

    (panel,) = (pack / "out" / "worst_cases").glob("*-0.png")
    for path in (panel, pack / "docs.png"):
        with Image.open(path) as picture:
            assert picture.width == 1200
            assert len(picture.convert("RGB").getcolors()) > 8
        assert path.stat().st_size < 250_000


def test_worst_cases_ask_for_records_that_are_not_there(cases, tmp_path):
    with pytest.raises(SystemExit, match=r"run accuracy\.py first"):
        draw_worst_cases([*cases[:-1], str(tmp_path)])


def test_a_case_that_is_hard_for_the_composition_too_is_not_the_worst():
    assert worst({("run", 0): (900.0, 1000.0), ("walk", 0): (60.0, 50.0), ("walk", 1): (50.0, 60.0)}, 2) == [
        ("walk", 0),
        ("run", 0),
    ]


def known_records():
    """Global errors; the full recipe alone was measured on the run."""
    errors = {
        "full": {("walk", 0): 100.0, ("walk", 1): 100.0, ("run", 0): 400.0},
        "no_mdm": {("walk", 0): 150.0, ("walk", 1): 90.0},
        "learnable_tensors": {("walk", 0): 900.0},
        "true_scale": {("walk", 0): 120.0, ("run", 0): 300.0},
    }
    return {
        (*case, row): {"g_mpjpe_mm": value, "w_mpjpe_100_mm": 2 * value}
        for row, values in errors.items()
        for case, value in values.items()
    }


def test_the_papers_table_compares_over_the_cases_that_both_have(tmp_path, capsys):
    write_tables(known_records(), ["full", "no_mdm", "learnable_tensors", "vposer"], tmp_path)

    lines = capsys.readouterr().out.split("Table 5")[1].splitlines()[4:]
    table = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    assert table == [
        ["Learnable tensors", "1", "900.0", "1", "9.00", "100%", "871.5", "3.02"],
        ["w/o MDM step", "2", "120.0 ± 30.0", "2", "1.20", "50%", "683.6", "2.37"],
        ["Full", "3", "200.0 ± 75.0", "3", "1.00", "", "288.4", "1.00"],
    ]


def test_medians_stand_beside_the_means(tmp_path, capsys):
    write_tables(known_records(), ["full"], tmp_path)

    means, medians = (part.splitlines()[4].split(" | ") for part in capsys.readouterr().out.split("over cases")[1:3])
    assert means[2:4] == ["200 (75)", "400 (150)"]
    assert medians[2:4] == ["100", "200"]


def test_plots_show_what_there_is(tmp_path):
    records, rows = known_records(), ["no_mdm", "full", "vposer", "true_scale"]

    assert [path.name for path in write_plots(records, rows, tmp_path)] == ["rows.png", "cases.png"]
    assert all((tmp_path / name).stat().st_size > 5000 for name in ("rows.png", "cases.png"))
    alone = {key: record for key, record in records.items() if key[2] == "no_mdm"}
    assert [path.name for path in write_plots(alone, rows, tmp_path / "alone")] == ["rows.png"]
    assert write_plots({}, rows, tmp_path / "none") == []


def rows_of(pack):
    return [line.split(",") for line in (pack / "out" / "records.csv").read_text().splitlines()[1:]]


def test_smoothing_keeps_rotations_rotations():
    still = np.tile(roma.rotvec_to_rotmat(torch.tensor([0.3, 0.2, 0.1])).reshape(1, 9).numpy(), (20, 1))
    assert np.allclose(_one_euro(still, 30.0), still)


@pytest.mark.parametrize(
    ("seed", "strength", "expected"), [(0, 0.0, 0.03), (1, 1.0, 0.1), (5, 1.0, 0.1), (47, 1.0, 0.1)]
)
def test_the_simulated_tools_files_are_read_however_imprecise_the_tools(seed, strength, expected, tmp_path):
    body = load_body()
    walk = synthetic_walk(body, 60, 30.0, seed=0)
    seen = simulate_observation(body, *walk, fps=30.0, camera="follow", seed=seed, errors=DETECTORS.scaled(strength))
    write_front_end(tmp_path, "walk", seen, body)

    notes = json.loads(read([tmp_path / "walk" / name for name in ("demo_phalp.pkl", "vitpose.pt")]).provenance)

    assert len(notes["check"]) == 2 and max(notes["check"].values()) < expected
    assert ("imprecise" in notes) == (strength == 1)


def test_the_papers_tables_are_printed_of_a_folder_in_emdbs_layout(tmp_path, capsys):
    print_tables(["--out", str(tmp_path), "--sequences", "1", "--frames", "16", "max_steps=1", "device=cpu"])

    head, *tables = capsys.readouterr().out.split("\n## DiffOpt paper, ")
    assert [table.split(":")[0] for table in tables] == [f"table {number}" for number in (2, 3, 4, 5, 5)]
    assert "and so in table_2: P1_14_outdoor_climb, P1_16_outdoor_warmup" in head
    rows = [
        [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| ")]
        for table in tables
    ]
    errors = ["MPJPE (mm)", "G-MPJPE (mm)", "MPVPE (mm)", "G-MPVPE (mm)"]
    for table in (rows[0], *rows[2:]):
        assert table[0] == ["system", "clips", *errors, "source"]
    assert [row[1] for row in rows[0] if row[0] == "P1_14_outdoor_climb"] == ["missing"] * 4
    assert rows[1][0] == ["system", "clips", "s per 100 frames", "source"]
    for table, prefix in ((rows[3], ""), (rows[4], "paper_")):
        # Each row fits in its own way, and the paper's figures stand below.
        ours = {row[0].removeprefix(prefix): row[3].split(" ")[0] for row in table if row[-1] == "this run"}
        assert len(ours) == 8 and len({*ours.values()}) > 3
        (mdm,) = [row for row in table if row[0] == f"{prefix}no_mdm" and row[-1] != "this run"]
        assert mdm[2:4] == ["81.8 (-0.2)", "683.6 (+395.2)"]


def test_a_published_answer_is_read_as_a_users_file_would_be_and_measured(tmp_path):
    answer = layouts.glamr(layouts.film_scene(load_body()))
    person = answer["person_data"][0]

    def found(name, person, camera):
        np.savez(tmp_path / name, glamr_cam_pose=camera, **person)
        observation = read_answer(tmp_path / name, tmp_path)
        return measure_answer(given_world(observation, load_body()), observation)

    locked = found("locked.npz", person, answer["cam_pose"])
    # The same with a world that slips away under the person, 40 mm a frame.
    slip = 0.04 * np.arange(layouts.FRAMES)[:, None] * [1.0, 0.0, 0.0]
    camera = answer["cam_pose"].copy()
    camera[:, :3, 3] -= np.einsum("tij,tj->ti", camera[:, :3, :3], slip)
    slipping = found("slipping.npz", {**person, "root_trans_world": person["root_trans_world"] + slip}, camera)

    feet = "feet that are down move, mm per frame"
    assert locked[feet] < 10  # heels that lift off are near the floor at first
    assert 30 < slipping[feet] < 50
    for one in (locked, slipping):
        assert one["reprojection, % of the person's size"] < 0.5
    assert 0.5 < locked["path, m"] < 2


def test_the_right_person_is_told_from_the_wrong_one(tmp_path, monkeypatch, capsys):
    """The large one in the middle is followed by default, the other when named; boxes beside both are nobody's."""
    picture, boxes = rendered([(0.0, 0.0, 3.0), (-1.6, 0.1, 5.0)])
    write_film(tmp_path / "pair.mp4", [picture] * 6)
    frames, beside = np.arange(6), boxes[0] + [200, 0, 200, 0]
    named = {"main": boxes[0], "other": boxes[1], "shifted": np.where(frames[:, None] < 4, boxes[0], beside)}
    reference = {f"{who}_boxes_px": np.broadcast_to(box, (6, 4)) for who, box in named.items()}
    np.savez(tmp_path / "pair.boxes.npz", **reference, **{f"{who}_frames": frames for who in named})
    monkeypatch.setattr(sys, "argv", ["right_person.py", str(tmp_path)])
    find_the_right_person()

    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    shares = {line[1]: line[3:6] for line in lines}
    assert shares["main"] == ["100%", "100%", "100%"]
    assert shares["other"] == ["0%", "100%", "100%"]
    assert shares["shifted"] == ["67%", "67%", "67%"]


def test_errors_of_keypoints_are_told_in_the_size_of_the_person(tmp_path, monkeypatch, capsys):
    """A truth that is shifted by a fifth of the body's height is gross for whoever reads it."""
    picture, joints_px = standing_body()
    write_film(tmp_path / "cam01.mp4", [picture] * 6)
    coco = [15, 15, 15, 15, 15, 16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8]
    joints = np.concatenate([(joints_px[coco] - 320) / 700 * 3.2, np.full((17, 1), 3.2)], axis=1)
    camera = {"K": [[[700.0, 0, 320], [0, 700, 320], [0, 0, 1]]], "dist": np.zeros((1, 5)), "R": np.eye(3)[None]}
    monkeypatch.setattr(sys, "argv", ["keypoint_errors.py", str(tmp_path)])
    for shift in (0.0, 0.34):
        moved = np.broadcast_to(np.add(joints, [shift, 0, 0]), (6, 17, 3))
        np.savez(tmp_path / "truth.npz", joints3d=moved, t=np.zeros((1, 3)), **camera)
        measure_keypoints()

    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("cam01")]
    median, gross = (np.array([float(line[at].rstrip("%")) for line in lines]) for at in (2, 4))
    assert [line[1] for line in lines] == ["BlazePose", "both"] * 2
    assert (median[:2] < 4).all() and (gross[:2] < 10).all()
    assert (np.abs(median[2:] - 20) < 4).all() and (gross[2:] > 90).all()
