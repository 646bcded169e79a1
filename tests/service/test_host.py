"""Facts about the machine, sealing, and showing names safely."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from orchestrator.service import host
from orchestrator.service.printable import NAME_CHARACTERS_MAX, printable, shown_name
from orchestrator.service.redaction import Redactor

SEAL = """
import os, resource, signal
from orchestrator.service.hardening import is_sealed, seal
assert not is_sealed()
seal()
print(is_sealed(), resource.getrlimit(resource.RLIMIT_CORE), flush=True)
os.kill(os.getpid(), signal.SIGABRT)
"""


def test_a_sealed_process_leaves_no_core(tmp_path):
    """After sealing, RLIMIT_CORE is 0, the process is not dumpable, and a crash leaves no file."""
    resource_max = resource.getrlimit(resource.RLIMIT_CORE)[1]

    def allow_cores():
        resource.setrlimit(resource.RLIMIT_CORE, (resource_max, resource_max))

    done = subprocess.run(
        [sys.executable, "-c", SEAL],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=allow_cores,
    )

    assert done.stdout == "True (0, 0)\n", done.stderr
    assert done.returncode < 0
    assert not list(tmp_path.iterdir())


def test_boottime_never_goes_back():
    """The clock to wait by only grows, and is at least the monotonic one."""
    seen = [host.boottime() for _ in range(100)]

    assert seen == sorted(seen)
    assert seen[-1] >= time.monotonic() - 0.1


def test_the_boot_has_a_name():
    """The boot id is the kernel's; the machine id may be missing in a container."""
    assert host.boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert isinstance(host.machine_id(), str)


def test_space_is_what_statvfs_says(tmp_path):
    """Free space is what a process without privileges may use."""
    found = host.space(tmp_path)

    facts = os.statvfs(tmp_path)
    assert found.total_bytes == facts.f_blocks * facts.f_frsize
    assert 0 < found.free_bytes <= found.total_bytes
    assert not found.read_only


def test_the_file_system_of_a_folder_is_found():
    """The type is that of the nearest mount above."""
    assert host.file_system(Path("/proc/self")) == "proc"


@given(st.text())
def test_anything_shown_is_visible(text):
    """What is shown has no control character, escape, separator or turn of direction."""
    assert printable(text).isprintable()


@given(st.binary(min_size=1, max_size=300))
def test_any_name_of_a_file_can_be_shown(name):
    """Bytes that are no UTF-8 too; and never too long."""
    shown = shown_name(name)

    assert shown.isprintable()
    assert len(shown) <= NAME_CHARACTERS_MAX


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_is_shown_as_it_is(text):
    """Nothing is escaped that need not be."""
    assert printable(text) == text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("new\nline", "new\\x0aline"),
        ("evil\u202egnp.exe", "evil\\u202egnp.exe"),
        (b"latin\xe9", "latin\\xe9"),
        ("grün 日本", "grün 日本"),
        ("tag\U000e0041", "tag\\U000e0041"),
    ],
)
def test_names_are_shown_as(name, shown):
    """Examples, for people."""
    assert shown_name(name) == shown


@given(st.text("ABCXYZ0189-_/+%", min_size=6, max_size=60), st.text(), st.text())
def test_a_secret_never_survives(secret, before, after):
    """Wherever a secret stands in a text, it does not stand there any more."""
    text = Redactor(lambda: [secret])(before + secret + after)

    assert secret not in text


def test_short_words_are_no_secrets():
    """A key of a few characters would only make holes in words."""
    assert Redactor(lambda: ["a"])("a banana") == "a banana"
