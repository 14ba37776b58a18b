"""Who owns what, and which devices there are."""

import pytest
import torch
from torch import nn

from diffopt.device import choose_device, on_device, once_per_device, rows
from diffopt.errors import DiffoptError
from tests.device.pretended_cuda import CUDA, pretended_cuda


def test_auto_takes_a_gpu_where_there_is_one():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pretended_cuda():
        assert choose_device("auto").type == choose_device("cuda").type == "cuda"
        assert choose_device("cpu").type == "cpu"


def test_what_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DiffoptError, match="finds no CUDA device here; install a build"):
        choose_device("cuda")
    with pytest.raises(DiffoptError, match="device=mps: expected one of auto, cpu, cuda"):
        choose_device("mps")


def test_a_network_that_must_move_is_copied():
    network = nn.Linear(2, 2)
    assert on_device(network, torch.device("cpu")) is network
    with pretended_cuda():
        there = on_device(network, torch.device("cuda"))
        assert {parameter.device for parameter in there.parameters()} == {CUDA}
        assert torch.equal(there.weight.cpu(), network.weight)
    assert network.weight.device.type == "cpu"


def test_constants_are_made_once_and_can_take_part_in_a_gradient():
    made = []

    @once_per_device
    def table(size):
        made.append(size)
        return torch.arange(float(size))

    with torch.inference_mode():  # a validation may ask first
        first = table(3, like=torch.zeros(1))
    value = torch.ones(3, requires_grad=True)
    (value * table(3, like=torch.zeros(1)) * rows([0, 1, 2], torch.device("cpu"))).sum().backward()
    assert made == [3] and first.dtype == torch.float32
    assert table(3, like=torch.zeros(1, dtype=torch.float64)).dtype == torch.float64 and made == [3, 3]
