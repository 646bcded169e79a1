"""What a seeded world does to the daemon: bad manners of the provider, the network, the power.

Everything stays within the two bounds that the daemon assumes: a create takes effect at most D
after it was given up, a job is listed at most L after it was made. After `calm_after` virtual
seconds nothing goes wrong any more, so that every world can come to rest.
"""

from dataclasses import dataclass, field, replace
from random import Random

from orchestrator.emulator.faults import Fault
from orchestrator.emulator.settings import HOUR, EmulatorSettings
from tests.judging.drops import Drop
from tests.simulation.effects import Death

LATE_CREATE, LIST_LAG = 900.0, 1800.0
MOMENTS_GUESSED = 450
CALM = 12 * HOUR

LISTS = (
    Fault(do="empty_list", probability=0.3, times=40),
    Fault(do="repeat_page_token", probability=0.3, times=10),
    Fault(do="truncate_page", probability=0.3, times=10),
    Fault(do="empty_page", probability=0.3, times=10),
    Fault(do="unavailable", on="batches.list", probability=0.4, times=60),
    Fault(do="quota", on="batches.list", probability=0.4, times=60),
    Fault(do="half_answer", on="batches.list", probability=0.2, times=10),
)


@dataclass(frozen=True)
class Order:
    """What the operator asks for: a verb on the set of a drop, at a virtual second."""

    at: float
    verb: str
    drop: str


@dataclass(frozen=True)
class Weather:
    """One world's share of trouble.

    `rollback` is how many commits a power cut may take from the ledger, `ledger_lost` that the
    first cut takes all of it; `torn` lets unsynced writes survive by chance. `taken` are names in
    the outbox that are somebody else's.
    """

    drops: tuple[Drop, ...]
    settings: EmulatorSettings
    faults: tuple[Fault, ...] = ()
    resets: float = 0.0
    holes: float = 0.0
    cuts: float = 0.0
    refusals: float = 0.0
    deaths: dict[int, Death] = field(default_factory=dict)
    orders: tuple[Order, ...] = ()
    taken: tuple[str, ...] = ()
    rollback: int = 0
    ledger_lost: bool = False
    torn: bool = False
    calm_after: float = CALM
    rest_within: float = 6 * 24 * HOUR
    may_fail: bool = False

    @property
    def refuses_requests(self) -> bool:
        """Whether a create is refused as invalid: where it holds one request, that has failed."""
        return any(fault.do == "answer" for fault in self.faults)

    def calmed(self) -> "Weather":
        """The same world without any trouble from now on."""
        return replace(self, faults=(), resets=0.0, holes=0.0, cuts=0.0, refusals=0.0, deaths={})


SMALL = (
    Drop("inline", 3),
    Drop("files", 9, options={"max_requests_per_batch": 3}),
    Drop("vectors", 2, kind="embed"),
)


SPOILED = Drop("spoiled", 3, flawed=frozenset({0, 1, 2}))


def fair(drops: tuple[Drop, ...] = SMALL, deaths: dict[int, Death] | None = None) -> Weather:
    """A world in which nothing goes wrong but the deaths given."""
    settings = EmulatorSettings(pending_seconds=(30, 90), running_seconds=(60, 600))
    return Weather(drops, settings, deaths=deaths or {})


def foul(seed: int) -> Weather:
    """Draw a world from its seed."""
    chance = Random(f"weather {seed}")
    expiry = chance.choice((6 * HOUR, 6 * HOUR, 48 * HOUR))
    settings = EmulatorSettings(
        seed=seed,
        pending_seconds=(30, chance.choice((120, 3600))),
        running_seconds=(60, chance.choice((600, 4 * HOUR))),
        job_expiry_seconds=expiry,
    )
    people = Random(f"people {seed}")
    drops = _peopled(people, _drops(chance))
    return Weather(
        drops=(*drops, *_crowd(seed)),
        orders=_orders(people, drops),
        taken=tuple(d.name for d in drops if people.random() < (0.4 if d.like else 0.04)),
        settings=settings,
        faults=tuple(_fitting(_faults(chance), drops)),
        resets=chance.choice((0, 0, 0.01, 0.04)),
        holes=chance.choice((0, 0, 0.003, 0.01)),
        cuts=chance.choice((0, 0, 0.01)),
        refusals=people.choice((0, 0, 0.05)),
        deaths=_deaths(chance),
        rollback=chance.choice((0, 0, 0, 3, 6)),
        ledger_lost=chance.random() < 0.08,
        torn=chance.random() < 0.5,
    )


def _drops(chance: Random) -> tuple[Drop, ...]:
    flawed = frozenset({1}) if chance.random() < 0.2 else frozenset[int]()
    share = {"flaws_max_fraction": 0.5} if flawed else {}
    files = Drop(
        "files",
        chance.choice((4, 8, 12)),
        options={"max_requests_per_batch": chance.choice((2, 4))},
    )
    inline = Drop("inline", chance.choice((2, 3)), flawed=flawed, options=share)
    vectors = Drop("vectors", 2, kind="embed")
    chosen = [drop for drop in (inline, files, vectors) if chance.random() < 0.8]
    return tuple(chosen) or (files,)


def _peopled(people: Random, drops: tuple[Drop, ...]) -> tuple[Drop, ...]:
    """Add what people drop besides: the same once more, a model's refusal, nothing but mistakes."""
    first = drops[0]
    if people.random() < 0.1:
        drops = (replace(first, failing=frozenset({first.count - 1})), *drops[1:])
    if people.random() < 0.08:
        drops += (replace(drops[0], name="again", like=first.name),)
    if people.random() < 0.06:
        drops += (SPOILED,)
    return drops


