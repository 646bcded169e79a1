"""Look first, journal, send once, and take each answer for what it certainly says."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.domain.admission import Oversized
from orchestrator.domain.batches import (
    Lapsed,
    LapseReason,
    Planned,
    Submitted,
    Submitting,
    Unsent,
    Uploaded,
    intend,
    refuse,
    stow,
)
from orchestrator.domain.caps import Hold
from orchestrator.domain.evidence import Start
from orchestrator.domain.ids import FileName, SetId
from orchestrator.domain.moves import Move
from orchestrator.domain.policy import Limits
from orchestrator.domain.request_sets import Flags
from orchestrator.ports import Blocked, InDoubt, Refused, SourceChanged, Unavailable
from orchestrator.stages import submit as stage
from orchestrator.store import questions, request_sets as set_rows
from orchestrator.store.database import InlineDatabase
from orchestrator.store.errors import StaleTransition
from orchestrator.store.transitions import apply
from tests.stages.desk import Desk, desk
from tests.store import values

MODEL = "gemini-2.5-flash"


async def ready(
    ledger: InlineDatabase, mode: str = "inline", *, hours: int = 48, **changes: object
) -> tuple[Desk, Unsent]:
    """Return a desk with one batch that can be sent."""
    here = await desk(ledger)
    info = values.set_info(priority=3)
    planned = values.planned(of=info, mode=mode, **changes)
    await ledger.transact(values.start, info, planned)
    item: Unsent = planned
    if mode == "file":
        file = FileName(f"files/{planned.part.token}")
        stowed = stow(planned, file, values.NOW + timedelta(hours=hours))
        await ledger.transact(apply, values.NOW, stowed)
        item = stowed.after
    here.provider.created = values.snapshot("batches/a", planned.part.token)
    return here, item


# ---- who may be sent ----------------------------------------------------------------------------


async def test_what_waits_is_found(ledger: InlineDatabase) -> None:
    """A batch that may be sent is found, and sent once."""
    here, item = await ready(ledger)
    stage_ = here.submit()
    assert await stage_.find() == [item]
    assert stage_.name(item) == item.part.token

    await stage_.do(item)

    assert isinstance(await here.batch(item.part.token), Submitted)
    assert here.provider.creates == [(item.part.token, None, None)]
    assert here.account.said == [("accepted", "create")]
    assert await stage_.find() == []


async def test_nothing_is_found_while_anything_is_in_the_way(ledger: InlineDatabase) -> None:
    """An obstacle, a model at rest, a list that was not read, a batch without its measure."""
    here, item = await ready(ledger)
    stage_ = here.submit()

    here.account.blocked_by = "the key is refused"
    assert await stage_.find() == []
    here.account.blocked_by = None

    here.account.sending.rests.begin(MODEL, 0.0, lambda _times: timedelta(minutes=1))
    assert await stage_.find() == []
    here.account.sending.rests.end(MODEL)

    here.account.waiting = frozenset({item.part.token})
    assert await stage_.find() == []
    here.account.waiting = frozenset()

    here.account.evidence.start = Start.DOUBTFUL
    assert await stage_.find() == []
    assert here.account.looks == [0.0]


async def test_what_work_waits_for_is_known_as_long_as_it_waits(ledger: InlineDatabase) -> None:
    """A full project is told, and a cost that has to be told first; what may be sent waits not."""
    here, item = await ready(ledger)
    stage_, sending = here.submit(), here.account.sending

    here.account.limited = Limits(active_jobs_max=0)
    assert await stage_.find() == []
    assert sending.waits_for == "0 of 0 jobs of the project are active"
    here.account.limited = Limits()

    here.account.waiting = frozenset({item.part.token})
    assert await stage_.find() == []
    assert sending.waits_for == stage.FOR_ITS_COST
    here.account.waiting = frozenset()

    assert await stage_.find() == [item]
    assert sending.waits_for is None


async def test_after_a_withdrawal_the_list_is_read_again(ledger: InlineDatabase) -> None:
    """What was refused for now is sent again only after a list that was read since."""
    here, item = await ready(ledger)
    here.account.sending.fresh_after[item.part.token] = 0.0
    assert await here.submit().find() == []
    assert here.account.looks == [0.0]

    here.clock.seconds = 1.0
    here.look()
    assert await here.submit().find() == [item]


async def test_a_file_has_to_be_uploaded_first(ledger: InlineDatabase) -> None:
    """A planned batch with a file keeps its place and is not sent."""
    here = await desk(ledger)
    await ledger.transact(values.start, values.set_info(), values.planned(mode="file"))
    assert await here.submit().find() == []


# ---- before the first byte ----------------------------------------------------------------------


async def test_without_a_key_nothing_is_sent(ledger: InlineDatabase) -> None:
    """A key that went away is reported."""
    here, item = await ready(ledger)
    here.provider.key = Blocked("no key", "give one")
    await here.submit().do(item)
    assert here.provider.creates == []
    assert here.account.said == [("blocked", ("no key; give one", "create"))]


async def test_a_job_of_the_set_that_nobody_knows_comes_first(ledger: InlineDatabase) -> None:
    """The list shows a job under the set's name that the ledger has lost: nothing is sent."""
    here, item = await ready(ledger)
    here.look(values.snapshot("batches/lost", item.part.token))
    await here.submit().do(item)
    assert here.provider.creates == []
    assert await here.batch(item.part.token) == item


