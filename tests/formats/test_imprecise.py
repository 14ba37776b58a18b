"""A tool that is imprecise is not a file with a wrong convention: read, and noted; the two together are refused."""

import json

import pytest
import torch

from diffopt.errors import DiffoptError
from diffopt.formats import check
from diffopt.formats.reading import read
from diffopt.formats.view import Misfit
from tests.formats import layouts
from tests.formats.layouts import SMPL_PELVIS
from tests.formats.test_importers import dump_joblib, dump_torch


def estimated(scene, depth_ratio):
    """PHALP's file of an estimator that finds everyone further away, so too small in the image."""
    content = layouts.phalp(scene)
    for entry in content.values():
        pelvis = entry["camera"][0] + SMPL_PELVIS
        entry["camera"][0] = pelvis * [1, 1, depth_ratio] - SMPL_PELVIS
    return content


def vitpose(scene, tmp_path):
    return dump_torch(tmp_path / "vitpose.pt", torch.from_numpy(scene.keypoints()).float())


def test_a_body_that_is_too_far_away_is_read_and_noted(tmp_path, scene):
    observation = read(dump_joblib(tmp_path / "demo.pkl", estimated(scene, 1.22)))

    notes = json.loads(observation.provenance)
    assert 0.06 < notes["check"]["the file's own boxes"] < 0.10
    assert "the file's own boxes (7% of the person's size away)" in notes["imprecise"]


def test_a_body_that_falls_on_its_2d_is_not_called_imprecise(tmp_path, scene):
    observation = read([dump_joblib(tmp_path / "demo.pkl", estimated(scene, 1.05)), vitpose(scene, tmp_path)])

    assert "imprecise" not in json.loads(observation.provenance)


def test_a_body_that_is_far_off_is_refused_though_no_convention_fits(tmp_path, scene):
    with pytest.raises(DiffoptError, match=r"at most 10% is expected of an imprecise tool.*No other convention fits"):
        read(dump_joblib(tmp_path / "demo.pkl", estimated(scene, 1.6)))


@pytest.mark.parametrize("depth_ratio", [0.87, 1.13])
def test_an_imprecise_tools_wrong_convention_is_named_all_the_same(tmp_path, scene, depth_ratio):
    content = estimated(scene, depth_ratio)
    for entry in content.values():
        entry["camera"][0] = entry["camera"][0] + SMPL_PELVIS

    with pytest.raises(DiffoptError, match="with another convention: root position instead of transl"):
        read([dump_joblib(tmp_path / "demo.pkl", content), vitpose(scene, tmp_path)])


def test_what_is_refused_never_looks_as_if_it_were_allowed(tmp_path, scene, monkeypatch):
    monkeypatch.setattr(check, "misfit", lambda view, model: Misfit(0.1001, 0.1001))

    with pytest.raises(DiffoptError, match=r"it is 11% of the person's size away \(at most 10% is expected"):
        read(dump_joblib(tmp_path / "demo.pkl", layouts.phalp(scene)))
