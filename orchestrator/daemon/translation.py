"""From the settings' words to the values that the rooms below take."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from orchestrator.config.settings import Settings
from orchestrator.daemon.conditions import Conditions
from orchestrator.daemon.money import Price, Purse
from orchestrator.daemon.notices import Senders
from orchestrator.daemon.project import Policies
from orchestrator.domain.caps import micros_of
from orchestrator.domain.ids import IdempotencyKey
from orchestrator.domain.request_sets import OPEN_STATES
from orchestrator.gemini.service import Service
from orchestrator.ports import Clock
from orchestrator.stages.tidy import Retention
from orchestrator.status.assembly import StatusRoom
from orchestrator.status.board import Board
from orchestrator.status.notify import Webhook


def policies(settings: Settings) -> Policies:
    """Build the numbers that decide."""
    models = [profile.model for profile in settings.profiles.values() if profile.model]
    money = settings.money
    return Policies(
        limits=settings.account_limits(*models),
        retry=settings.retry_policy(),
        submission=settings.submission_policy(),
        poll=settings.poll_policy(),
        purse=Purse(
            {
                model: Price(
                    micros_of(price.input),
                    micros_of(price.output),
                    micros_of(price.input if price.cached is None else price.cached),
                )
                for model, price in settings.pricing.items()
            },
            _cap(money.max_cost_per_day),
            _cap(money.max_cost_per_set),
            {
                name: micros_of(profile.max_cost)
                for name, profile in settings.profiles.items()
                if profile.max_cost is not None
            },
        ),
    )


def service(settings: Settings) -> Service:
    """Build where the service is and how long a call may last."""
    gemini = settings.gemini
    return Service(
        base_url=gemini.base_url,
        api_version=gemini.api_version,
        connect_timeout=timedelta(seconds=gemini.connect_timeout_seconds),
        call_timeout=timedelta(seconds=gemini.call_timeout_seconds),
        create_timeout=timedelta(seconds=settings.submission.create_timeout_seconds),
        stall_timeout=timedelta(seconds=gemini.transfer_idle_timeout_seconds),
    )


def retention(settings: Settings) -> Retention:
    """Build how long what is finished is kept."""
    kept = settings.retention
    return Retention(
        remote=timedelta(days=kept.remote_days),
        work=timedelta(days=kept.work_days),
        work_bytes_max=kept.work_max_bytes,
        rejected=None if kept.rejected_days is None else timedelta(days=kept.rejected_days),
        rejected_bytes_max=kept.rejected_max_bytes,
        ledger=timedelta(days=kept.events_days),
        ledger_bytes_max=kept.events_max_bytes,
    )


def notifier(settings: Settings, room: StatusRoom, clock: Clock) -> Senders:
    """Build who is told of what happens."""
    notify = settings.notify
    hook = None
    if notify.webhook_url is not None:
        secret = notify.webhook_secret
        hook = Webhook(
            notify.webhook_url.get_secret_value(), secret.get_secret_value() if secret else None
        )
    return Senders(
        notify.command,
        timedelta(seconds=notify.command_timeout_seconds),
        hook,
        clock,
        room.metrics.notified,
        Conditions(room.board, clock).troubled,
    )


def upload_progress(room: StatusRoom) -> Callable[[str, int, int], None]:
    """Return what takes an upload's progress to the board and the metrics."""
    before: dict[str, int] = {}

    def progressed(name: str, sent: int, size: int) -> None:
        room.metrics.moved_bytes("uploaded", max(sent - before.get(name, 0), 0))
        before[name] = sent
        token = name.removeprefix("files/")
        room.board.uploaded(IdempotencyKey(token), sent)
        if sent >= size:
            before.pop(name, None)

    return progressed


def status_line(board: Board) -> str:
    """Say in one line what goes on, for `systemctl status`."""
    sums = board.sums
    live = sum(sums.states.values())
    open_sets = sum(sums.set_states[state] for state in OPEN_STATES)
    wrong = board.conditions
    trouble = f"; {wrong[0].message}" if wrong else ""
    return f"{board.phase}: {open_sets} sets open, {live} batches under way{trouble}"


def _cap(amount: Decimal | None) -> int | None:
    return None if amount is None else micros_of(amount)
