import os
import socket

import pytest
from hypothesis import given, strategies as st

from orchestrator.spool import names
from tests.spool.worlds import World, lines, order

TEXT = lines("a")


def hostile(world, kind):
    path = world.inbox_path / "a.jsonl"
    secret = world.inbox_path.parent / "secret"
    secret.write_text("secret")
    match kind:
        case "link":
            path.symlink_to(secret)
        case "dangling":
            path.symlink_to("nowhere")
        case "fifo":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(str(path))
        case "folder":
            path.mkdir()
        case "name":
            path = path.with_name("a.txt")
            path.write_text("x")
        case "link inside":
            path = path.with_name("set")
            path.mkdir()
            (path / "requests.jsonl").symlink_to(secret)
        case "options":
            path.write_text(TEXT)
            path.with_suffix(".toml").symlink_to(secret)
        case _:
            path.write_text(TEXT)
            path.with_suffix(".toml").write_bytes(b"\xff")
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("link", "symbolic link"),
        ("dangling", "symbolic link"),
        ("fifo", "FIFO"),
        ("socket", "socket"),
        ("folder", "folder with the name of a file"),
        ("name", "must end in .jsonl"),
        ("link inside", "not a regular file"),
        ("options", "options are not a regular file"),
        ("binary options", "not UTF-8"),
    ],
)
async def test_what_must_not_be_opened_is_claimed_with_its_trouble(tmp_path, kind, words):
    """Links, FIFOs, sockets, folders and strange names are moved aside, unread, with a reason."""
    world = World(tmp_path)
    path = hostile(world, kind)
    world.drop("b.jsonl", TEXT)

    await world.inbox.scan()
    world.clock.seconds += 100
    claims = {c.name: c for d in await world.inbox.scan() if (c := await world.claim(d))}

    assert claims.pop("b").trouble is None
    (claim,) = claims.values()
    assert words in claim.trouble
    assert path.name not in os.listdir(world.inbox_path)  # noqa: PTH208
    assert (tmp_path / "secret").read_text() == "secret"
    assert "secret" not in (claim.options or "")


@given(st.binary(min_size=1, max_size=255))
def test_shown_names_are_safe(raw):
    """Whatever the bytes, the name for people is one printable, short path component."""
    name = names.shown(raw)

    assert 0 < len(name.encode()) <= 200
    assert name.isprintable()
    assert name not in (".", "..")
    assert "/" not in name
    assert not name.startswith((".", "-"))
    folder = names.folder(raw, 1, 2, 3)
    assert folder.isascii()
    assert len(folder) <= 100


HOSTILE_NAMES = [
    b"a\nb.jsonl",
    b"\xff\xfe.jsonl",
    b"-rf.jsonl",
    b" .jsonl",
    b"x" * 249 + b".jsonl",
    "e\u0301.jsonl".encode(),
    "\u00e9.jsonl".encode(),
    "\u202egnp.jsonl".encode(),
    b"\x1b[2J.jsonl",
    b"CON.jsonl",
    b"con.jsonl",
    b"a;rm -rf $HOME.jsonl",
    b"..jsonl.jsonl",
]


async def test_hostile_names_are_claimed_under_safe_ones(tmp_path):
    """Every name that a file system allows is claimed, each in a folder of its own."""
    world = World(tmp_path)
    for raw in HOSTILE_NAMES:
        with open(os.path.join(os.fsencode(world.inbox_path), raw), "wb") as file:  # noqa: ASYNC230, PTH118, PTH123
            file.write(TEXT.encode())

    claims = await world.take()
    reports = [await world.indexing.index(claim, order()) for claim in claims]

    taken = [raw for raw in HOSTILE_NAMES if not raw.startswith(b".")]
    assert len({claim.folder for claim in claims}) == len(taken)
    assert all(claim.trouble is None and claim.name.isprintable() for claim in claims)
    assert [report.requests for report in reports] == [1] * len(taken)
    world.restart()
    assert len(await world.claims()) == len(taken)
