"""`diffopt evaluate`: EMDB's layout and other systems' files in, tables out, or a sentence on what is missing."""

import io
import json
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from rich.console import Console

from diffopt.body.model import load_body
from diffopt.cli import main
from diffopt.commands.evaluate import evaluate, make_tasks
from diffopt.config import load_config, load_evaluation
from diffopt.errors import DiffoptError
from diffopt.evaluation.clip import score_clip
from diffopt.evaluation.sequences import find_sequences
from diffopt.fitting import run as fitting
from diffopt.observation.observation import Observation
from diffopt.simulation.synthetic import simulate_observation, synthetic_walk
from tests.formats import layouts
from tests.formats.test_importers import dump_joblib, dump_npy, dump_npz, dump_pickle, dump_torch

NAME = "P9_80_outdoor_walk"
SHORT = ["device=cpu", *(f"fit.stages.{name}.steps=2" for name in load_config().fit.stages)]


@pytest.fixture(scope="module")
def emdb(tmp_path_factory):
    """EMDB's folder with one take, and beside it every system's files of it; all of them know the truth."""
    folder, body = tmp_path_factory.mktemp("emdb"), load_body()
    scene = layouts.film_scene(body)
    take = folder / "EMDB" / "P9" / "80_outdoor_walk"
    systems = folder / "files" / NAME
    for path in (take, *(systems / name for name in ("glamr", "slahmr", "wham", "tram/hps", "gvhmr"))):
        path.mkdir(parents=True)
    dump_pickle(take / f"{NAME}_data.pkl", layouts.emdb(scene))
    dump_joblib(systems / "demo_phalp.pkl", layouts.phalp(scene))
    dump_torch(systems / "vitpose.pt", torch.from_numpy(scene.keypoints()).float())
    dump_npy(systems / "droid_traj.npy", layouts.droid(scene))
    dump_pickle(systems / "glamr" / "clip_seed1.pkl", layouts.glamr(scene))
    dump_npz(systems / "slahmr" / "clip_world_results.npz", layouts.slahmr_results(scene))
    dump_joblib(systems / "wham" / "wham_output.pkl", layouts.wham(scene, body))
    dump_npy(systems / "tram" / "camera.npy", np.array(layouts.tram_camera(scene), dtype=object))
    track = layouts.tram_track(scene, np.arange(layouts.FRAMES))
    dump_npy(systems / "tram" / "hps" / "hps_track_0.npy", np.array(track, dtype=object))
    dump_torch(systems / "gvhmr" / "hmr4d_results.pt", layouts.gvhmr(scene))
    return folder


@pytest.fixture(scope="module")
def walks(tmp_path_factory):
    """Two observation files with truth, one without."""
    folder, body = tmp_path_factory.mktemp("walks"), load_body()
    for seed in range(2):
        motion = synthetic_walk(body, num_frames=24, fps=30.0, seed=seed)
        observation = simulate_observation(body, *motion, fps=30.0, camera="follow", seed=seed, name=f"walk{seed}")
        observation.save(folder / f"walk{seed}.npz")
    nothing = dict.fromkeys(
        f"truth_{name}"
        for name in ("body_pose", "global_orient", "transl", "betas", "rotation_w2c", "translation_w2c", "focal_px")
    )
    replace(observation, **nothing).save(folder / "blind.npz")
    return folder


def run(config):
    """The report's JSON, and what was printed."""
    console = Console(file=io.StringIO(), width=200)
    written = evaluate(config, console)
    document = next(path for path in written if path.name == "tables.json")
    return json.loads(document.read_text()), console.file.getvalue()


def values(document, table):
    """Figures of the scored systems by name."""
    lines = next(one for one in document["tables"] if one["name"] == table)["lines"]
    return {line["system"]: line["values"] for line in lines if not line["source"]}


def without_time(document):
    """The metrics of every clip but for the time it took."""
    return [
        {name: value for name, value in one["metrics"].items() if not name.startswith("seconds")}
        for one in document["scores"]
    ]


