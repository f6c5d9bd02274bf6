"""Holds a Lease at the API server, and works only while it does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import structlog

from whisper_dispatcher.jetstream.cancellation import heed_cancellation
from whisper_operator.cluster import ApiError, Cluster, Unreachable
from whisper_operator.lease import Sighting, Timing, holder, may_take, released, sighted, taken
from whisper_operator.resources import LEASES, Manifest

log = structlog.get_logger()

ATTEMPT_S = 3.0
"""A request that hangs must not cost the Lease."""


class LeaseLost(Exception):
    """Somebody else may write from now on, or soon."""


class Leadership:
    def __init__(self, cluster: Cluster, place: tuple[str, str], me: str, timing: Timing | None = None) -> None:
        """place: the Lease's namespace and name. me: a name that no other living operator has."""
        self.trouble: str | None = None
        """Why it is not known who leads."""
        self._cluster = cluster
        self._place = place
        self._me = me
        self._timing = timing or Timing()
        self._lease: Manifest | None = None
        self._until_s = 0.0

    def holds(self) -> bool:
        """Asked before every write: after a pause of the whole process it is false before anything has run."""
        return time.monotonic() < self._until_s

    async def lead(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Works whenever it holds the Lease, until cancelled; then somebody else may take it at once."""
        while True:
            await self._acquire()
            log.info("leading", lease=self._place[1], holder=self._me)
            try:
                # A task of its own: on Python 3.11 a failed TaskGroup leaves its task marked as cancelled.
                await asyncio.create_task(self._hold(work))
            except* LeaseLost as lost:
                log.warning("no longer leading", reason=str(lost.exceptions[0]))
            finally:
                await self._release()
            heed_cancellation()

    async def _hold(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            group.create_task(self._renew())

    async def _acquire(self) -> None:
        sighting: Sighting | None = None
        told: str | None = None
        while True:
            try:
                async with asyncio.timeout(ATTEMPT_S):
                    sighting = sighted(sighting, await self._cluster.get(LEASES, *self._place), time.monotonic())
                    if may_take(sighting, self._me, time.monotonic(), self._timing):
                        await self._write(sighting.lease)
                        return
                self.trouble = None
                if (leader := holder(sighting.lease)) != told:
                    told = leader
                    log.info("following", lease=self._place[1], holder=leader)
            except (ApiError, Unreachable, TimeoutError) as error:
                self._note(error)
            await asyncio.sleep(self._timing.look_s)

    async def _renew(self) -> None:
        wait_s = self._timing.renew_s
        while True:
            try:
                async with asyncio.timeout(self._until_s - time.monotonic()):
                    await asyncio.sleep(wait_s)
                    is_renewed = await self._renewed()
            except TimeoutError as error:
                raise LeaseLost(f"The Lease was not renewed for {self._timing.stops_s:g} s.") from error
            wait_s = self._timing.renew_s if is_renewed else self._timing.look_s

    async def _renewed(self) -> bool:
        try:
            async with asyncio.timeout(ATTEMPT_S):
                await self._write(self._lease)
                return True
        except ApiError as error:
            if error.status not in (404, 409):
                self._note(error)
                return False
        except (Unreachable, TimeoutError) as error:
            self._note(error)
            return False
        await self._look()
        return False

    async def _look(self) -> None:
        """After a write that was not for the Lease as it is. It is mine still where the last answer was lost."""
        try:
            async with asyncio.timeout(ATTEMPT_S):
                lease = await self._cluster.get(LEASES, *self._place)
        except (ApiError, Unreachable, TimeoutError) as error:
            self._note(error)
            return
        if holder(lease) != self._me:
            raise LeaseLost(f"The Lease is held by {holder(lease) or 'nobody'}.")
        self._lease = lease

    async def _write(self, lease: Manifest | None) -> None:
        """Only over the version given, so that of two who try one succeeds."""
        begun_s = time.monotonic()
        wanted = taken(lease, self._place, self._me, self._timing, _now())
        write = self._cluster.replace if lease else self._cluster.create
        self._lease = await write(LEASES, wanted)
        self._until_s = begun_s + self._timing.stops_s
        self.trouble = None

    async def _release(self) -> None:
        is_mine, self._until_s = self.holds(), 0.0
        try:
            async with asyncio.timeout(ATTEMPT_S):
                while is_mine and self._lease and holder(self._lease) == self._me:
                    try:
                        await self._cluster.replace(LEASES, released(self._lease, _now()))
                        return
                    except ApiError as error:
                        if error.status != 409:
                            raise
                        self._lease = await self._cluster.get(LEASES, *self._place)
        except (ApiError, Unreachable, TimeoutError) as error:
            log.warning("the lease was not released", error=str(error), expires_s=self._timing.expires_s)

    def _note(self, error: Exception) -> None:
        if isinstance(error, ApiError) and error.status == 409:
            return  # another one was faster
        namespace, name = self._place
        self.trouble = f"The Lease {namespace}/{name} cannot be read or written: {error or type(error).__name__}"
        log.warning("who leads is not known", lease=name, error=str(error) or type(error).__name__)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
