"""Where tensors live: one device for a fit, copies of frozen networks on it, constants put there once.

Who owns what: a fit works on copies of the body and the networks that it is given (`on_device`), so that nothing is
moved under another caller, and after the fit all is where it was. In a step nothing goes from host to device or back:
what does not change, index tensors above all, is put there once (`rows`, `once_per_device`).

Apple's MPS is refused: it has no float64, and none of this is tested there.
"""

import functools
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from diffopt.errors import DiffoptError

DEVICES = ("auto", "cpu", "cuda")
Network = TypeVar("Network", bound=nn.Module)


def choose_device(name: str) -> torch.device:
    """The device that a setting names; `auto` takes a CUDA device where there is one, else the CPU.

    Raises:
        DiffoptError: there is no such device.
    """
    if name not in DEVICES:
        raise DiffoptError(f"device={name}: expected one of {', '.join(DEVICES)}; on a Mac use cpu.")
    if name == "cuda" and not torch.cuda.is_available():
        raise DiffoptError(
            "device=cuda: PyTorch finds no CUDA device here; install a build of PyTorch with CUDA and NVIDIA's driver, "
            "or set device=auto."
        )
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def on_device(network: Network, device: torch.device) -> Network:
    """The network on a device: itself where it is there already, else a copy; the given one never moves."""
    tensors = (*network.parameters(), *network.buffers())
    return network if all(tensor.device == device for tensor in tensors) else deepcopy(network).to(device)


def accelerator_of(device: torch.device) -> str:
    """The name under which Lightning knows a device."""
    return "gpu" if device.type == "cuda" else "cpu"


def generator_on(device: torch.device, seed: int) -> torch.Generator:
    """A source of random numbers on a device."""
    return torch.Generator(device).manual_seed(seed)


def rows(indices: Sequence[int], device: torch.device) -> Int[Tensor, "N"]:
    """Fixed indices as a tensor on a device: indexing by a list would copy it there every time."""
    return _rows(tuple(indices), device)


@functools.cache
def _rows(indices: tuple[int, ...], device: torch.device) -> Int[Tensor, "N"]:
    with torch.inference_mode(False):  # a validation may be the first to ask, a training the next
        return torch.tensor(indices, device=device)


def once_per_device(table: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Decorates a function that computes a constant on the CPU from hashable arguments.

    The decorated function takes the keyword `like`, a tensor, and returns the constant with that tensor's device and
    type; it is computed and moved there once.
    """

    @functools.lru_cache(maxsize=64)
    def kept(arguments: tuple[Any, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
        with torch.inference_mode(False):
            return table(*arguments).to(device, dtype)

    @functools.wraps(table)
    def asked(*arguments: Any, like: Tensor) -> Tensor:
        return kept(arguments, like.device, like.dtype)

    return asked


@once_per_device
def axes() -> Float[Tensor, "3 3"]:
    """The axes of the world by rows: x, y (up), z."""
    return torch.eye(3)
