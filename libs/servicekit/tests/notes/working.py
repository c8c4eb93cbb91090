"""A worker that a test can kill: `python working.py <database url> <now>` handles what is due, with short leases."""

import asyncio
import sys
from datetime import datetime

from servicekit import DueItem, Job, Lease
from servicekit.clock_door import ClockDoor
from storage import Sessions
from storage.engine import create_engine


async def in_forty_chunks(lease: Lease, item: DueItem) -> None:
    """Each chunk adds to its effect, unless that is there."""
    for number in range(40):
        async with lease.begin() as session:
            ref = {"ref": str(number), "tenant": item.tenant}
            if not await session.scalar("SELECT 1 FROM effect WHERE ref = :ref", ref):
                await session.run("INSERT INTO effect (tenant, ref, seen, times) VALUES (:tenant, :ref, 0, 1)", ref)
        await asyncio.sleep(0.02)  # sleep: a long job, to be killed on its way


if __name__ == "__main__":
    sessions = Sessions(create_engine(sys.argv[1], schema="training"), "training")
    clock = ClockDoor(sessions, {"read": Job(in_forty_chunks)}, lease_seconds=1)
    asyncio.run(clock.tick(datetime.fromisoformat(sys.argv[2])))
