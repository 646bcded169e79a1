"""What the doctor's tests look for."""


def one(findings, check, verdict):
    """Return the finding of a check with this verdict; there must be one, with a remedy."""
    (match, *_) = [f for f in findings if f["check"] == check and f["verdict"] == verdict]
    assert match["remedy"] or verdict in {"ok", "skip"}
    return match