def test_systems_that_know_the_truth_score_as_if(emdb, tmp_path):
    config = load_evaluation(
        "emdb_full", [f"dataset={emdb / 'EMDB'}", f"files={emdb / 'files'}", f"out={tmp_path}", *SHORT,
                      f"sequences=[{NAME}]", f"tables.emdb_2.sequences=[{NAME}]"],
    )  # fmt: skip

    document, printed = run(config)

    scores = values(document, "emdb_2")
    assert set(scores) == {"initial", "diffopt", "GLAMR", "SLAHMR", "WHAM", "TRAM", "GVHMR"}
    for system in ("GLAMR", "SLAHMR", "WHAM", "TRAM", "GVHMR"):
        # WHAM's world stands on the hips, which the free body has elsewhere than SMPL; GVHMR's hands are straight.
        assert scores[system]["w_mpjpe_100_mm"] < 20, system
        assert scores[system]["rte_percent"] < 2, system
    assert scores["SLAHMR"]["w_mpjpe_100_mm"] < 0.5
    # Both must find the scale by the legs of a synthetic walk, which the prior takes for a tenth faster than it is.
    assert scores["initial"]["w_mpjpe_100_mm"] < 100 and scores["diffopt"]["w_mpjpe_100_mm"] < 500
    assert "| *GVHMR* |  | 111.0 | 276.5 | 2.00 |" in printed and "EMDB-1" not in printed
    assert {path.name for path in tmp_path.iterdir()} >= {
        "tables.md",
        "emdb_2.csv",
        "emdb_2.png",
        "clips.csv",
        "records",
    }
    assert not any((tmp_path / "work").glob("*"))


def test_frames_without_truth_do_not_count(emdb):
    config = load_evaluation("emdb_short", [f"dataset={emdb / 'EMDB'}", f"files={emdb / 'files'}", "vertices=false"])
    tasks = make_tasks(config, find_sequences(emdb / "EMDB", "emdb"), emdb)
    clip = tasks[f"SLAHMR-{NAME}-00000-00040"]

    assert score_clip(clip)["metrics"]["g_mpjpe_mm"][1] == layouts.FRAMES - 3
    assert score_clip(replace(clip, start=0, stop=30))["metrics"]["g_mpjpe_mm"][1] == 30 - 3


def test_the_mesh_is_scored_where_asked_for(emdb):
    config = load_evaluation("emdb_short", [f"dataset={emdb / 'EMDB'}", f"files={emdb / 'files'}"])
    tasks = make_tasks(config, find_sequences(emdb / "EMDB", "emdb"), emdb)

    metrics = score_clip(tasks[f"SLAHMR-{NAME}-00000-00040"])["metrics"]

    assert metrics["g_mpvpe_mm"][0] < 0.5 and metrics["mpvpe_mm"][0] < 0.5


def test_files_of_another_length_are_refused(emdb, tmp_path):
    body = load_body()
    motion = synthetic_walk(body, num_frames=30, fps=30.0, seed=0)
    (tmp_path / NAME).mkdir()
    simulate_observation(body, *motion, fps=30.0, camera="follow", seed=0).save(tmp_path / NAME / "observation.npz")
    config = load_evaluation("emdb_full", [f"dataset={emdb / 'EMDB'}", f"files={tmp_path}"])
    clip = make_tasks(config, find_sequences(emdb / "EMDB", "emdb"), emdb)[f"initial-{NAME}-00000-00040"]

    with pytest.raises(DiffoptError, match="covers 30 frames but the truth of P9_80_outdoor_walk 40"):
        score_clip(clip)


def test_without_a_camera_among_the_files_the_true_one_is_given_and_said_so(emdb, tmp_path):
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "demo_phalp.pkl").symlink_to(emdb / "files" / NAME / "demo_phalp.pkl")
    config = load_evaluation("emdb_full", [f"dataset={emdb / 'EMDB'}", f"files={tmp_path}"])
    clip = make_tasks(config, find_sequences(emdb / "EMDB", "emdb"), emdb)[f"initial-{NAME}-00000-00040"]

    assert score_clip(clip)["true_camera_used"]


