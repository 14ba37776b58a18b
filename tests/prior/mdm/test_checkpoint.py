"""Checkpoints in the published layouts, written here from the oracle's weights (oracles/make_oracles.py)."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from diffopt.prior.mdm.checkpoint import PADDED_FRAMES, load_denoiser
from diffopt.prior.schedule import NoiseSchedule

ARGUMENTS = {"arch": "trans_enc", "layers": 2, "latent_dim": 8, "dataset": "humanml", "cond_mask_prob": 0.1}
LEGACY_1000 = {**ARGUMENTS, "diffusion_steps": 1000, "noise_schedule": "cosine"}
MASKED_50 = {**ARGUMENTS, "diffusion_steps": 50, "noise_schedule": "cosine", "mask_frames": True}


@pytest.fixture(scope="module")
def oracle():
    with np.load(Path(__file__).parents[1] / "oracles" / "mdm.npz") as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}


@pytest.fixture
def weights(oracle):
    prefix = "text_mask_frames/weights/"
    return {key.removeprefix(prefix): value for key, value in oracle.items() if key.startswith(prefix)}


def write(folder, stored, arguments, name="model000000100.pt"):
    torch.save(stored, folder / name)
    (folder / "args.json").write_text(json.dumps(arguments))
    return folder / name


def as_trained(weights):
    """What the training script leaves in the file besides what is used: position tables, perhaps the text encoder."""
    tables = {
        "sequence_pos_encoder.pe": torch.zeros(5000, 1, 8),
        "embed_timestep.sequence_pos_encoder.pe": torch.zeros(5000, 1, 8),
    }
    return {**weights, **tables, "clip_model.positional_embedding": torch.zeros(77, 4)}


@pytest.mark.parametrize(
    "layout",
    [
        lambda weights: weights,
        as_trained,
        lambda weights: {"model": {key: value + 1 for key, value in weights.items()}, "model_avg": as_trained(weights)},
        lambda weights: {"model": as_trained(weights)},
    ],
)
def test_every_layout_answers_like_the_reference(oracle, weights, tmp_path, layout):
    path = write(tmp_path, layout(weights), {**MASKED_50, "diffusion_steps": 1000})

    for place in (path, str(tmp_path)):
        denoiser = load_denoiser(place)
        clean = denoiser.denoise(oracle["noised"], oracle["levels"], oracle["valid"])
        torch.testing.assert_close(clean, oracle["text_mask_frames/answer_float32"], rtol=0, atol=1e-5)


def test_a_checkpoint_without_text_answers_like_the_reference(oracle, tmp_path):
    prefix = "no_text/weights/"
    weights = {key.removeprefix(prefix): value for key, value in oracle.items() if key.startswith(prefix)}
    write(tmp_path, weights, {**ARGUMENTS, "dataset": "humanact12", "cond_mask_prob": 0.0, "unconstrained": True})

    clean = load_denoiser(tmp_path).denoise(oracle["noised"], oracle["levels"])

    torch.testing.assert_close(clean, oracle["no_text/answer_float32"], rtol=0, atol=1e-5)


def test_a_decoder_checkpoint_answers_like_the_reference(oracle, tmp_path):
    prefix = "decoder_token_mask_frames/weights/"
    weights = {key.removeprefix(prefix): value for key, value in oracle.items() if key.startswith(prefix)}
    write(tmp_path, weights, {**ARGUMENTS, "arch": "trans_dec", "emb_trans_dec": True, "mask_frames": True})

    clean = load_denoiser(tmp_path).denoise(oracle["noised"], oracle["levels"], oracle["valid"])

    torch.testing.assert_close(clean, oracle["decoder_token_mask_frames/answer_float32"], rtol=0, atol=1e-5)


def test_the_schedule_comes_from_the_arguments(weights, tmp_path):
    write(tmp_path, weights, MASKED_50)
    assert load_denoiser(tmp_path).schedule.num_steps == 50

    write(tmp_path, weights, {**MASKED_50, "noise_schedule": "linear"})
    assert load_denoiser(tmp_path).schedule.alpha_squared == NoiseSchedule.linear(50).alpha_squared

    write(tmp_path, weights, ARGUMENTS)
    assert load_denoiser(tmp_path).schedule.num_steps == 1000


def test_the_latest_step_is_taken_from_a_folder(weights, tmp_path):
    write(tmp_path, {"optimizer": 1}, MASKED_50, name="opt000000300.pt")
    write(tmp_path, {key: value + 1 for key, value in weights.items()}, MASKED_50, name="model000000099.pt")
    write(tmp_path, weights, MASKED_50, name="model000000200.pt")

    loaded = load_denoiser(tmp_path).network.state_dict()

    assert torch.equal(loaded["embed_text.bias"], weights["embed_text.bias"])


def test_a_legacy_network_sees_noised_zeros_behind_a_clip(oracle, weights, tmp_path):
    denoiser = load_denoiser(write(tmp_path, weights, LEGACY_1000))
    clip, levels = oracle["noised"], torch.tensor([10, 500])

    clean = denoiser.denoise(clip, levels, generator=torch.Generator().manual_seed(4))

    noise = torch.randn(2, PADDED_FRAMES, 5, generator=torch.Generator().manual_seed(4))
    seen = torch.cat((clip, denoiser.schedule.sigma[levels][:, None, None] * noise[:, 7:]), dim=1)
    torch.testing.assert_close(clean, denoiser.network(seen, levels)[:, :7])
    assert (clean - denoiser.network(clip, levels)).abs().max() > 1e-3


def test_a_legacy_network_never_sees_what_is_not_valid(oracle, weights, tmp_path):
    denoiser = load_denoiser(write(tmp_path, weights, LEGACY_1000))
    spoiled = torch.where(oracle["valid"][..., None], oracle["noised"], torch.nan)

    clean, same = (
        denoiser.denoise(clip, oracle["levels"], oracle["valid"], torch.Generator().manual_seed(0))
        for clip in (oracle["noised"], spoiled)
    )

    torch.testing.assert_close(clean, same)


def test_a_full_length_clip_needs_no_padding(weights, tmp_path):
    denoiser = load_denoiser(write(tmp_path, weights, LEGACY_1000))
    clip, level = torch.randn(1, PADDED_FRAMES, 5), torch.tensor([100])

    torch.testing.assert_close(denoiser.denoise(clip, level), denoiser.network(clip, level))
    with pytest.raises(ValueError, match=r"197 frames.*at most 196"):
        denoiser.denoise(torch.randn(1, 197, 5), level)


def test_only_the_features_receive_a_gradient(oracle, weights, tmp_path):
    denoiser = load_denoiser(write(tmp_path, weights, MASKED_50))
    noised = oracle["noised"].clone().requires_grad_()

    denoiser.denoise(noised, torch.tensor([3, 4])).sum().backward()

    assert noised.grad.abs().max() > 0
    assert not any(parameter.requires_grad for parameter in denoiser.parameters())


def test_what_does_not_fit_is_named(weights, tmp_path):
    spoiled = {key: value for key, value in weights.items() if key != "output_process.poseFinal.bias"}
    spoiled["seqTransEncoder.layers.1.norm2.weight"] = torch.zeros(9)
    spoiled["output_process.velFinal.weight"] = torch.zeros(5, 8)
    write(tmp_path, spoiled, MASKED_50)

    with pytest.raises(ValueError) as error:
        load_denoiser(tmp_path)

    assert "output_process.poseFinal.bias is missing" in str(error.value)
    assert "output_process.velFinal.weight is unknown" in str(error.value)
    assert "seqTransEncoder.layers.1.norm2.weight is (9,), not (8,)" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arch": "gru"}, "architecture 'gru' is not supported"),
        ({"arch": "trans_dec"}, "no seqTransDecoder"),
        ({"context_len": 20}, "prefix of 20 frames"),
        ({"emb_policy": "concat"}, "emb_policy 'concat'"),
        ({"latent_dim": 512}, "have latent_dim 8, args.json says 512"),
        ({"layers": 8}, "have layers 2, args.json says 8"),
        ({"noise_schedule": "sigmoid"}, "unknown noise schedule 'sigmoid'"),
    ],
)
def test_arguments_that_do_not_fit_are_named(weights, tmp_path, changes, message):
    write(tmp_path, weights, {**MASKED_50, **changes})

    with pytest.raises(ValueError, match=message):
        load_denoiser(tmp_path)


def test_missing_files_are_named(weights, tmp_path):
    with pytest.raises(FileNotFoundError, match="No MDM checkpoint"):
        load_denoiser(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"No model<step>\.pt"):
        load_denoiser(tmp_path)
    path = write(tmp_path, weights, MASKED_50)
    (tmp_path / "args.json").write_text("{")
    with pytest.raises(ValueError, match="not readable as JSON"):
        load_denoiser(path)
    (tmp_path / "args.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"No args\.json"):
        load_denoiser(path)


def test_an_optimizer_or_another_models_file_is_refused(tmp_path):
    path = write(tmp_path, {"state": {}, "param_groups": []}, MASKED_50)

    with pytest.raises(ValueError, match=r"no MDM state dict.*state, param_groups"):
        load_denoiser(path)


@pytest.mark.parametrize("content", [b"", b"hello, this is no checkpoint", b"PK\x03\x04 broken off"])
def test_a_broken_file_is_refused(weights, tmp_path, content):
    path = write(tmp_path, weights, MASKED_50)
    path.write_bytes(content)

    with pytest.raises(ValueError, match="does not hold weights alone"):
        load_denoiser(path)


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_a_file_that_would_run_code_is_refused_unopened(tmp_path):
    path = write(tmp_path, {"model": Malicious(tmp_path / "ran")}, MASKED_50)

    with pytest.raises(ValueError, match=r"asks to run .*mkdir"):
        load_denoiser(path)

    assert not (tmp_path / "ran").exists()


def test_a_network_that_always_had_text_says_so(weights, tmp_path):
    write(tmp_path, weights, {**MASKED_50, "cond_mask_prob": 0.0})

    with pytest.warns(UserWarning, match="never saw motion without text"):
        load_denoiser(tmp_path)
