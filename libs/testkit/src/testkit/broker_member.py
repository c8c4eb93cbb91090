"""A member of a group in a process of its own, to be killed: `broker_member.py FACTORY ADDRESS GROUP TOPIC [OPTIONS]`.

FACTORY is `module:name` of what makes a broker of an address and of OPTIONS, a JSON object. Prints a line when it has
got partitions.
"""

import asyncio
import importlib
import json
import sys


async def main(factory: str, address: str, group: str, topic: str, options: str = "{}") -> None:
    module, name = factory.split(":")
    make = getattr(importlib.import_module(module), name)
    async with make(address, **json.loads(options)) as broker, broker.join(group, [topic]) as reader:
        while not reader.assignment():
            await reader.fetch(max_messages=1, wait_seconds=1)
        print("reading", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
