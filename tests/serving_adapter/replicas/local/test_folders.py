"""Where deployments are kept."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.errors import OutsideError
from serving_adapter.replicas.local.folders import file_name, home, make_folder

DIGESTS = st.from_regex(r"[a-z]{1,3}-[0-9a-f]{12}", fullmatch=True)
NAMES = st.one_of(st.text(), st.text("ab-._/\\\0 é", max_size=4), DIGESTS)


@given(NAMES, NAMES)
@settings(deadline=None)
def test_a_name_never_leads_out_of_the_folder_and_is_its_own(one, other):
    made = file_name(one)
    assert Path(made).name == made
    assert made not in {".", ".."}
    assert made.isascii()
    assert 0 < len(made) <= 64
    assert not set(made) & set("/\\\0\n ")
    assert (made == file_name(other)) is (one == other)


def test_plain_names_stay_as_they_are():
    assert [file_name(name) for name in ("cascade", "a.b-2", "X_1")] == ["cascade", "a.b-2", "X_1"]


def test_no_name_has_the_digest_of_another():
    odd = file_name("a b")
    assert file_name(odd) != odd


def test_home():
    where = str(Path.home() / ".local" / "state" / "inferline")
    assert str(home({})) == str(home({"XDG_STATE_HOME": "relative", "INFERLINE_HOME": ""})) == where
    assert home({"INFERLINE_HOME": "here"}) == Path.cwd() / "here"


def test_a_home_that_nobody_knows(monkeypatch):
    def unknown():
        raise RuntimeError

    monkeypatch.setattr(Path, "home", unknown)
    with pytest.raises(OutsideError, match="set INFERLINE_HOME to a folder of yours"):
        home({})


def test_only_its_owner_may_look_into_a_folder(tmp_path):
    folder = tmp_path / "some" / "where" / "cascade"
    make_folder(folder)
    assert [stat.S_IMODE(each.stat().st_mode) for each in (folder, folder.parent)] == [0o700, 0o700]
    folder.chmod(0o755)
    (folder / "logs" / "kept").touch()
    make_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / "logs" / "kept").exists()


def test_links_and_files_are_no_folders(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "file").touch()
    with pytest.raises(OutsideError, match=r"link is a link, or somebody else's; set INFERLINE_HOME"):
        make_folder(tmp_path / "link")
    for folder in ("file", "file/below"):
        with pytest.raises(OutsideError, match=rf"{folder} cannot be made: .*; set INFERLINE_HOME"):
            make_folder(tmp_path / folder)
    assert os.listdir(tmp_path / "elsewhere") == []
