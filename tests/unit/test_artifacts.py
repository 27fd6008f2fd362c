"""Writing: what is in the way is named."""

from pathlib import Path

import pytest

from memgan.artifacts import atomic_file, atomic_folder
from memgan.errors import InputError


@pytest.mark.parametrize(
    ("write", "to"),
    [
        (atomic_file, "note/a"),
        (atomic_file, "note/a/b"),
        (atomic_folder, "note"),
        (atomic_folder, "note/a"),
        (atomic_folder, "note/a/b"),
    ],
)
def test_a_file_where_a_folder_is_to_be_is_named_and_kept(tmp_path: Path, write, to: str) -> None:
    note = tmp_path / "note"
    note.write_text("mine")
    with pytest.raises(InputError, match=rf"^{note}: is a file; name a folder$"), write(tmp_path / to):
        pytest.fail("it was written")
    assert note.read_text() == "mine" and list(tmp_path.iterdir()) == [note]


def test_a_folder_where_a_file_is_to_be_is_named_and_kept(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no file that can be replaced"), atomic_file(tmp_path):
        pytest.fail("it was written")


def test_a_folder_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with atomic_folder(tmp_path / "a/b") as folder:
            (folder / name).touch()
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["two"] and len(list((tmp_path / "a").iterdir())) == 1
