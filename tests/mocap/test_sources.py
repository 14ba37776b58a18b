import pytest
import torch

from diffopt.errors import DiffoptError
from diffopt.mocap.sources import Source, read_sources
from tests.mocap.test_reading import write_pack


@pytest.fixture
def packs(tmp_path):
    """Person a's clip0 and b's clip1, and a second file with other persons' clips of these names."""
    for name, subjects in (("first", ("a", "b")), ("second", ("c", "b"))):
        write_pack(tmp_path / f"{name}.npz", lengths=(40, 25) if name == "first" else (30, 35), subjects=subjects)
    return str(tmp_path / "first.npz"), str(tmp_path / "second.npz")


def test_a_trial_of_two_sources_is_taken_from_the_last_one(packs):
    first, second = packs

    clips = read_sources(first, {"better": Source(second, weight=0.5)}, {}, {})

    # c's clip0 is another trial than a's.
    found = [(clip.subject, clip.name, len(clip.root), clip.weight) for clip in clips]
    assert found == [("a", "clip0", 40, 1.0), ("c", "clip0", 30, 0.5), ("b", "clip1", 35, 0.5)]


def test_a_trial_is_known_again_by_its_identity(packs):
    first, second = packs

    one, other = read_sources(first, {"better": Source(second)}, {"clip0": "d/04_01"}, {"04_*": "sport", "*_02": "run"})

    assert (one.subject, one.name, one.kind, len(one.root)) == ("d", "04_01", "sport", 30)
    assert (other.subject, other.name, other.kind == "sport") == ("b", "clip1", False)


def test_the_last_pattern_that_fits_says_the_kind(packs):
    clips = read_sources(packs[0], {}, {}, {"clip*": "dance", "clip1": "sport"})

    assert [clip.kind for clip in clips] == ["dance", "sport"]


def test_masked_joints_are_not_trusted(packs):
    first, second = packs

    one, *rest = read_sources(first, {"robot": Source(second, masked=["neck", "left_foot"])}, {}, {})

    assert one.trusted.all()
    assert all(torch.equal((~clip.trusted).nonzero()[:, 0], torch.tensor([10, 12])) for clip in rest)


@pytest.mark.parametrize(
    ("source", "identities", "kinds", "message"),
    [
        (Source(masked=["nose"]), {}, {}, "sources.more.masked' names nose"),
        (Source(), {"clip0": "04_01"}, {}, "identities.clip0' is '04_01'; expected person/trial"),
        (Source(), {}, {"clip*": "danse"}, r"kinds.clip\*' is 'danse'"),
    ],
)
def test_what_cannot_be_meant_is_refused(packs, source, identities, kinds, message):
    source.path = packs[1]
    with pytest.raises(DiffoptError, match=message):
        read_sources(packs[0], {"more": source}, identities, kinds)