async def test_a_mark_of_an_earlier_life_puts_it_in_doubt(ledger: InlineDatabase) -> None:
    """A ledger that was rolled back meets the mark beside the plan."""
    here, item = await ready(ledger)
    here.folder.marks.add(item.part.token)
    await here.submit().do(item)
    assert here.provider.creates == []
    assert (await here.doubtful(item.part.token)).doubt == "in_doubt"


@pytest.mark.parametrize("wrapped", [False, True])
async def test_what_could_never_start_is_given_back(ledger: InlineDatabase, wrapped: bool) -> None:  # noqa: FBT001
    """Alone above its model's limit a batch is planned again in parts, however it was found."""
    here, item = await ready(ledger)
    here.account.tokens_max = 10
    await here.submit().do(Oversized(item) if wrapped else item)
    over = await here.batch(item.part.token)
    assert isinstance(over, Lapsed)
    assert over.reason is LapseReason.DROPPED


async def test_what_is_oversized_no_more_waits_for_its_turn(ledger: InlineDatabase) -> None:
    """A limit that was raised meanwhile: it is neither split nor sent before its turn."""
    here, item = await ready(ledger)
    await here.submit().do(Oversized(item))
    assert here.provider.creates == []
    assert await here.batch(item.part.token) == item


async def test_a_file_that_expires_soon_is_uploaded_again(ledger: InlineDatabase) -> None:
    """Its next upload has the next name."""
    here, item = await ready(ledger, "file", hours=0)
    await here.submit().do(item)
    again = await here.batch(item.part.token)
    assert isinstance(again, Planned)
    assert again.upload == 2
    assert here.provider.creates == []


async def test_a_cap_holds_the_set_before_the_intent(ledger: InlineDatabase) -> None:
    """What is not measured waits, what is too dear is held; neither leaves an intent."""
    here, item = await ready(ledger)
    here.account.waiting = frozenset({item.part.token})
    await here.submit().do(item)
    here.account.waiting = frozenset()
    here.account.cap = Hold("max_cost_per_day: enough")
    await here.submit().do(item)
    assert here.account.held == ["max_cost_per_day: enough"]
    assert await here.batch(item.part.token) == item
    assert here.account.sending.now == set()


async def test_the_minute_is_full(ledger: InlineDatabase) -> None:
    """When others were quicker the batch waits for the next minute."""
    here, item = await ready(ledger)
    here.account.limited = replace(Limits(), requests_per_minute=1)
    here.account.sending.creates.append(0.0)
    await here.submit().do(item)
    assert here.provider.creates == []


