"""Signs webhook deliveries: HMAC-SHA256 as Standard Webhooks has it for registered ones, RS256 JWTs
for those that a job named itself.

The RSA key is drawn from the seed, so that a run can be repeated. It guards nothing but tests.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from orchestrator.emulator.dice import Dice

EXPONENT = 65537
PRIME_BITS = 1024
KEY_BYTES = 2 * PRIME_BITS // 8
SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")
SMALL_PRIMES = [n for n in range(3, 2000, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2))]
ROUNDS = 16


@dataclass(frozen=True, slots=True)
class RsaKey:
    """An RSA key of 2048 bits: modulus, private exponent, and the id it is published under."""

    modulus: int
    private: int
    id: str

    def jwk(self) -> dict[str, str]:
        """Write the public half as a JSON Web Key."""
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.id,
            "n": _url64(self.modulus.to_bytes(KEY_BYTES, "big")),
            "e": _url64(EXPONENT.to_bytes(3, "big")),
        }

    def jwt(self, claims: dict[str, Any]) -> str:
        """Sign claims as a JSON Web Token."""
        head = msgspec.json.encode({"alg": "RS256", "typ": "JWT", "kid": self.id})
        signed = f"{_url64(head)}.{_url64(msgspec.json.encode(claims))}"
        digest = SHA256_PREFIX + hashlib.sha256(signed.encode()).digest()
        padded = b"\x00\x01" + b"\xff" * (KEY_BYTES - len(digest) - 3) + b"\x00" + digest
        signature = pow(int.from_bytes(padded, "big"), self.private, self.modulus)
        return f"{signed}.{_url64(signature.to_bytes(KEY_BYTES, 'big'))}"


def hmac_signature(secret: str, id_: str, timestamp: int, body: bytes) -> str:
    """Sign a delivery with a registered webhook's secret (`whsec_` and base64)."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{id_}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"


@cache
def rsa_key(seed: int) -> RsaKey:
    """Draw the key of a seed; takes about a second, once."""
    dice = Dice(seed)
    primes = [_prime(dice, half) for half in (0, 1)]
    private = pow(EXPONENT, -1, (primes[0] - 1) * (primes[1] - 1))
    return RsaKey(primes[0] * primes[1], private, f"emulator-{dice.letters(12, 'kid')}")


def _prime(dice: Dice, half: int) -> int:
    """Find a prime whose two highest bits are set, at or above a drawn number."""
    number = 0
    for turn in range(PRIME_BITS // 64):
        number = number << 64 | dice.number("rsa", half, turn)
    number |= 3 << (PRIME_BITS - 2) | 1
    while not _is_prime(number) or number % EXPONENT == 1:
        number += 2
    return number


def _is_prime(number: int) -> bool:
    """Test by trial division, then by Miller and Rabin."""
    if any(number % prime == 0 for prime in SMALL_PRIMES):
        return False
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    return all(_passes(number, base, odd, twos) for base in SMALL_PRIMES[:ROUNDS])


def _passes(number: int, base: int, odd: int, twos: int) -> bool:
    power = pow(base, odd, number)
    if power in {1, number - 1}:
        return True
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
