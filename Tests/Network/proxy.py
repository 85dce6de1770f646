"""A proxy that breaks what passes through it, for tests of what stands behind it.

usage: proxy.py SEED LISTEN=TARGET… (each host:port)

Each connection gets a fault of its own, drawn from the seed: delay, stall, reset, a flipped byte,
half-open (one direction dies and nobody is told), or none. A faulty connection lives for a while
and for some bytes first, so that every stage of a conversation meets every fault.
"""

import asyncio
import random
import sys

FAULTS = ("none", "delay", "stall", "reset", "flip", "half-open")
counts = dict.fromkeys(FAULTS, 0)


class Way:
    """One direction of a connection."""

    def __init__(self, reader, writer, fault, after, chance):
        self.reader, self.writer = reader, writer
        self.fault, self.left, self.chance = fault, after, chance

    async def walk(self):
        while True:
            piece = await self.reader.read(65536)
            if not piece:
                break
            self.left -= len(piece)
            if self.fault == "delay":
                await asyncio.sleep(self.chance.uniform(0, 0.08))
            if self.left < 0 and self.fault in ("stall", "reset", "flip", "half-open"):
                counts[self.fault] += 1
                if self.fault == "reset":
                    raise ConnectionResetError
                if self.fault == "flip":
                    place = self.chance.randrange(len(piece))
                    piece = piece[:place] + bytes([piece[place] ^ 0x40]) + piece[place + 1:]
                    self.left = self.chance.randrange(1 << 20, 16 << 20)
                if self.fault == "stall":
                    await asyncio.sleep(self.chance.uniform(2, 25))
                    self.left = self.chance.randrange(1 << 20, 16 << 20)
                if self.fault == "half-open":
                    await asyncio.sleep(3600)
            self.writer.write(piece)
            await self.writer.drain()
        if self.writer.can_write_eof():
            self.writer.write_eof()


def abort(*writers):
    for writer in writers:
        writer.transport.abort()


async def serve(target, chance, reader, writer):
    host, port = target.rsplit(":", 1)
    try:
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
    except OSError:
        abort(writer)
        return
    fault = chance.choice(FAULTS)
    # Half of the faults strike within the first frames, the others in the middle of payloads.
    after = chance.choice((chance.randrange(4096), chance.randrange(4 << 20)))
    if fault in ("none", "delay"):
        counts[fault] += 1
    one = Way(reader, far_writer, fault, after, chance)
    quiet = fault if fault == "delay" else "none"
    other = Way(far_reader, writer, quiet, after, chance)
    if chance.random() < 0.5:
        one.fault, other.fault = other.fault, one.fault
    try:
        await asyncio.gather(one.walk(), other.walk())
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        abort(writer, far_writer)


async def main():
    chance = random.Random(int(sys.argv[1]))
    servers = []
    for pair in sys.argv[2:]:
        listen, target = pair.split("=")
        host, port = listen.rsplit(":", 1)

        async def take(reader, writer, target=target):
            await serve(target, random.Random(chance.random()), reader, writer)

        servers.append(await asyncio.start_server(take, host, int(port)))
    print("ready", flush=True)
    while await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        print(" ".join(f"{fault}={count}" for fault, count in counts.items()), flush=True)


asyncio.run(main())