def test_any_folder_of_observations_with_truth_will_do(walks, tmp_path):
    config = load_evaluation(None, [f"dataset={walks}", f"out={tmp_path}", "seeds=2", *SHORT])

    document, printed = run(config)

    assert {one["sequence"] for one in document["scores"]} == {"walk0", "walk1"}
    assert [one["seed"] for one in document["scores"] if one["row"] == "diffopt"] == [0, 1, 0, 1]
    assert 0 < values(document, "world")["initial"]["g_mpjpe_mm"] < 2000
    assert "±" in printed and "6/6" in printed
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "records").iterdir()}
    run(config)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "records").iterdir()} == before


def test_only_the_row_whose_recipe_changed_is_fitted_again(walks, tmp_path):
    settings = [f"dataset={walks}", f"out={tmp_path}", "sequences=[walk0]", "segment_frames=12", "max_segments=1"]
    settings += ["device=cpu", "max_steps=1", "rows.other.kind=fit"]

    def fitted(recipe):
        document, _ = run(load_evaluation(None, [*settings, f"rows.other.recipe={recipe}"]))
        records = {row: tmp_path / "records" / f"{row}-walk0-00000-00012-seed0.json" for row in ("diffopt", "other")}
        return {row: path.stat().st_mtime_ns for row, path in records.items()}, without_time(document)

    first, (_, full, bypassed) = fitted("[ablations/no_mdm]")
    second, (_, again, tensors) = fitted("[ablations/learnable_tensors]")

    assert bypassed != full and tensors != bypassed and again == full
    assert second["diffopt"] == first["diffopt"] and second["other"] > first["other"]
    assert fitted("[ablations/learnable_tensors]")[0] == second


def test_processes_find_the_same_as_one_process(walks, tmp_path):
    settings = [f"dataset={walks}", "segment_frames=12", "max_segments=1", *SHORT]
    alone, _ = run(load_evaluation(None, [*settings, f"out={tmp_path / 'serial'}"]))
    parallel = ["parallel.engine=processes", "parallel.workers=2"]
    together, _ = run(load_evaluation(None, [*settings, f"out={tmp_path / 'processes'}", *parallel]))

    assert without_time(together) == without_time(alone)
    assert [(one["start"], one["stop"]) for one in alone["scores"]] == [(0, 12)] * 4


def test_a_fit_whose_process_is_killed_goes_on_where_it_was(walks, tmp_path, monkeypatch):
    settings = [f"dataset={walks}", "segment_frames=12", "max_segments=1", *SHORT, "fit.stages.finetune.steps=60"]
    settings += ["logging.checkpoint_every=5"]
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "diffopt.cli", "evaluate", *settings, f"out={killed}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(killed.glob("work/*/checkpoints-*/last.ckpt")):
        time.sleep(0.01)
    process.kill()
    process.wait()
    (checkpoint,) = killed.glob("work/*/checkpoints-*/last.ckpt")
    reached = torch.load(checkpoint, weights_only=True)["global_step"]
    begun = []
    trainer = pl.Trainer
    monkeypatch.setattr(
        fitting.pl, "Trainer", lambda callbacks, **rest: trainer(callbacks=[*callbacks, FirstStep(begun)], **rest)
    )

    resumed, _ = run(load_evaluation(None, [*settings, f"out={killed}"]))
    unbroken, _ = run(load_evaluation(None, [*settings, f"out={tmp_path / 'unbroken'}"]))

    assert 0 < reached < 68 and begun == [reached, 0, 0, 0]
    assert without_time(resumed) == without_time(unbroken)
    assert not list(killed.glob("work/*"))


class FirstStep(pl.Callback):
    """Notes at which step each fit begins."""

    def __init__(self, steps):
        self.steps = steps

    def on_train_start(self, trainer, fit):
        self.steps.append(trainer.global_step)


