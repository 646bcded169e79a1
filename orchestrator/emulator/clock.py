"""Two times: the wall, which clients see in timestamps, and the age of jobs, which a speed can
hurry.

`wall` is the caller's clock plus whatever was advanced by hand, in nanoseconds since 1970. `age` is
in seconds: it runs `speed` times as fast as the wall, and an advance moves both alike.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Leg:
    """From `wall` on, age runs from `age` at `speed`."""

    wall: int
    age: float
    speed: float


class EmulatorClock:
    """The provider's own time over the clock that it is given."""

    def __init__(self, clock: Callable[[], datetime], speed: float) -> None:
        self._clock = clock
        self.offset = 0
        self.legs = [Leg(self.wall(), 0.0, speed)]

    def wall(self) -> int:
        """Read the wall in nanoseconds since 1970."""
        micros = (self._clock() - EPOCH) // timedelta(microseconds=1)
        return micros * 1000 + self.offset

    def age(self, wall: int | None = None) -> float:
        """Read the age of jobs, in seconds, at a moment of the wall (now, unless given)."""
        at = self.wall() if wall is None else wall
        leg = next((leg for leg in reversed(self.legs) if leg.wall <= at), self.legs[0])
        return leg.age + (at - leg.wall) / NS * leg.speed

    def wall_at(self, age: float) -> int:
        """Say at which moment of the wall an age was or will be reached."""
        leg = next((leg for leg in reversed(self.legs) if leg.age <= age), self.legs[0])
        return leg.wall + round((age - leg.age) / leg.speed * NS)

    @property
    def speed(self) -> float:
        """The speed at which jobs age now."""
        return self.legs[-1].speed

    def hurry(self, speed: float) -> None:
        """Let jobs age at another speed from now on."""
        if speed <= 0:
            raise ValueError("speed must be above 0")
        now = self.wall()
        self._append(Leg(now, self.age(now), speed))

    def advance(self, seconds: float) -> None:
        """Jump forward: both the wall and the age of jobs move by this much."""
        if seconds < 0:
            raise ValueError("time only moves forward")
        now, age = self.wall(), self.age()
        speed = self.speed
        self._append(Leg(now, age, 1.0))
        self.offset += round(seconds * NS)
        self._append(Leg(now + round(seconds * NS), age + seconds, speed))

    def resume(self, offset: int, legs: list[Leg]) -> None:
        """Go on from an earlier run's clock; the speed of this run holds from now on."""
        speed = self.speed
        self.offset, self.legs = offset, list(legs)
        if self.wall() > self.legs[-1].wall and speed != self.speed:
            self.hurry(speed)

    def _append(self, leg: Leg) -> None:
        if self.legs and self.legs[-1].wall == leg.wall and self.legs[-1].age == leg.age:
            self.legs[-1] = leg
        else:
            self.legs.append(leg)


def stamp(wall: int) -> str:
    """Write a moment as the service does: RFC 3339 with nanoseconds and Z."""
    seconds, nanos = divmod(wall, NS)
    moment = EPOCH + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"


def stamp_micros(wall: int) -> str:
    """Write a moment with microseconds, as files carry their creation time."""
    return f"{stamp(wall)[:-4]}Z"


def http_date(wall: int) -> str:
    """Write a moment as HTTP headers do."""
    return format_datetime(EPOCH + timedelta(seconds=wall // NS), usegmt=True)
