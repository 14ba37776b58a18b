import pytest

from diffopt.files.atomic import partial_file


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "picture.png"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half way"), partial_file(path) as partial:
        partial.write_text("half")
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_finished_write_takes_its_place(tmp_path):
    path = tmp_path / "new folder" / "picture.png"
    with partial_file(path) as partial:
        partial.write_text("whole")
        assert partial.suffix == ".png"
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]
