"""Which problems are worth another try, and after how long."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from whisperfleet.client.errors import ApiError, GatewayUnreachable, WhisperfleetError, error_for
from whisperfleet.client.steps import Answer, Lost, Pause, Procedure, Request, send

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0
"""Where no Retry-After asks for another; short, since a gateway that restarts is back in seconds."""
DOUBLINGS = 16
RETRY_STATUS = frozenset({408, 429, 500, 502, 503, 504})


def exchange(request: Request, patience_s: float) -> Procedure[Answer]:
    """The answer of a success. Raises ApiError, or GatewayUnreachable, once more tries cannot help.

    Only for requests that may arrive twice: reads, and uploads with an Idempotency-Key.
    """
    patience = Patience(patience_s)
    while True:
        reply = yield from send(request)
        if isinstance(reply, Answer) and reply.is_success:
            return reply
        problem = problem_of(reply)
        if request.upload and not request.upload.is_repeatable:
            raise problem
        yield patience.pause(problem)


@dataclass(slots=True)
class Patience:
    """How long a service that has problems is asked again; `renew` when it had none."""

    limit_s: float
    waited_s: float = 0.0
    tries: int = 0

    def pause(self, problem: WhisperfleetError) -> Pause:
        """Raises the problem when it will not go away, or not in time."""
        delay_s = delay_before_retry_s(problem, self.tries, random.random())  # noqa: S311  no secret
        if delay_s is None or self.waited_s + delay_s > self.limit_s:
            raise problem
        self.waited_s += delay_s
        self.tries += 1
        return Pause(delay_s, problem)

    def renew(self) -> None:
        self.waited_s, self.tries = 0.0, 0


def delay_before_retry_s(problem: WhisperfleetError, tries: int, chance: float) -> float | None:
    """Never less than Retry-After asks for. None: another try cannot help. chance: 0 to 1."""
    if isinstance(problem, ApiError):
        if problem.status not in RETRY_STATUS or not problem.should_retry:
            return None
        if problem.retry_after_s is not None:
            return problem.retry_after_s
    longest_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(tries, DOUBLINGS))
    return longest_s * (0.5 + chance / 2)


def problem_of(reply: Answer | Lost) -> WhisperfleetError:
    if isinstance(reply, Lost):
        return GatewayUnreachable(reply.sentence)
    error = _error_object(reply.body)
    return error_for(reply.status)(
        str(error.get("message") or f"The gateway answered {reply.status} without a reason."),
        status=reply.status,
        code=str(error.get("code") or ""),
        param=str(error["param"]) if error.get("param") else None,
        request_id=reply.headers.get("x-request-id", ""),
        retry_after_s=retry_after_s(reply.headers),
        should_retry=reply.headers.get("x-should-retry") != "false",
    )


def _error_object(body: bytes) -> Mapping[str, object]:
    """{} when the answer comes from something in between that does not speak this API."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """A date is understood by the answer's own clock."""
    value = headers.get("retry-after", "")
    if value.isdecimal():
        return float(value)
    try:
        moment, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (moment - now).total_seconds())
    except (ValueError, TypeError):
        return None