async def test_a_set_that_was_stopped_meanwhile_is_not_sent(ledger: InlineDatabase) -> None:
    """The intent itself asks whether the set may still start work."""
    here, item = await ready(ledger)
    name, paused = item.part.request_set, Flags(paused=True)
    await ledger.transact(set_rows.flag, values.NOW, name, Flags(), paused, "paused")
    with pytest.raises(StaleTransition):
        await here.submit().do(item)
    assert here.provider.creates == []
    assert await here.batch(item.part.token) == item


async def test_the_service_is_told_of_a_priority_if_that_is_wished(ledger: InlineDatabase) -> None:
    """The set's own priority goes along with the create, and with its file."""
    here, item = await ready(ledger, "file")
    assert isinstance(item, Uploaded)
    await here.submit(tell_priority=True).do(item)
    assert here.provider.creates == [(item.part.token, item.file, 3)]


# ---- what the answer says -----------------------------------------------------------------------


async def test_a_source_that_changed_holds_the_set(ledger: InlineDatabase) -> None:
    """Nothing was sent: the batch goes back, and the set waits for a person."""
    here, item = await ready(ledger)
    here.provider.created = SourceChanged("input has changed")
    await here.submit().do(item)
    assert isinstance(await here.batch(item.part.token), Planned)
    assert here.account.held == ["source_changed: input has changed"]
    assert here.folder.marks == set()


async def test_a_refused_key_stops_everything(ledger: InlineDatabase) -> None:
    """The intent is withdrawn; its model rests and the project is blocked."""
    here, item = await ready(ledger)
    here.provider.created = Blocked("403", "see to the key")
    await here.submit().do(item)
    assert isinstance(await here.batch(item.part.token), Planned)
    assert here.account.said == [("blocked", ("403; see to the key", "create"))]
    assert here.account.sending.rests.holds(MODEL, 0.0)


@pytest.mark.parametrize("overloaded", [False, True])
async def test_what_is_unavailable_is_tried_later(
    ledger: InlineDatabase,
    overloaded: bool,  # noqa: FBT001
) -> None:
    """Not before the service's own time; 429 asks for less of the model besides."""
    here, item = await ready(ledger)
    hour = timedelta(hours=1)
    here.provider.created = Unavailable("429", hour, overloaded=overloaded)
    await here.submit().do(item)
    back = await here.batch(item.part.token)
    assert isinstance(back, Planned)
    assert back.not_before == values.NOW + hour
    assert here.folder.marks == set()
    assert here.account.said == ([("eased", MODEL)] if overloaded else [])


async def test_whatever_is_unclear_is_in_doubt(ledger: InlineDatabase) -> None:
    """The mark stays, the doubt begins now, the list is asked at once."""
    here, item = await ready(ledger)
    here.provider.created = InDoubt("503")
    await here.submit().do(item)
    assert (await here.doubtful(item.part.token)).doubt == "in_doubt"
    assert here.account.sending.doubtful == {item.part.token: 0.0}
    assert here.folder.marks == {item.part.token}
    assert here.account.looks == [0.0]


async def test_a_refused_file_is_uploaded_again_and_at_last_held(ledger: InlineDatabase) -> None:
    """It may be gone: it is sent under another name, and after eight the set waits."""
    here, item = await ready(ledger, "file")
    assert isinstance(item, Uploaded)
    here.provider.created = Refused(403, "PERMISSION_DENIED", "not yours", no_file=True)
    for upload in range(1, stage.UPLOADS_REFUSED_MAX + 1):
        held = len(here.account.held)
        await here.submit().do(item)
        back = await here.batch(item.part.token)
        assert isinstance(back, Planned)
        assert back.upload == upload + 1
        assert held == 0
        stowed = stow(back, item.file, item.file_expires)
        await ledger.transact(apply, values.NOW, stowed)
        item = stowed.after
    assert len(here.account.held) == 1
    assert here.account.held[0].startswith(stage.FILE_REFUSED)


