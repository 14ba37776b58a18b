"""Published MDM checkpoints: a `.pt` file of weights with an `args.json` beside it, in every layout since 2022.

The weights say the network's size, `args.json` what they cannot: schedule, padding and attention heads.
"""

import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from diffopt.prior.mdm.network import MAX_POSITIONS, MdmNetwork
from diffopt.prior.schedule import NoiseSchedule

PADDED_FRAMES = 196
"""Length that MDM's data loader zero-pads HumanML3D and KIT clips to."""

# The reference fixes the number of heads; no weight's shape tells it.
_HEADS = 4
_SCHEDULES = {"cosine": NoiseSchedule.cosine, "linear": NoiseSchedule.linear}
_ARCHITECTURES = {"trans_enc": "seqTransEncoder", "trans_dec": "seqTransDecoder"}
# Never used without a condition, or not learnt: the text encoder, action and target embeddings, the body model, tables.
_UNUSED = re.compile(r"clip_model\.|embed_action\.|embed_target_cond\.|rot2xyz\.|(.+\.)?sequence_pos_encoder\.pe$")


class Denoiser(nn.Module):
    """A frozen MDM network with the schedule it was trained on, used without text.

    Attributes:
        network: the transformer.
        schedule: what `noise_level` counts in.
        padded_frames: what each clip was padded to in training, for a network that saw the padding; else None.
        fps: frame rate of the motions that it knows.
    """

    def __init__(
        self, network: MdmNetwork, schedule: NoiseSchedule, padded_frames: int | None = None, fps: float = 20.0
    ) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.schedule = schedule
        self.padded_frames = padded_frames
        self.fps = fps

    def denoise(
        self,
        features: Float[Tensor, "B T D"],
        noise_level: Int[Tensor, "B"],
        valid: Bool[Tensor, "B T"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Predict the clean motion behind a noised one (paper, eq. 2). Differentiable in `features`.

        A network trained without frame masks expects `padded_frames` frames, of which those beyond a clip were zero
        before they were noised. So the frames that are missing or not `valid` are noise of the asked level here.

        Args:
            features: normalised and noised to `noise_level`.
            noise_level: level of `schedule` per sample, 0 the cleanest.
            valid: frames that belong to the clip, all by default; the prediction elsewhere means nothing.
            generator: source of the padding's noise, on the device of `features`; unused by networks with frame masks.

        Returns:
            Clean normalised features.

        Raises:
            ValueError: more frames than the network can take.
        """
        frames = features.shape[1]
        limit = self.padded_frames or MAX_POSITIONS - 1
        if frames > limit:
            raise ValueError(
                f"The clip has {frames} frames, the checkpoint takes at most {limit}. Cut it into windows."
            )
        if self.padded_frames is None:
            return self.network(features, noise_level, valid)
        shape = (len(features), self.padded_frames, features.shape[2])
        noise = torch.randn(shape, generator=generator, device=features.device, dtype=features.dtype)
        padding = self.schedule.add_noise(torch.zeros_like(noise), noise, noise_level).to(features.dtype)
        if valid is not None:
            features = torch.where(valid[..., None], features, padding[:, :frames])
        return self.network(torch.cat((features, padding[:, frames:]), dim=1), noise_level)[:, :frames]


def load_denoiser(path: str | Path) -> Denoiser:
    """Read a published MDM checkpoint, on the CPU and frozen.

    Args:
        path: the `.pt` file, or its folder, of which the `model*.pt` with the highest step is taken; `args.json`
            stands in the same folder.

    Raises:
        FileNotFoundError: no weights or no `args.json` there.
        ValueError: not weights alone, or weights that do not fit MDM's `trans_enc` or `trans_dec`; each is named.
    """
    weights_path = _find_weights(Path(path))
    arguments = _read_arguments(weights_path)
    weights = _read_weights(weights_path)
    network = _build_network(weights, arguments, weights_path)

    steps, name = arguments.get("diffusion_steps", 1000), arguments.get("noise_schedule", "cosine")
    if name not in _SCHEDULES:
        raise ValueError(
            f"{weights_path}: unknown noise schedule '{name}' in args.json. Known: {', '.join(_SCHEDULES)}."
        )
    if network.embed_text is not None and arguments.get("cond_mask_prob") == 0:
        warnings.warn(
            f"{weights_path} never saw motion without text; its unconditional answers mean little.", stacklevel=2
        )
    dataset = arguments.get("dataset", "humanml")
    sees_padding = dataset in ("humanml", "kit") and not arguments.get("mask_frames", False)
    return Denoiser(
        network,
        _SCHEDULES[name](steps),
        padded_frames=PADDED_FRAMES if sees_padding else None,
        fps=12.5 if dataset == "kit" else 20.0,
    )


def _find_weights(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(f"No MDM checkpoint at {path}. Pass its model*.pt file or the folder that holds it.")
    steps = {int(match[1]): file for file in path.iterdir() if (match := re.fullmatch(r"model(\d+)\.pt", file.name))}
    if not steps:
        raise FileNotFoundError(f"No model<step>.pt in {path}. Pass the checkpoint file itself.")
    return steps[max(steps)]


def _read_arguments(weights_path: Path) -> dict[str, Any]:
    arguments_path = weights_path.parent / "args.json"
    if not arguments_path.is_file():
        raise FileNotFoundError(
            f"No args.json beside {weights_path}. It comes with every MDM checkpoint and says its noise schedule; "
            "copy it into the same folder."
        )
    try:
        arguments = json.loads(arguments_path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{arguments_path} is not readable as JSON ({error}). Download it again.") from error
    if not isinstance(arguments, dict):
        raise ValueError(f"{arguments_path} holds no named arguments. Take the args.json of the checkpoint itself.")
    arch = arguments.get("arch", "trans_enc")
    if arch not in _ARCHITECTURES:
        raise ValueError(f"{weights_path}: architecture '{arch}' is not supported. Use {' or '.join(_ARCHITECTURES)}.")
    if arguments.get("context_len"):
        raise ValueError(
            f"{weights_path} continues a prefix of {arguments['context_len']} frames; as a prior it is not supported. "
            "Use a checkpoint with context_len 0."
        )
    if arguments.get("emb_policy", "add") != "add":
        raise ValueError(f"{weights_path}: emb_policy '{arguments['emb_policy']}' is not supported, only 'add'.")
    return arguments


def _read_weights(weights_path: Path) -> dict[str, Tensor]:
    try:
        stored = torch.load(weights_path, map_location="cpu", weights_only=True)
    except Exception as error:  # the restricted unpickler raises whatever a broken file's bytes happen to mean
        asked = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it asks to run {asked[1]}" if asked else f"it is broken ({type(error).__name__})"
        raise ValueError(
            f"{weights_path} does not hold weights alone and is not opened further: {reason}. "
            "Download it again, or save its state dict with torch.save and pass that."
        ) from error
    for layout in ("model_avg", "model"):
        if isinstance(stored, Mapping) and isinstance(stored.get(layout), Mapping):
            stored = stored[layout]
            break
    if not isinstance(stored, Mapping) or "input_process.poseEmbedding.weight" not in stored:
        found = ", ".join(list(stored)[:5]) if isinstance(stored, Mapping) else type(stored).__name__
        raise ValueError(
            f"{weights_path} is no MDM state dict: it lacks input_process.poseEmbedding.weight and holds {found}. "
            "Pass model*.pt, not the optimizer's opt*.pt."
        )
    return {key: value for key, value in stored.items() if not _UNUSED.match(key)}


def _build_network(weights: dict[str, Tensor], arguments: dict[str, Any], weights_path: Path) -> MdmNetwork:
    arch = arguments.get("arch", "trans_enc")
    stack = re.compile(rf"{_ARCHITECTURES[arch]}\.layers\.(\d+)\.linear1\.weight")
    depths = {int(match[1]): key for key in weights if (match := stack.fullmatch(key))}
    if not depths:
        raise ValueError(
            f"{weights_path}: args.json says '{arch}', but the weights have no {_ARCHITECTURES[arch]}. "
            "Take the args.json that came with them."
        )
    width, features = weights["input_process.poseEmbedding.weight"].shape
    for name, found in (("latent_dim", width), ("layers", len(depths))):
        if arguments.get(name, found) != found:
            raise ValueError(
                f"{weights_path}: the weights have {name} {found}, args.json says {arguments[name]}. "
                "Take the args.json that came with them."
            )
    text = weights.get("embed_text.weight")
    network = MdmNetwork(
        features=features,
        width=width,
        layers=len(depths),
        heads=arguments.get("num_heads", _HEADS),
        feedforward=len(weights[depths[min(depths)]]),
        arch=arch,
        text_width=None if text is None else text.shape[1],
        leading_token=arguments.get("emb_trans_dec", False),
    )
    expected = network.state_dict()
    misfits = [f"{key} is missing" for key in sorted(expected.keys() - weights.keys())]
    misfits += [f"{key} is unknown" for key in sorted(weights.keys() - expected.keys())]
    misfits += [
        f"{key} is {tuple(weights[key].shape)}, not {tuple(tensor.shape)}"
        for key, tensor in expected.items()
        if key in weights and weights[key].shape != tensor.shape
    ]
    if misfits:
        raise ValueError(f"{weights_path} does not fit MDM's {arch}: {'; '.join(misfits)}.")
    network.load_state_dict(weights)
    return network
