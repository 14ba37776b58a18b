"""MDM's network against the reference's own answers on random weights (oracles/make_oracles.py)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from diffopt.prior.mdm.network import MdmNetwork, sinusoids

VARIANTS = {
    "no_text": {},
    "text": {"text_width": 4},
    "text_mask_frames": {"text_width": 4},
    "decoder": {"text_width": 4, "arch": "trans_dec"},
    "decoder_token_mask_frames": {"text_width": 4, "arch": "trans_dec", "leading_token": True},
}


@pytest.fixture(scope="module")
def oracle():
    with np.load(Path(__file__).parents[1] / "oracles" / "mdm.npz") as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}


def network_of(oracle, name, **changes):
    network = MdmNetwork(features=5, width=8, layers=2, heads=4, feedforward=12, **(VARIANTS[name] | changes))
    prefix = f"{name}/weights/"
    network.load_state_dict(
        {key.removeprefix(prefix): value for key, value in oracle.items() if key.startswith(prefix)}
    )
    return network


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_answers_equal_the_reference(oracle, name, dtype, tolerance):
    network = network_of(oracle, name).to(dtype)
    valid = oracle["valid"] if name.endswith("mask_frames") else None
    expected = oracle[f"{name}/answer_{str(dtype).removeprefix('torch.')}"]

    training_path = network.train()(oracle["noised"].to(dtype), oracle["levels"], valid)
    with torch.no_grad():
        fast_path = network.eval()(oracle["noised"].to(dtype), oracle["levels"], valid)

    torch.testing.assert_close(training_path, expected, rtol=0, atol=tolerance)
    torch.testing.assert_close(fast_path, expected, rtol=0, atol=tolerance)


def test_the_text_layers_bias_remains_without_text(oracle):
    network = network_of(oracle, "text")
    before = network(oracle["noised"], oracle["levels"])

    torch.nn.init.zeros_(network.embed_text.bias)

    assert (network(oracle["noised"], oracle["levels"]) - before).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["text", "decoder_token_mask_frames"])
def test_masked_frames_change_nothing(oracle, name):
    network = network_of(oracle, name)
    changed = torch.where(oracle["valid"][..., None], oracle["noised"], 7.0)

    answers = [network(noised, oracle["levels"], oracle["valid"]) for noised in (oracle["noised"], changed)]

    torch.testing.assert_close(answers[0][oracle["valid"]], answers[1][oracle["valid"]])
    alone = network(oracle["noised"][1:, :4], oracle["levels"][1:])
    torch.testing.assert_close(answers[0][1:, :4], alone)


def test_the_gradient_equals_finite_differences(oracle):
    network = network_of(oracle, "text").double()
    noised = oracle["noised"].double().requires_grad_()

    assert torch.autograd.gradcheck(lambda noised: network(noised, oracle["levels"], oracle["valid"]), noised)


def test_sinusoids_stand_in_alternating_columns():
    table = sinusoids(1000, 6)

    assert table[3, 0] == pytest.approx(np.sin(3), abs=1e-6)
    assert table[3, 1] == pytest.approx(np.cos(3), abs=1e-6)
    assert table[999, 2] == pytest.approx(np.sin(999 * 10000 ** (-2 / 6)), abs=1e-4)
    assert table[999, 5] == pytest.approx(np.cos(999 * 10000 ** (-4 / 6)), abs=1e-4)
