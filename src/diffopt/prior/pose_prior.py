"""A prior of single poses, for the ablation "pose prior instead of motion prior": a variational autoencoder.

Source: VPoser (Pavlakos et al., SMPL-X, 2019). Modules carry the names of its second version's published weights, so
that those fit key by key; ours is narrower and trained on free motion capture.
"""

import json
import os
from pathlib import Path

import roma
import torch
from einops import rearrange
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from diffopt.errors import DiffoptError

SCHEMA = "diffopt/pose-prior/1"
SHIPPED = Path(__file__).parent / "assets" / "pose_prior.safetensors"
POSE_JOINTS = 21
"""Joints below the root that SMPL-H and SMPL-X share; SMPL's two hands are not among them."""


class Gaussian(nn.Module):
    """Last layer of the encoder: mean and deviation of the latent code."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        self.mu = nn.Linear(width, latent)
        self.logvar = nn.Linear(width, latent)

    def forward(self, hidden: Float[Tensor, "B W"]) -> tuple[Float[Tensor, "B Z"], Float[Tensor, "B Z"]]:
        # Named after a logarithm in the published weights, which were trained with a softplus all the same.
        return self.mu(hidden), nn.functional.softplus(self.logvar(hidden))


class PosePrior(nn.Module):
    """Encodes poses as codes that are standard normal for poses people take.

    Args:
        width: of the hidden layers; 512 in the published weights.
        latent: numbers per code.
    """

    def __init__(self, width: int = 512, latent: int = 32) -> None:
        super().__init__()
        self.width, self.latent = width, latent
        # Positions in these two lists are part of the published names; there is one linear layer right after another.
        self.encoder_net = nn.Sequential(
            nn.Flatten(),
            nn.BatchNorm1d(3 * POSE_JOINTS),
            nn.Linear(3 * POSE_JOINTS, width),
            nn.LeakyReLU(),
            nn.BatchNorm1d(width),
            nn.Dropout(0.1),
            nn.Linear(width, width),
            nn.Linear(width, width),
            Gaussian(width, latent),
        )
        self.decoder_net = nn.Sequential(
            nn.Linear(latent, width),
            nn.LeakyReLU(),
            nn.Dropout(0.1),
            nn.Linear(width, width),
            nn.LeakyReLU(),
            nn.Linear(width, 6 * POSE_JOINTS),
        )

    def encode(self, body_pose: Float[Tensor, "*T 21 3 3"]) -> tuple[Float[Tensor, "*T Z"], Float[Tensor, "*T Z"]]:
        """Mean and standard deviation of the code of each pose.

        Args:
            body_pose: local rotations of the joints below the root.
        """
        batch = body_pose.shape[:-3]
        vectors = rearrange(roma.rotmat_to_rotvec(body_pose), "... joint xyz -> (...) joint xyz")
        mean, deviation = self.encoder_net(vectors)
        return mean.reshape(*batch, -1), deviation.reshape(*batch, -1)

    def decode(self, code: Float[Tensor, "*T Z"]) -> Float[Tensor, "*T 21 3 3"]:
        """Local rotations of the joints below the root."""
        numbers = self.decoder_net(code)
        columns = rearrange(numbers, "... (joint row column) -> ... joint row column", row=3, column=2)
        return roma.special_gramschmidt(columns)

    def save(self, path: str | Path) -> None:
        """Write the prior as safetensors, whole or not at all. Matrices take 16 bits."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        tensors |= {name: tensor.half() for name, tensor in tensors.items() if tensor.ndim == 2}
        header = {"schema": SCHEMA, "width": self.width, "latent": self.latent}
        partial = path.with_name(path.name + ".partial")
        save_file(tensors, partial, metadata={"diffopt": json.dumps(header)})
        # safetensors writes for the owner only; weights are read by whoever runs the package.
        partial.chmod(0o644)
        os.replace(partial, path)


def load_pose_prior(path: str | Path = "default") -> PosePrior:
    """Read a pose prior, frozen and in evaluation mode, on the CPU.

    Args:
        path: a `.safetensors` file written by `PosePrior.save`, `default` for the one that ships, or VPoser's published
            second version: its folder (with `snapshots/*.ckpt`) or a file of its state dict.

    Raises:
        DiffoptError: nothing there, or no weights of a pose prior.
    """
    path = SHIPPED if str(path) == "default" else Path(path)
    if path.is_dir():
        snapshots = sorted([*path.glob("snapshots/*.ckpt"), *path.glob("*.ckpt"), *path.glob("*.pt")])
        if not snapshots:
            raise DiffoptError(f"No pose prior in {path}: it holds no snapshots/*.ckpt. Pass the weights' file itself.")
        path = snapshots[-1]
    if not path.is_file():
        raise DiffoptError(f"No pose prior at {path}. Give a .safetensors file, VPoser's folder, or `default`.")
    tensors = _own_weights(path) if path.suffix == ".safetensors" else _published_weights(path)
    try:
        width, latent = len(tensors["encoder_net.2.weight"]), len(tensors["encoder_net.8.mu.weight"])
        prior = PosePrior(width, latent)
        prior.load_state_dict(tensors)
    except (KeyError, RuntimeError) as error:
        raise DiffoptError(
            f"{path} does not fit VPoser's second version ({error}). Pass weights of that version, or train your own."
        ) from error
    return prior.eval().requires_grad_(False)


def _own_weights(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(str(path), framework="pt") as content:
            header = json.loads((content.metadata() or {}).get("diffopt", "{}"))
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DiffoptError(f"{path} is no safetensors file: {error}. Train a pose prior again.") from error
    if header.get("schema") != SCHEMA:
        raise DiffoptError(f"{path} holds no pose prior: its header lacks the schema {SCHEMA}. Train one again.")
    return tensors


def _published_weights(path: Path) -> dict[str, Tensor]:
    """The two networks of a VPoser checkpoint; what else its trainer kept (a body model, say) is left alone."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the restricted unpickler raises whatever a broken file's bytes happen to mean
        raise DiffoptError(
            f"{path} holds more than plain weights, which is not loaded ({type(error).__name__}). In an environment "
            "that you trust it in, run torch.save(torch.load(file)['state_dict'], 'vposer.pt') and pass that file."
        ) from error
    weights = stored.get("state_dict", stored) if isinstance(stored, dict) else {}
    named = {str(name).removeprefix("vp_model."): value for name, value in weights.items()}
    return {name: value for name, value in named.items() if name.startswith(("encoder_net.", "decoder_net."))}
