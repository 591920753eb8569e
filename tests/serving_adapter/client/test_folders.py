import pytest

from serving_adapter.client.folders import new_folder, remove_folder


def test_folder_stays_unless_something_fails(tmp_path):
    place = tmp_path / "adder" / "1"
    with new_folder(place) as folder:
        (folder / "func.pkl").touch()
    assert [each.name for each in place.iterdir()] == ["func.pkl"]
    with new_folder(place) as folder:  # what was there is left from somebody who failed
        assert list(folder.iterdir()) == []


def fail_in(place):
    with new_folder(place) as folder:
        (folder / "func.pkl").touch()
        raise LookupError


def test_nothing_stays_of_what_fails(tmp_path):
    with pytest.raises(LookupError):
        fail_in(tmp_path / "adder" / "1")
    assert list(tmp_path.iterdir()) == []


def test_others_of_the_model_stay(tmp_path):
    for version in ("1", "2"):
        with new_folder(tmp_path / "adder" / version):
            pass
    remove_folder(tmp_path / "adder" / "1")
    remove_folder(tmp_path / "adder" / "1")
    assert [each.name for each in (tmp_path / "adder").iterdir()] == ["2"]
