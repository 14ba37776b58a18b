"""`diffopt fit --all`: several people in one world, with one camera."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from diffopt.body.model import load_body
from diffopt.cli import main
from diffopt.commands import fit_everyone as everyone
from diffopt.commands.fit_everyone import hold_camera, into_world
from diffopt.config import load_config
from diffopt.formats.reading import read_all
from diffopt.motion.motion import Motion, turn_world
from diffopt.observation.observation import Observation
from diffopt.result.result import Result
from tests.formats import layouts
from tests.formats.test_importers import dump_npz

SHORT = ["device=cpu", "pictures=false", "logging.wandb=disabled"]
SHORT += [f"fit.stages.{name}.steps=3" for name in load_config().fit.stages]


@pytest.fixture(scope="module")
def slahmr(tmp_path_factory):
    """SLAHMR's result of two people, half a metre apart."""
    folder = tmp_path_factory.mktemp("slahmr")
    return dump_npz(folder / "clip_world_results.npz", layouts.slahmr_results(layouts.film_scene(load_body())))


@pytest.fixture(scope="module")
def together(slahmr, tmp_path_factory):
    """The results of both, and the second one before it was moved into the world of the first."""
    folder, unmoved = tmp_path_factory.mktemp("fits"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(everyone, "into_world", lambda own, *rest: unmoved.append(own) or into_world(own, *rest))
        assert main(["fit", "--all", f"source={slahmr}", f"out={folder / 'both'}", *SHORT]) == 0
    return Result.load(folder / "both" / "0"), Result.load(folder / "both" / "1"), unmoved


def test_all_have_the_same_camera_in_the_same_world(together):
    first, second, unmoved = together
    for name in ("rotation_w2c", "translation_w2c", "focal_px", "center_px"):
        np.testing.assert_array_equal(getattr(second, name), getattr(first, name))
    (own,) = unmoved
    # The camera was held: it moved as the first one's did, so that one rigid move brings every frame together.
    seen = np.einsum("tij,tkj->tki", own.rotation_w2c, own.joints) + own.translation_w2c[:, None]
    seen_moved = np.einsum("tij,tkj->tki", second.rotation_w2c, second.joints) + second.translation_w2c[:, None]
    np.testing.assert_allclose(seen_moved, seen, atol=2e-4)


def test_convert_writes_one_of_them_or_all(slahmr, tmp_path, capsys):
    one, both = tmp_path / "one.npz", tmp_path / "clip.npz"

    assert main(["convert", str(slahmr), "--from", "slahmr", "--person", "1", "--out", str(one)]) == 0
    assert main(["convert", str(slahmr), "--all", "--out", str(both)]) == 0

    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip_0.npz", "clip_1.npz", "one.npz"]
    chosen, first, second = (Observation.load(tmp_path / name) for name in ("one.npz", "clip_0.npz", "clip_1.npz"))
    np.testing.assert_array_equal(chosen.transl_c, second.transl_c)
    assert np.linalg.norm(second.transl_c - first.transl_c, axis=1) == pytest.approx(0.5, abs=1e-3)
    assert main(["convert", str(slahmr), "--from", "wham", "--out", str(tmp_path / "o.npz")]) == 2
    assert main(["convert", str(slahmr), "--person", "7", "--out", str(tmp_path / "o.npz")]) == 2
    printed = capsys.readouterr()
    assert "  camera: the body file's own" in printed.out and "  keypoints: no detections in the files" in printed.out
    told = printed.err
    assert "not laid out as wham writes it" in told and "no person '7'; found" in told


def test_a_fit_says_what_its_import_assumed(slahmr, tmp_path, capsys):
    assert main(["fit", f"source={slahmr}", f"out={tmp_path / 'alone'}", *SHORT]) == 0

    printed = capsys.readouterr().out
    assert "  camera: the body file's own" in printed and "  keypoints: no detections in the files" in printed


def test_a_camera_that_is_held_keeps_the_body_on_its_pixels(slahmr, together):
    body = load_body()
    observation = read_all(slahmr, body=body)["1"]
    world = replace(together[0], focal_px=1.1 * together[0].focal_px)

    held = hold_camera(observation, world, body)

    rest = body.rest_joints(torch.as_tensor(observation.betas).float())[0].numpy()

    def pixels(one):
        pelvis = one.transl_c + rest
        return one.focal_px[:, None] * pelvis[:, :2] / pelvis[:, 2:] + one.center_px

    np.testing.assert_allclose(pixels(held), pixels(observation), atol=0.05)
    assert (held.camera_trust, held.camera_scale) == ("known", "metric")
    np.testing.assert_array_equal(held.rotation_w2c, world.rotation_w2c)


def test_a_result_comes_back_from_any_other_world(together):
    body, result = load_body(), together[0]
    turn = torch.from_numpy(Rotation.from_euler("y", 73, degrees=True).as_matrix()).float()
    shift = torch.tensor([3.0, 0.4, -1.0])
    motion = Motion.from_axis_angle(
        *(torch.from_numpy(values) for values in (result.body_pose, result.global_orient, result.transl))
    )
    rest = body.rest_joints(torch.from_numpy(result.betas).float())[0]
    _, orient, transl = turn_world(motion, rest, turn, shift).axis_angle()
    rotation = result.rotation_w2c @ turn.numpy().T
    elsewhere = replace(
        result,
        global_orient=orient.numpy(),
        transl=transl.numpy(),
        joints=result.joints @ turn.numpy().T + shift.numpy(),
        rotation_w2c=rotation,
        translation_w2c=result.translation_w2c - rotation @ shift.numpy(),
    )

    back = into_world(elsewhere, result, body)

    np.testing.assert_allclose(back.joints, result.joints, atol=1e-4)
    np.testing.assert_allclose(back.transl, result.transl, atol=1e-4)
    np.testing.assert_allclose(
        Rotation.from_rotvec(back.global_orient).as_matrix(), Rotation.from_rotvec(result.global_orient).as_matrix(),
        atol=1e-4,
    )  # fmt: skip


def test_a_folder_of_observations_will_do_and_the_one_seen_longest_comes_first(slahmr, tmp_path, monkeypatch):
    people = read_all(slahmr)
    seen = people["0"].frame_valid.copy()
    seen[:10] = False
    (tmp_path / "people").mkdir()
    replace(people["0"], frame_valid=seen).save(tmp_path / "people" / "a.npz")
    people["1"].save(tmp_path / "people" / "b.npz")
    fitted = []
    monkeypatch.setattr(everyone, "fit", lambda config, *rest: fitted.append((config.out, rest[1].camera_trust)))
    monkeypatch.setattr(Result, "load", lambda folder: None)
    monkeypatch.setattr(everyone, "hold_camera", lambda one, *rest: replace(one, camera_trust="known"))

    assert main(["fit", "--all", f"source={tmp_path / 'people'}", f"out={tmp_path / 'out'}"]) == 0

    assert fitted == [(str(tmp_path / "out" / "b"), "estimated"), (str(tmp_path / "out" / "a"), "known")]


def test_people_of_different_videos_are_refused(slahmr, tmp_path, capsys):
    people = read_all(slahmr)
    people["0"].save(tmp_path / "a.npz")
    replace(people["1"], translation_w2c=people["1"].translation_w2c + 0.1).save(tmp_path / "b.npz")
    assert main(["fit", "--all", f"source={tmp_path}", f"out={tmp_path / 'out'}", *SHORT]) == 2
    assert "do not have the same camera" in capsys.readouterr().err
    assert main(["fit", "--all", f"source={tmp_path / 'none.pkl'}", *SHORT]) == 2
    assert "no such file" in capsys.readouterr().err
    assert Observation.load(tmp_path / "a.npz").num_frames == layouts.FRAMES
