import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.spool import atomic


def test_written_files_are_whole_and_synced_before_they_have_their_name(tmp_path):
    """A file gets its name only after its bytes are durable, and the name is synced last."""
    seen = []
    with atomic.observed(lambda moment, verb, path: seen.append((moment, verb, path.name))):
        atomic.write_file(tmp_path / "a", b"x" * 1000)

    assert (tmp_path / "a").read_bytes() == b"x" * 1000
    assert [s for s in seen if s[0] == "after"][-4:] == [
        ("after", "write", "a"),
        ("after", "fsync", "a"),
        ("after", "rename", "a"),
        ("after", "fsync", tmp_path.name),
    ]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """When an effect fails the old content stays and no temporary file is left."""
    atomic.write_file(tmp_path / "a", b"old")

    def fail(moment, verb, _path):
        if (moment, verb) == ("before", "fsync"):
            raise OSError(28, "No space left on device")

    with atomic.observed(fail), pytest.raises(OSError, match="No space"):
        atomic.write_file(tmp_path / "a", b"new")

    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"old")]


def test_rename_new_never_replaces(tmp_path):
    """A name that is taken is refused, and both files stay."""
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")

    with pytest.raises(FileExistsError):
        atomic.rename_new(tmp_path / "a", tmp_path / "b")
    atomic.rename_new(tmp_path / "a", tmp_path / "c")

    assert sorted((p.name, p.read_text()) for p in tmp_path.iterdir()) == [("b", "b"), ("c", "a")]


@pytest.mark.parametrize("opener", [atomic.open_beneath, atomic._open_step_by_step])
def test_open_beneath_follows_no_link_and_never_waits(tmp_path, opener):
    """Links, ways out and special files do not lead out of the folder and do not block."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "ok").write_text("ok")
    (tmp_path / "out").write_text("out")
    (tmp_path / "in" / "link").symlink_to("ok")
    (tmp_path / "in" / "way").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "in" / "fifo")
    folder = atomic.open_folder(tmp_path / "in")

    for bad in (b"link", b"way/out", b"../out", b"sub/../../out", bytes(tmp_path / "out")):
        with pytest.raises(OSError, match=r"."):
            opener(folder, bad)
    for name, kind in ((b"ok", stat.S_IFREG), (b"fifo", stat.S_IFIFO), (b"sub", stat.S_IFDIR)):
        file = opener(folder, name)
        assert stat.S_IFMT(os.fstat(file).st_mode) == kind
        os.close(file)
    os.close(folder)


def test_remove_tree_does_not_follow_links(tmp_path):
    """What a link in a removed folder points at stays."""
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep" / "file").write_text("x")
    (tmp_path / "gone" / "deep").mkdir(parents=True)
    (tmp_path / "gone" / "deep" / "link").symlink_to(tmp_path / "keep")

    atomic.remove_tree(tmp_path / "gone")

    assert not (tmp_path / "gone").exists()
    assert (tmp_path / "keep" / "file").read_text() == "x"


def test_a_tree_may_be_removed_by_two_at_once(tmp_path):
    """What one of them finds gone was the other's; none of them fails."""
    for number in range(10):
        tree = tmp_path / str(number)
        for name in range(20):
            (tree / str(name)).mkdir(parents=True)
            (tree / str(name) / "file").touch()
        with ThreadPoolExecutor(2) as two:
            ends = [two.submit(atomic.remove_tree, tree) for _ in range(2)]

        assert [end.exception() for end in ends] == [None, None]
        assert not tree.exists()
