import json
from dataclasses import fields

import numpy as np
import pytest

from diffopt.errors import DiffoptError
from diffopt.result.result import CAMERAS_FIELDS, MOTION_FIELDS, Result

FRAMES = 5


def result(**changes) -> Result:
    random = np.random.default_rng(0)
    values = {
        "fps": 30.0,
        "body_model": "free",
        "body_pose": random.normal(size=(FRAMES, 23, 3)),
        "global_orient": random.normal(size=(FRAMES, 3)),
        "transl": random.normal(size=(FRAMES, 3)),
        "betas": random.normal(size=10),
        "joints": random.normal(size=(FRAMES, 24, 3)),
        "rotation_w2c": np.tile(np.eye(3), (FRAMES, 1, 1)),
        "translation_w2c": random.normal(size=(FRAMES, 3)),
        "focal_px": np.full(FRAMES, 500.0),
        "center_px": np.tile([320.0, 240.0], (FRAMES, 1)),
        "image_size_px": np.array([640, 480]),
        "diagnostics": {"scale": np.float32(1.5), "reprojection_px": np.arange(3.0), "gap": float("nan")},
        "config_yaml": "seed: 3\n",
        "run": {"seed": 3, "seconds": {"fit": 1.25}},
        "metrics": {"g_mpjpe_mm": 12.5},
    }
    return Result(**(values | changes))


def test_a_folder_comes_back_as_it_went(tmp_path):
    written = result()
    loaded = Result.load(written.write(tmp_path / "deep" / "walk"))

    for field in fields(Result):
        if field.name != "diagnostics":
            np.testing.assert_array_equal(getattr(loaded, field.name), getattr(written, field.name), err_msg=field.name)
    assert loaded.diagnostics == {"scale": 1.5, "reprojection_px": [0.0, 1.0, 2.0], "gap": None}
    assert loaded.num_frames == FRAMES
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["walk"]


def test_the_files_are_those_of_the_contract(tmp_path):
    folder = result().write(tmp_path / "walk")

    assert {path.name for path in folder.iterdir()} == {
        "motion.npz", "cameras.npz", "metrics.json", "diagnostics.json", "config.yaml", "run.json",
    }  # fmt: skip
    with np.load(folder / "motion.npz", allow_pickle=False) as motion:
        assert set(motion.files) == {"schema", *MOTION_FIELDS} and str(motion["schema"]) == "diffopt/motion/1"
    with np.load(folder / "cameras.npz", allow_pickle=False) as cameras:
        assert set(cameras.files) == {"schema", *CAMERAS_FIELDS}
    assert json.loads((folder / "run.json").read_text())["seconds"]["fit"] == 1.25
    assert not (result(metrics=None).write(tmp_path / "blind") / "metrics.json").exists()
    assert Result.load(tmp_path / "blind").metrics is None


def test_an_existing_result_is_replaced_only_when_asked(tmp_path):
    folder = result().write(tmp_path / "walk")
    (folder / "topview.png").write_bytes(b"picture")

    with pytest.raises(DiffoptError, match="exists already"):
        result(fps=25.0).write(folder)
    assert Result.load(folder).fps == 30.0 and (folder / "topview.png").exists()

    result(fps=25.0).write(folder, overwrite=True)
    assert Result.load(folder).fps == 25.0 and not (folder / "topview.png").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["walk"]


def test_what_is_no_result_is_never_deleted(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    (tmp_path / "link").symlink_to(result().write(tmp_path / "walk"))

    for name in ("thesis", "file", "link"):
        with pytest.raises(DiffoptError, match="choose another"):
            result().write(tmp_path / name, overwrite=True)

    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"
    assert {path.name for path in tmp_path.iterdir()} == {"thesis", "file", "link", "walk"}


@pytest.mark.parametrize("broken", ["write", "rename"])
def test_a_failure_keeps_the_old_result(tmp_path, monkeypatch, broken):
    folder = result().write(tmp_path / "walk")

    def fail(*args, **kwargs):
        raise OSError("no space left")

    if broken == "write":
        monkeypatch.setattr(np, "savez_compressed", fail)
    else:
        import os

        rename = os.rename
        monkeypatch.setattr(os, "rename", lambda a, b: rename(a, b) if str(a).endswith(".old") else fail())
    with pytest.raises(OSError, match="no space"):
        result(fps=25.0).write(folder, overwrite=True)

    assert Result.load(folder).fps == 30.0
    assert [path.name for path in tmp_path.iterdir()] == ["walk"]


def test_a_diverged_fit_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(DiffoptError, match="'transl' is not finite"):
        result(transl=np.full((FRAMES, 3), np.nan)).write(tmp_path / "walk")
    with pytest.raises(DiffoptError, match=r"'focal_px' has T=4"):
        result(focal_px=np.ones(4))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("motion.npz", None, r"motion\.npz: no such file"),
        ("cameras.npz", b"zip", r"cameras\.npz: not a readable \.npz"),
        ("run.json", b"{", r"run\.json is not JSON"),
        ("diagnostics.json", b"[]", r"diagnostics\.json holds a list"),
        ("config.yaml", None, r"config\.yaml cannot be read"),
    ],
)
def test_a_damaged_folder_is_named(tmp_path, name, content, message):
    folder = result().write(tmp_path / "walk")
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)

    with pytest.raises(DiffoptError, match=message) as caught:
        Result.load(folder)

    assert str(folder) in str(caught.value)
    with pytest.raises(DiffoptError, match="no such folder"):
        Result.load(tmp_path / "none")
