"""The command line: from an observation to a result folder, and one sentence for everything that cannot be done."""

import json
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from diffopt.body.model import load_body
from diffopt.cli import main
from diffopt.config import load_config
from diffopt.fitting import run as fitting
from diffopt.observation.observation import Observation
from diffopt.prior.mdm.network import MdmNetwork
from diffopt.result.result import Result
from diffopt.simulation.synthetic import simulate_observation, synthetic_walk
from tests.offline_run import OfflineRun

STEPS = 6
SHORT = [
    "logging.wandb=disabled",
    "logging.checkpoint_every=1",
    *(f"fit.stages.{name}.steps={STEPS}" for name in load_config().fit.stages),
]
PICTURES = {"top_view.png", "curves.png", "overlay.png", "overlay.mp4", "motion.glb"}


@pytest.fixture
def listening():
    """Ctrl-C is listened to, as in a shell; the workers of a parallel test run are deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """The observation file of a short walk, with its truth."""
    body = load_body()
    motion = synthetic_walk(body, num_frames=24, fps=30.0, seed=0)
    observation = simulate_observation(body, *motion, fps=30.0, camera="follow", seed=0)
    return observation.save(tmp_path_factory.mktemp("walk") / "walk.npz")


@pytest.fixture(scope="module")
def fitted(walk):
    """The result folder of a short fit, and what the command printed."""
    folder = walk.parent / "result"
    done = run("fit", f"source={walk}", f"out={folder}", *SHORT)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def run(*arguments):
    """The command in a process of its own, as a shell would start it."""
    whole = [sys.executable, "-m", "diffopt.cli", *arguments]
    return subprocess.run(whole, capture_output=True, text=True, timeout=300)


def refused(capsys, *arguments):
    """The sentence that a command ends with; it must be one, and exit with 2."""
    assert main([str(argument) for argument in arguments]) == 2
    printed = capsys.readouterr()
    sentence = printed.err.strip()
    assert printed.out == "" and sentence.startswith("diffopt: ") and "\n" not in sentence
    return sentence.removeprefix("diffopt: ")


def test_fit_writes_the_whole_result(fitted, walk):
    folder, printed = fitted
    kept = {"motion.npz", "cameras.npz", "metrics.json", "diagnostics.json", "config.yaml", "run.json"}
    assert kept | PICTURES | {"observation.npz", "logs"} == {path.name for path in folder.iterdir()}

    result, observation = Result.load(folder), Observation.load(walk)
    assert result.num_frames == len(observation.frame_valid) and result.fps == observation.fps
    assert result.metrics is not None and result.metrics["g_mpjpe_mm"] > 0
    assert result.metrics["initial_composition"]["g_mpjpe_mm"] > 0
    assert load_config(folder / "config.yaml").fit == load_config(overrides=SHORT).fit
    for name in PICTURES:
        assert str(folder / name) in printed.replace("\n", "")


def test_fit_leaves_nothing_else_behind(fitted, walk):
    folder, _ = fitted
    assert not list(folder.parent.glob(f".{folder.name}.work/checkpoints-*"))
    assert not list(folder.parent.glob("*.partial")) and not list(folder.parent.glob(".*.partial"))


def test_show_draws_the_pictures_anew(fitted, capsys):
    folder, _ = fitted
    picture = folder / "top_view.png"
    before = picture.read_bytes()
    picture.unlink()

    assert main(["show", str(folder)]) == 0

    assert picture.read_bytes() == before
    assert cv2.imread(str(picture)).std() > 1
    assert "top_view.png" in capsys.readouterr().out


class PressCtrlC(pl.Callback):
    """Somebody presses Ctrl-C in the middle of the guidance."""

    def on_train_batch_end(self, trainer, fit, outputs, batch, batch_idx):
        if trainer.global_step == 3 * STEPS + 4:
            signal.raise_signal(signal.SIGINT)


def test_an_interrupted_fit_goes_on_to_the_same_result(fitted, walk, listening, tmp_path, monkeypatch, capsys):
    """Ctrl-C ends with 130 and says what to do; the same command then ends bit for bit where the unbroken fit did."""
    arguments = [
        "fit",
        f"source={walk}",
        f"out={tmp_path / 'result'}",
        "pictures=false",
        *SHORT,
        "logging.wandb=offline",
    ]
    trainer = pl.Trainer
    with monkeypatch.context() as patch:
        patch.setattr(
            fitting.pl, "Trainer", lambda callbacks, **rest: trainer(callbacks=[*callbacks, PressCtrlC()], **rest)
        )
        assert main(arguments) == 130
    assert "The same command goes on" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not (tmp_path / "result").exists()
    assert OfflineRun(tmp_path / ".result.work").exit_codes == [1]
    (checkpoint,) = tmp_path.glob(".result.work/checkpoints-*/last.ckpt")
    assert 0 < torch.load(checkpoint, weights_only=True)["global_step"] <= 3 * STEPS + 4

    assert main(arguments) == 0

    resumed, unbroken = Result.load(tmp_path / "result"), Result.load(fitted[0])
    np.testing.assert_array_equal(resumed.body_pose, unbroken.body_pose)
    np.testing.assert_array_equal(resumed.transl, unbroken.transl)
    np.testing.assert_array_equal(resumed.translation_w2c, unbroken.translation_w2c)
    assert OfflineRun(tmp_path / "result").exit_codes == [0]


def test_config_prints_the_whole_configuration(capsys, tmp_path):
    assert main(["config", "seed=5"]) == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    assert load_config(printed) == load_config(overrides=["seed=5"])


def test_without_a_command_the_usage_is_printed(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2 and "usage: diffopt" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nowhere.mp4", "nowhere.npz"])
def test_fit_of_a_missing_file(name, tmp_path, capsys):
    assert str(tmp_path / name) in (told := refused(capsys, "fit", f"source={tmp_path / name}"))
    assert "no such file" in told


def test_fit_of_nothing(capsys):
    assert "source=" in refused(capsys, "fit")


def test_fit_of_an_unknown_format(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("hello")
    told = refused(capsys, "fit", f"source={tmp_path / 'notes.txt'}", f"out={tmp_path / 'out'}")
    assert str(tmp_path / "notes.txt") in told and not (tmp_path / "out").exists()


def test_fit_of_what_is_no_video(tmp_path, capsys):
    (tmp_path / "clip.mp4").write_text("hello")
    told = refused(capsys, "fit", f"source={tmp_path / 'clip.mp4'}", f"out={tmp_path / 'out'}")
    assert "not a video" in told and str(tmp_path / "clip.mp4") in told
    assert not (tmp_path / "out").exists()


def test_fit_of_what_is_no_observation(tmp_path, capsys):
    (tmp_path / "broken.npz").write_bytes(b"hello")
    np.savez(tmp_path / "other.npz", numbers=np.arange(3))
    assert "broken.npz" in refused(capsys, "fit", f"source={tmp_path / 'broken.npz'}", f"out={tmp_path / 'out'}")
    assert "docs/formats.md" in refused(capsys, "fit", f"source={tmp_path / 'other.npz'}", f"out={tmp_path / 'o'}")


def test_fit_with_another_body_than_the_observations(walk, tmp_path, capsys):
    with np.load(walk) as kept:
        arrays = dict(kept) | {"body_model": np.asarray("smpl")}
    np.savez(tmp_path / "smpl.npz", **arrays)
    told = refused(capsys, "fit", f"source={tmp_path / 'smpl.npz'}", f"out={tmp_path / 'out'}")
    assert "body.model=" in told


def test_a_result_is_not_overwritten_unasked(fitted, walk, capsys):
    folder, _ = fitted
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    told = refused(capsys, "fit", f"source={walk}", f"out={folder}", *SHORT)

    assert str(folder) in told and "overwrite=true" in told
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_folder_that_is_no_result_is_not_overwritten_even_when_asked(walk, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("meow")

    told = refused(capsys, "fit", f"source={walk}", f"out={tmp_path / 'photos'}", "overwrite=true", *SHORT)

    assert "photos" in told and (tmp_path / "photos" / "cat.jpg").read_text() == "meow"


def test_a_result_is_overwritten_when_asked(fitted, walk, tmp_path, capsys):
    out = tmp_path / "again"
    once = ["fit", f"source={walk}", f"out={out}", "pictures=false", *SHORT]
    assert main(once) == 0
    assert main([*once, "overwrite=true", "seed=1"]) == 0
    assert json.loads((out / "run.json").read_text())["seed"] == 1


def test_names_with_brackets_are_printed_as_they_are(tmp_path, capsys):
    assert "clip [bold].txt" in refused(capsys, "fit", f'source="{tmp_path}/clip [bold].txt"')


@pytest.mark.parametrize("command", ["fit", "prepare", "config", "train-prior"])
def test_a_misspelt_key(command, capsys):
    assert "did you mean 'seed'?" in refused(capsys, command, "sede=1")


def test_an_unknown_configuration_file(capsys):
    assert "nowhere.yaml" in refused(capsys, "fit", "--config", "nowhere.yaml")


def test_prepare_wants_a_video_and_a_free_npz(tmp_path, capsys):
    clip, taken = tmp_path / "clip.mp4", tmp_path / "taken.npz"
    clip.write_text("hello")
    taken.write_text("mine")
    assert "source=" in refused(capsys, "prepare")
    assert "expected a video" in refused(capsys, "prepare", "source=notes.txt", f"out={tmp_path / 'a.npz'}")
    assert "no such file" in refused(capsys, "prepare", f"source={tmp_path / 'no.mp4'}", f"out={tmp_path / 'a.npz'}")
    assert "not a video" in refused(capsys, "prepare", f"source={clip}", f"out={tmp_path / 'a.npz'}")
    assert ".npz" in refused(capsys, "prepare", f"source={clip}", f"out={tmp_path / 'a.txt'}")
    assert "overwrite=true" in refused(capsys, "prepare", f"source={clip}", f"out={taken}")
    assert taken.read_text() == "mine" and not (tmp_path / "a.npz").exists()


def test_show_of_what_is_no_result(tmp_path, capsys):
    assert "no such folder" in refused(capsys, "show", tmp_path / "nowhere")
    assert "motion.npz" in refused(capsys, "show", tmp_path)


def test_export_writes_what_is_asked_for_and_knows_no_other(fitted, tmp_path, capsys):
    folder, _ = fitted
    assert main(["export", str(folder), "--format", "bvh", "--out", str(tmp_path / "walk.bvh")]) == 0
    assert (tmp_path / "walk.bvh").read_text().startswith("HIERARCHY")
    capsys.readouterr()
    assert "fbx" in refused(capsys, "export", folder, "--format", "fbx", "--out", tmp_path / "walk.fbx")
    assert "no such folder" in refused(capsys, "export", tmp_path / "nowhere", "--format", "bvh")


def test_convert_takes_files_that_are_there_and_overwrites_none(walk, tmp_path, capsys):
    out = tmp_path / "again.npz"
    assert main(["convert", str(walk), "--out", str(out)]) == 0
    np.testing.assert_array_equal(Observation.load(out).body_pose, Observation.load(walk).body_pose)
    capsys.readouterr()
    kept = out.read_bytes()
    assert str(out) in refused(capsys, "convert", walk, "--out", out) and out.read_bytes() == kept
    assert "nowhere.pkl" in refused(capsys, "convert", tmp_path / "nowhere.pkl", "--out", tmp_path / "o.npz")


def test_train_prior_without_motions(tmp_path, capsys):
    assert "no motion" in refused(capsys, "train-prior", f"data={tmp_path}", f"out={tmp_path / 'prior'}")
    assert "nowhere" in refused(capsys, "train-prior", f"data={tmp_path / 'nowhere'}", f"out={tmp_path / 'prior'}")


def test_sample_draws_motions_into_a_new_folder(tmp_path, capsys):
    drawn = ["sample", f"out={tmp_path / 'drawn'}", "count=2", "seconds=0.2", "steps=3"]

    assert main([*drawn, "seed=4"]) == 0

    files = {path.name: path.read_bytes() for path in (tmp_path / "drawn").iterdir()}
    assert set(files) == {"motion_1.glb", "motion_2.glb", "motions.mp4", "motions.png"}
    assert files["motion_1.glb"] != files["motion_2.glb"] and set(tmp_path.iterdir()) == {tmp_path / "drawn"}
    capsys.readouterr()
    assert "choose another `out=`" in refused(capsys, *drawn)
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "drawn").iterdir()}
    assert main([*drawn, f"out={tmp_path / 'again'}", "seed=4"]) == 0
    assert (tmp_path / "again" / "motion_2.glb").read_bytes() == files["motion_2.glb"]


def test_sample_draws_from_a_published_checkpoint_too(tmp_path):
    torch.manual_seed(0)
    network = MdmNetwork(263, width=16, layers=1, heads=4, feedforward=24, text_width=12)
    torch.save(network.state_dict(), tmp_path / "model000000100.pt")
    (tmp_path / "args.json").write_text('{"arch": "trans_enc", "dataset": "humanml", "diffusion_steps": 50}')

    drawn = ["sample", f"out={tmp_path / 'drawn'}", f"prior.path={tmp_path}", "count=1", "seconds=0.3", "steps=3"]
    assert main(drawn) == 0

    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {"motion_1.glb", "motions.mp4", "motions.png"}


@pytest.mark.parametrize("override", ["count=0", "seconds=9", "seconds=0", "steps=1", "prior.path=nowhere.safetensors"])
def test_sample_of_what_cannot_be_drawn(override, tmp_path, capsys):
    told = refused(capsys, "sample", f"out={tmp_path / 'drawn'}", override)
    assert override.partition("=")[2] in told and not (tmp_path / "drawn").exists()


def test_train_pose_prior_without_motions(tmp_path, capsys):
    out = tmp_path / "poses.safetensors"
    assert "nowhere" in refused(capsys, "train-pose-prior", f"data={tmp_path / 'nowhere'}", f"out={out}")
    assert "did you mean 'steps'" in refused(capsys, "train-pose-prior", "stepz=1") and not out.exists()