def test_a_failing_sequence_is_reported_and_does_not_stop_the_others(walks, tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("walk0", "walk1"):
        (tmp_path / "data" / f"{name}.npz").write_bytes((walks / f"{name}.npz").read_bytes())
    damaged = replace(Observation.load(walks / "walk1.npz"), body_model="smpl")
    damaged.save(tmp_path / "data" / "walk1.npz")

    document, printed = run(load_evaluation(None, [f"dataset={tmp_path / 'data'}", f"out={tmp_path / 'out'}", *SHORT]))

    assert {one["sequence"] for one in document["scores"]} == {"walk0"}
    assert (
        len(document["failures"]) == 2 and "body.model is 'free'" in document["failures"]["initial-walk1-00000-00024"]
    )
    assert "no score of walk1" not in printed and printed.count("failed initial-walk1-00000-00024") == 1


def test_a_listed_sequence_that_the_dataset_lacks_is_said_and_stands_as_missing(emdb, tmp_path):
    listed = [NAME, "P4_37_outdoor_run_circle"]
    settings = [f"tables.{name}.sequences=[{','.join(listed)}]" for name in ("table_2", "table_3")]
    settings += [f"dataset={emdb / 'EMDB'}", f"files={emdb / 'files'}", f"out={tmp_path}", "front_end=[none]"]

    document, printed = run(load_evaluation("emdb_short", settings))

    said = printed.split("clips to score")[0]
    for table in ("table_2", "table_3"):
        assert f"missing in {emdb / 'EMDB'}, and so in {table}: P4_37_outdoor_run_circle\n" in said
    table = document["tables"][0]
    lines = {(line["system"], line["source"] == ""): line for line in table["lines"]}
    assert lines["SLAHMR", True]["missing"] == ["P4_37_outdoor_run_circle"]
    assert set(lines["SLAHMR", True]["by_sequence"]) == {NAME}
    assert lines["SLAHMR", False]["by_sequence"]["P4_37_outdoor_run_circle"]["g_mpvpe_mm"] == 186.6
    row = "| P4_37_outdoor_run_circle | missing | 462.8 | missing | 169.4 | missing | missing | missing | 130.8 |"
    assert row in printed


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ([], "give a folder"),
        (["dataset=nowhere"], "nowhere: no such folder"),
        (["dataset={walks}", "source=a.mp4"], "source=a.mp4"),
        (["dataset={walks}", "protocol=3dpw"], "choose one of emdb, observations"),
        (["dataset={walks}", "protocol=emdb", "rows.initial.files=[a]", "rows.diffopt.files=[a]"], "holds no EMDB's"),
        (["dataset={walks}", "protocol=emdb"], "rows.initial.files"),
        (["dataset={walks}", "sequences=[run]"], "there are walk0, walk1"),
        (
            ["dataset={walks}", "tables={world: {sequences: [run]}, body_and_camera: {sequences: [run]}}"],
            "found walk0, walk1",
        ),
        (["dataset={walks}", "rows.diffopt.kind=guess"], "choose one of fit, initial, given"),
        (["dataset={walks}", "tables.world.mean_over=all"], "choose one of frames, sequences"),
        (["dataset={walks}", "rows.initial.files=['{nam}']"], "expected {sequence}, {subject} or {take}"),
        (["dataset={walks}", "rows.initial.files=[a]", "rows.diffopt.files=[b]"], "no file of any system"),
        (["dataset={walks}", "seeds=0"], "'seeds' is 0"),
        (["dataset={walks}", "max_steps=0"], "'max_steps' is 0"),
        (["dataset={walks}", "rows.diffopt.recipe=[nowhere]"], "nowhere: no such configuration"),
        (["dataset={walks}", "rows.a.recipe=[paper]"], "'rows.a.recipe': kind 'given' fits nothing"),
        (["dataset={walks}", "tables.world.against=full"], "Table 'world' names full; expected some of its rows"),
    ],
)
def test_what_cannot_be_evaluated_is_told_in_a_sentence(overrides, told, walks, tmp_path, capsys):
    filled = [one.replace("{walks}", str(walks)) for one in overrides]
    assert main(["evaluate", *filled, f"out={tmp_path / 'out'}"]) == 2
    sentence = capsys.readouterr().err.strip()
    assert told in sentence and "\n" not in sentence
