"""The operator's orders from the socket, handed to the stages' verbs."""

from dataclasses import dataclass

import structlog

from orchestrator.domain.ids import IdempotencyKey, JobName, SetId
from orchestrator.ports import Trouble
from orchestrator.stages.control import Control, NotPossible
from orchestrator.status.control import Impossible, Verb

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Orders:
    """Implements the status room's `Control` over the stages'."""

    control: Control

    async def act(
        self, verb: Verb, target: SetId, token: IdempotencyKey | None, job: JobName | None
    ) -> str:
        """Carry out an order and return in words what was done. Raises Impossible."""
        try:
            return await self._act(verb, target, token, job)
        except NotPossible as error:
            raise Impossible(error.why, error.remedy) from error
        except Trouble as error:
            raise Impossible(f"the provider did not do it: {error}", "try again later") from error

    async def _act(
        self, verb: Verb, target: SetId, token: IdempotencyKey | None, job: JobName | None
    ) -> str:
        match verb:
            case Verb.CANCEL:
                return await self.control.cancel(target)
            case Verb.PAUSE:
                return await self.control.pause(target)
            case Verb.RESUME | Verb.RELEASE:
                return await self.control.resume(target)
            case Verb.RETRY:
                return await self.control.retry(target)
            case Verb.DELETE_REMOTE:
                return await self.control.delete_remote(target)
            case Verb.ABSENT:
                assert token is not None, "the socket demands it"
                return await self.control.absent(target, token)
            case Verb.ADOPT:
                assert token is not None, "the socket demands it"
                assert job is not None, "the socket demands it"
                return await self.control.adopt(target, token, job)
