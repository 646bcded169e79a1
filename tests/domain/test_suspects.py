import numpy as np
from hypothesis import example, given, settings, strategies as st

from orchestrator.domain.strictness import DEPTH_MAX
from orchestrator.domain.suspects import BITE_BYTES, Suspects
from orchestrator.domain.usual import cut

EDGES = [
    b"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
    *(b"\xc0\x80", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xf0\x8f\xbf\xbf"),
    *(b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xff", b"\x80", b"\xe3\x81", b"\xf0\x9f\x98"),
    *(
        "é".encode(),
        "日本語".encode(),
        "한국어".encode(),
        "हिन्दी".encode(),
        "😀".encode(),
        b"plain",
    ),
]
texts = st.lists(st.sampled_from(EDGES) | st.binary(max_size=4), max_size=4).map(b"".join)


def array(data):
    return np.frombuffer(data, np.uint8)


def is_utf8(text):
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


@settings(max_examples=500)
@given(lines=st.lists(texts, min_size=1, max_size=6), ahead=st.integers(0, 5))
@example(lines=[b"\xe3"], ahead=0)
@example(lines=[b"\xff\x80", b"\x80"], ahead=0)
@example(lines=[b"\xf0\x9f\x98", b""], ahead=3)
def test_broken_text_is_found_wherever_it_lies(lines, ahead):
    """Every line that is not UTF-8 is found, also across bites; right ones seldom with it."""
    lines = [b"x" * (BITE_BYTES - ahead - 1), *(line.replace(b"\n", b"") for line in lines)]
    data = b"\n".join(lines)
    found = cut(array(data))

    broken = set(Suspects().broken_text(array(data), found).tolist())

    wrong = {number for number, line in enumerate(lines) if line and not is_utf8(line)}
    assert wrong <= broken
    assert all({*range(n - 6, n + 1)} & wrong or n >= len(lines) - 1 for n in broken)


@given(
    depths=st.lists(st.integers(0, 150), min_size=1, max_size=8),
    digits=st.lists(
        st.sampled_from(["1e5", "1e999", "2E+308", "7e+12", "ae999", "9e99"]), max_size=4
    ),
    ahead=st.integers(0, 9),
)
def test_depth_and_exponents_are_suspected(depths, digits, ahead):
    """A line that nests too deep or has a long exponent is always among the suspects."""
    lines = ["x" * (BITE_BYTES - ahead), *("[" * depth + "]" * depth for depth in depths), *digits]
    data = "\n".join([*lines, ""]).encode()

    suspected = set(Suspects().find(array(data), cut(array(data))).tolist())

    expected = {n for n, line in enumerate(lines) if line.count("[") > DEPTH_MAX}
    expected |= {n for n, line in enumerate(lines) if line in ("1e999", "2E+308")}
    assert expected <= suspected
    harmless = {n for n, line in enumerate(lines) if line in ("1e5", "7e+12", "ae999", "9e99")}
    assert not harmless & suspected or sum(depths) > DEPTH_MAX
