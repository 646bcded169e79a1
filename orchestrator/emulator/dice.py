"""Chance that can be repeated: every draw is a hash of the seed and of what it is drawn for."""

from hashlib import blake2b

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


class Dice:
    """Draws that depend on the seed and on the words given, never on how many were drawn before."""

    def __init__(self, seed: int) -> None:
        self._key = str(seed).encode()[:64]

    def number(self, *words: object) -> int:
        """Draw 64 bits."""
        return int.from_bytes(self._digest(8, words), "big")

    def fraction(self, *words: object) -> float:
        """Draw from [0, 1)."""
        return (self.number(*words) >> 11) / (1 << 53)

    def between(self, low: float, high: float, *words: object) -> float:
        """Draw from [low, high]."""
        return low if low == high else low + (high - low) * self.fraction(*words)

    def letters(self, length: int, *words: object) -> str:
        """Draw lower-case letters and digits."""
        value = int.from_bytes(self._digest(32, words) + self._digest(32, (*words, "more")), "big")
        drawn = []
        for _ in range(length):
            value, index = divmod(value, len(_ALPHABET))
            drawn.append(_ALPHABET[index])
        return "".join(drawn)

    def order(self, count: int, *words: object) -> list[int]:
        """Draw an order of range(count)."""
        return sorted(range(count), key=lambda index: self.number(*words, index))

    def _digest(self, size: int, words: tuple[object, ...]) -> bytes:
        text = "\x1f".join(map(str, words)).encode("utf-8", "surrogatepass")
        return blake2b(text, digest_size=size, key=self._key).digest()
