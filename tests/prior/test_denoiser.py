import torch

from diffopt.prior.denoiser import DenoiserSize, FactoredDenoiser, rotate_by_frame
from diffopt.prior.schedule import NoiseSchedule

SIZE = DenoiserSize(width=32, depth=2, heads=2)


def denoiser(seed: int = 0) -> FactoredDenoiser:
    torch.manual_seed(seed)
    network = FactoredDenoiser(10, 4, NoiseSchedule.cosine(50), SIZE, 16)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network.eval()


def levels(*values: int) -> torch.Tensor:
    return torch.tensor(values)


def test_untrained_it_returns_the_kept_part_of_each_block():
    network = FactoredDenoiser(10, 4, NoiseSchedule.cosine(50), SIZE, 16)
    features = torch.randn(2, 7, 10)

    clean = network(features, levels(5, 30), levels(40, 0))

    alpha = network.schedule.alpha
    torch.testing.assert_close(clean[..., :4], alpha[[5, 30]][:, None, None] * features[..., :4])
    torch.testing.assert_close(clean[..., 4:], alpha[[40, 0]][:, None, None] * features[..., 4:])


def test_frames_that_do_not_exist_have_no_influence():
    network, features = denoiser(), torch.randn(1, 9, 10)
    valid = torch.arange(9)[None] < 6
    spoilt = torch.where(valid[..., None], features, torch.nan)

    alone = network(features[:, :6], levels(7), levels(20))
    masked = network(spoilt, levels(7), levels(20), valid)

    torch.testing.assert_close(masked[:, :6], alone)


def test_each_level_and_each_frame_matters():
    network, features = denoiser(), torch.randn(1, 12, 10)
    before = network(features, levels(7), levels(20))

    assert (network(features, levels(8), levels(20)) - before).abs().max() > 1e-4
    assert (network(features, levels(7), levels(21)) - before).abs().max() > 1e-4
    changed = features.clone()
    changed[0, 11] += 1
    # Beyond the reach of the two convolutions: only attention gets from the last frame to the first.
    assert (network(changed, levels(7), levels(20)) - before)[0, 0].abs().max() > 1e-5


def test_positions_are_relative():
    query, key = torch.randn(2, 1, 1, 1, 16, dtype=torch.float64).expand(2, 1, 1, 8, 16)

    scores = (rotate_by_frame(query) @ rotate_by_frame(key).mT)[0, 0]

    torch.testing.assert_close(scores.diagonal(2), scores[0, 2].expand(6), rtol=1e-5, atol=1e-6)
    assert (scores[0, 3] - scores[3, 0]).abs() > 1e-3
