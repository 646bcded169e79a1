"""Where we may be sent: home, and elsewhere only if the operator says so."""

import pytest
from hypothesis import example, given, strategies as st
from yarl import URL

from orchestrator.gemini.service import Service

HOME = Service(base_url="https://home.example/gate/")
ABROAD = Service(base_url="https://home.example", other_hosts=True)
PIECES = st.sampled_from(
    [
        "http",
        "https",
        "://",
        "//",
        "/",
        "\\",
        "@",
        ":",
        ":443",
        ":8_0",
        "home.example",
        "evil",
        ".",
        "?",
        "#",
        "[",
        "]",
        "%2f",
        "%00",
        "\t",
        "\n",
        " ",
        "user",
        "é",
        "x",
    ]
)


@given(st.lists(PIECES, max_size=10).map("".join) | st.text())
@example("https://home.example:443.evil/")
@example("https://home.example\\@evil/")
@example("https://home.example@evil/")
def test_no_address_leads_away_from_home(text: str) -> None:
    """Whatever the service writes, we are sent to its own origin or nowhere."""
    for base in (None, URL("https://home.example/gate/v1beta/x")):
        url = HOME.sent_to(text, base)

        assert url is None or (url.scheme, url.host, url.port) == ("https", "home.example", 443)
        assert url is None or url.user is url.password is None


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("https://other.example/x", True),
        ("http://other.example/x", False),
        ("ftp://other.example/x", False),
        ("https://user:word@other.example/x", False),
    ],
)
def test_abroad_is_still_https_and_without_credentials(text: str, allowed: bool) -> None:  # noqa: FBT001
    """Other hosts are a setting; less safety is not."""
    assert (ABROAD.sent_to(text) is not None) is allowed
    assert HOME.sent_to(text) is None


def test_the_default_is_google_over_https() -> None:
    """Without settings it is the real service, in the version that all recordings used."""
    url = Service().url("batches", {"pageSize": "100", "pageToken": "a&b=c d+e/é"})

    assert str(url.origin()) == "https://generativelanguage.googleapis.com"
    assert url.path == "/v1beta/batches"
    assert url.query == {"pageSize": "100", "pageToken": "a&b=c d+e/é"}
