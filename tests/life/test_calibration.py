"""Calibration: what answers teach about tokens decides about everything that is not sent yet."""

import base64
from dataclasses import dataclass
from typing import Any

from tests.life.town import Drop, Town, live

FILM = {"fileData": {"mimeType": "video/mp4", "fileUri": "https://example.com/film"}}
LIMIT = 12_000
FILM_TOKENS = 258  # as the service counts them
CONFIG = f"""
[limits]
max_active_jobs = 1
[limits.enqueued_tokens]
"gemini-2.5-flash" = {LIMIT}
"""


@dataclass(frozen=True)
class Films(Drop):
    """Requests of few bytes and many tokens."""

    films: int = 4

    def _line(self, number: int) -> dict[str, Any]:
        line = Drop._line(self, number)
        line["request"]["contents"][0]["parts"] += [FILM] * self.films
        return line


@dataclass(frozen=True)
class Pictures(Drop):
    """Requests of many bytes and few tokens."""

    bytes_each: int = 60_000

    def _line(self, number: int) -> dict[str, Any]:
        line = Drop._line(self, number)
        data = base64.b64encode(bytes([number]) * self.bytes_each).decode()
        picture = {"inlineData": {"mimeType": "image/png", "data": data}}
        line["request"]["contents"][0]["parts"].append(picture)
        return line


def test_what_was_planned_before_the_first_answers_is_split_before_it_is_sent():
    """A batch that by the usage of another is above the limit alone is sent in smaller ones."""

    async def scenario(town: Town) -> None:
        town.drop(Films("films", 60, options={"max_requests_per_batch": 20}))
        await town.until_delivered()
        town.judge()
        first, _, *others = [job.count for job in town.jobs]  # the second goes as the first ends
        assert first * 4 * FILM_TOKENS > LIMIT  # guessed, so it was taken for small
        assert max(others) * 4 * FILM_TOKENS <= LIMIT
        assert town.summary("films")["generations"] == 1
        assert town.calls("batches.create") == len(town.jobs)

    live(scenario, config=CONFIG)


def test_what_is_in_flight_counts_as_answers_have_taught():
    """Once a set's tokens are known, its jobs side by side are no more than fit together."""

    async def scenario(town: Town) -> None:
        town.drop(Films("films", 48, options={"max_requests_per_batch": 4}))
        await town.until(lambda: town.moves.count("ended>collected") > 5, step=5)
        most = 0
        while not (town.state / "outbox/films/summary.json").exists():
            most = max(most, sum(job.tokens for job in town.jobs if job.is_active))
            await town.pass_time(20)
        town.judge()
        assert 4 * 4 * FILM_TOKENS < most <= LIMIT

    live(scenario, config=CONFIG.replace("max_active_jobs = 1", "max_active_jobs = 3"))


def test_pictures_are_not_taken_for_text():
    """Base64 has few tokens for its bytes: by the first guess such batches go side by side."""

    async def scenario(town: Town) -> None:
        town.drop(Pictures("pictures", 30, options={"max_requests_per_batch": 10}))
        await town.until(lambda: len(town.jobs) == 3, step=1, within=60)
        assert sum(job.tokens for job in town.jobs) <= LIMIT
        await town.until_delivered()
        town.judge()
        assert len(town.jobs) == 3

    live(scenario, config=CONFIG.replace("max_active_jobs = 1", "max_active_jobs = 3"))