def _crowd(seed: int) -> tuple[Drop, ...]:
    """Draw so many small files that they are taken together: in a few worlds."""
    many = Random(f"crowd {seed}").random() < 0.012
    return tuple(Drop(f"small{n}", 1) for n in range(9)) if many else ()


def _orders(people: Random, drops: tuple[Drop, ...]) -> tuple[Order, ...]:
    """Draw what the operator does: in most worlds nothing."""
    orders = []
    copied = {drop.like for drop in drops if drop.like}
    for drop in drops:
        if drop == SPOILED:
            continue
        if people.random() < 0.06:
            at = people.uniform(1, 2 * HOUR)
            orders.append(Order(at, "pause", drop.name))
            # The last one is given when no power cut can take it out of the ledger any more.
            orders += [Order(then, "resume", drop.name) for then in (at + HOUR, CALM + 60)]
        if people.random() < 0.08:
            at = people.choice((1, 60, 200, 600, 3 * HOUR))
            orders.append(Order(at, "cancel", drop.name))
            again = people.random() < 0.6
            # Its copy runs for itself by then: who asks for both is served, and pays, twice.
            if again and drop.name not in copied:
                orders.append(Order(at + HOUR, "retry", drop.name))
        elif drop.failing or people.random() < 0.02:
            orders.append(Order(people.uniform(HOUR, 6 * HOUR), "retry", drop.name))
    return tuple(sorted(orders, key=lambda order: order.at))


def _deaths(chance: Random) -> dict[int, Death]:
    count = chance.choice((0, 1, 2, 3, 6, 10))
    moments = chance.sample(range(1, MOMENTS_GUESSED), count)
    return {moment: chance.choice(("killed", "killed", "power cut")) for moment in moments}


def _faults(chance: Random) -> list[Fault]:
    """Draw faults: each kind in one world out of a few, then on a share of its calls."""
    kinds = [*_creates(chance), *_jobs(chance), *LISTS, *_transfers(chance)]
    return [fault for fault in kinds if chance.random() < 0.18]


def _fitting(faults: list[Fault], drops: tuple[Drop, ...]) -> list[Fault]:
    """Leave out what contradicts a drop: the second row of a refused line would be an answer."""
    failing = any(drop.failing for drop in drops)
    return [fault for fault in faults if not (failing and fault.do == "row_doubled")]


def _creates(chance: Random) -> list[Fault]:
    late = chance.uniform(1, LATE_CREATE)
    return [
        Fault(do="lose_request", on="batches.create", probability=0.3, times=6),
        Fault(do="lose_answer", on="batches.create", probability=0.4, times=6),
        Fault(do="half_answer", on="batches.create", probability=0.3, times=4),
        Fault(do="malformed", on="batches.create", probability=0.3, times=4),
        Fault(do="html", on="batches.create", probability=0.3, times=4),
        Fault(do="empty_error", on="batches.create", probability=0.3, times=4),
        Fault(do="redirect", on="batches.create", probability=0.2, times=3),
        Fault(do="late", seconds=late, probability=0.4, times=4),
        Fault(do="late", seconds=late, status=503, probability=0.4, times=4),
        Fault(do="unavailable", on="batches.create", probability=0.4, times=8),
        Fault(do="quota", seconds=30, probability=0.4, times=8),
        Fault(do="slow_answer", on="batches.create", seconds=200, probability=0.3, times=3),
        Fault(do="slow", on="batches.create", seconds=100, probability=0.3, times=3),
        Fault(do="answer", on="batches.create", status=400, times=1, probability=0.5),
    ]


def _jobs(chance: Random) -> list[Fault]:
    hidden = chance.uniform(1, LIST_LAG)
    return [
        Fault(do="hide_new", seconds=hidden, probability=0.5),
        Fault(do="hide_new", seconds=LIST_LAG - 1, probability=1.0),
        Fault(do="fail", code=13, message="internal", probability=0.4, times=3),
        Fault(do="expire", probability=0.4, times=3),
        Fault(do="cancelled", probability=0.3, times=2),
        Fault(do="stuck", probability=0.4, times=2),
        Fault(do="late_output", seconds=chance.uniform(60, 3000), probability=0.4),
        Fault(do="twin", count=1, probability=0.3, times=1),
        Fault(do="shuffle", probability=0.7),
        Fault(do="cut_last_line", probability=0.3, times=2),
        Fault(do="partial", fraction=0.5, probability=0.3, times=2),
        Fault(do="skew", seconds=chance.choice((-3600, 3600)), probability=0.5),
        Fault(do="row_error", code=13, message="internal", rows=0.3, probability=0.4, times=4),
        Fault(do="row_missing", rows=0.3, probability=0.3, times=3),
        Fault(do="row_doubled", rows=0.3, probability=0.4),
    ]


def _transfers(chance: Random) -> list[Fault]:
    return [
        Fault(do="lose_answer", on="files.upload", probability=0.4, times=6),
        Fault(do="cut_request", bytes=chance.randrange(1, 300), probability=0.4, times=4),
        Fault(do="processing", seconds=chance.uniform(1, 100), probability=0.5, times=4),
        Fault(do="file_failed", probability=0.3, times=2),
        Fault(do="no_upload_status", probability=0.3, times=2),
        Fault(do="unavailable", on="files.*", probability=0.2, times=20),
        Fault(do="cut", bytes=chance.randrange(1, 400), probability=0.5, times=6),
        Fault(do="not_there", probability=0.3, times=3),
        Fault(do="half_answer", on="files.download", probability=0.3, times=4),
        Fault(do="unavailable", on="files.download", probability=0.3, times=10),
    ]