@pytest.mark.parametrize("count", [1, 10])
async def test_an_unknown_model_settles_all_of_the_set(ledger: InlineDatabase, count: int) -> None:
    """404 is said of the model: every request of the set ends with it."""
    here, item = await ready(ledger, count=count)
    here.provider.created = Refused(404, "NOT_FOUND", "no such model")
    await here.submit().do(item)
    over = await here.batch(item.part.token)
    assert isinstance(over, Lapsed)
    assert over.reason is LapseReason.REFUSED
    assert here.folder.done == [("all", stage.NOT_FOUND)]


@pytest.mark.parametrize(
    ("line", "knows", "reason"),
    [
        (7, True, LapseReason.REFUSED),
        (7, False, LapseReason.INVALID),
        (None, True, LapseReason.INVALID),
    ],
)
async def test_a_request_at_fault_is_settled_or_looked_for(
    ledger: InlineDatabase,
    line: int | None,
    knows: bool,  # noqa: FBT001
    reason: LapseReason,
) -> None:
    """The line that is named is settled by the service's words; else the batch is halved."""
    here, item = await ready(ledger)
    here.folder.knows_line = knows
    here.provider.created = Refused(400, "INVALID_ARGUMENT", "Error on line 7: bad", line)
    await here.submit().do(item)
    over = await here.batch(item.part.token)
    assert isinstance(over, Lapsed)
    assert over.reason is reason
    assert here.folder.done == ([] if line is None else [("line", 7, "bad")])


async def test_a_mistake_in_every_line_holds_the_set(ledger: InlineDatabase) -> None:
    """After so many refused creates a person is asked."""
    here = await desk(ledger)
    info = values.set_info()
    many = [values.planned(n, of=info, mode="inline") for n in range(1, stage.REFUSALS_MAX + 1)]
    await ledger.transact(values.start, info, *many)
    here.provider.created = Refused(400, "INVALID_ARGUMENT", "bad", 1)
    for item in many:
        assert here.account.held == []
        await here.submit().do(item)
    assert here.account.held[0].startswith(f"refused: {stage.REFUSALS_MAX} creates of this set")


async def test_no_refusal_beside_it_hides_the_one_that_holds(ledger: InlineDatabase) -> None:
    """The count is taken with the refusal: one recorded at once after it is the next."""
    here = await desk(ledger)
    info = values.set_info()
    numbers = range(1, stage.REFUSALS_MAX + 2)
    *many, last = [values.planned(n, of=info, mode="inline") for n in numbers]
    await ledger.transact(values.start, info, *many, last)
    intent = intend(last, values.NOW, values.ACCOUNT, 1)
    await ledger.transact(apply, values.NOW, intent)
    beside = refuse(intent.after, values.NOW, "bad")
    crowded: Any = Crowded(ledger, info.id, beside)
    here.journal = replace(here.journal, ledger=crowded)
    here.provider.created = Refused(400, "INVALID_ARGUMENT", "bad", 1)

    for item in many:
        await here.submit().do(item)

    assert await ledger.read(questions.refusals, info.id) == stage.REFUSALS_MAX + 1
    assert here.account.held[0].startswith(f"refused: {stage.REFUSALS_MAX} creates of this set")


@dataclass
class Crowded:
    """A ledger in which one more refusal follows at once on the one that is to hold the set."""

    ledger: InlineDatabase
    request_set: SetId
    beside: Move[Submitting, Lapsed]

    async def read(self, *question: Any) -> Any:
        return await self.ledger.read(*question)

    async def transact(self, *work: Any) -> Any:
        result = await self.ledger.transact(*work)
        count = await self.ledger.read(questions.refusals, self.request_set)
        if count == stage.REFUSALS_MAX:
            await self.ledger.transact(apply, values.NOW, self.beside)
        return result
