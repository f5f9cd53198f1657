"""What SIGTERM does to busy keep-alive clients of a server, on loopback.

    measure.py [--rounds N] [--requests N] [SERVER ...]

Two instances of a server run. Eight clients send one GET after the other to the
first, without a pause, over connections that they keep, and connect again where
a response says close. When each round has had its requests, the first instance
ends, in one of three ways; from its rotation on, new connections go to the
second. Nothing is sent twice: a request that gets no whole response is cut, one
that gets no connection is refused.

bare     SIGTERM at once; rotation 1 s later. No hook.
held     rotation, and SIGTERM 2 s later. A hook, but nobody tells the server.
drained  rotation and the notification; SIGTERM once the status is drained twice
         in a row, at the earliest after 1 s. The hook and the middleware.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
CLIENTS = 8

GUNICORN = ["-m", "gunicorn", "-c", "{conf}", "--log-level", "warning", "-b", "{address}", "-w", "2"]
UVICORN = ["-m", "uvicorn", "--host", "{host}", "--port", "{port}", "--no-access-log", "--log-level", "error"]
HYPERCORN = ["-m", "hypercorn", "-b", "{address}", "--log-level", "ERROR"]
SERVERS = {
    "gunicorn sync": ([*GUNICORN, "-k", "sync"], "wsgi"),
    "gunicorn gthread": ([*GUNICORN, "-k", "gthread", "--threads", "8"], "wsgi"),
    "gunicorn gevent": ([*GUNICORN, "-k", "gevent"], "wsgi"),
    "uvicorn": (UVICORN, "asgi"),
    "uvicorn, 2 workers": ([*UVICORN, "--workers", "2"], "asgi"),
    "hypercorn": (HYPERCORN, "asgi"),
    "hypercorn, 2 workers": ([*HYPERCORN, "-w", "2"], "asgi"),
}


class Instance:
    """A running server."""

    def __init__(self, arguments, kind, middleware, host, port):
        self.host, self.port, self.status_port = host, port, port + 1000
        app = kind if middleware else f"plain_{kind}"
        conf = HERE / "gunicorn.conf.py" if middleware else "/dev/null"
        values = {"conf": conf, "address": f"{host}:{port}", "host": host, "port": port}
        environment = os.environ | {
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
            "STATUS": f"{host}:{self.status_port}",
            "DRAIN_OPERATOR_TOKEN": "token",
        }
        self.shared = kind == "asgi"  # asked on the application's port
        command = [sys.executable, *(a.format(**values) for a in arguments), f"app:{app}"]
        self.errors = tempfile.TemporaryFile("w+")
        # A parent of its own for each, as in a container: not this process.
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", '"$@" & echo $!; exec >&-; trap "" TERM; wait $!', "sh", *command],
            env=environment, stdout=subprocess.PIPE, stderr=self.errors, text=True, start_new_session=True,
        )  # fmt: skip
        self.pid = int(self.process.stdout.readline())

    async def serves(self):
        for _ in range(600):
            try:
                _, writer = await asyncio.open_connection(self.host, self.port)
                writer.close()
                return
            except OSError:
                await asyncio.sleep(0.05)
        raise RuntimeError("does not serve")

    async def ask(self, method, path, body=""):
        port = self.port if self.shared else self.status_port
        reader, writer = await asyncio.open_connection(self.host, port)
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nDrain-Token: token\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        try:
            head, _, answer = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise RuntimeError(f"{path}: {head!r}")
        if b"chunked" in head:
            answer = answer.split(b"\r\n")[1]
        return json.loads(answer)

    async def ended(self):
        while self.process.poll() is None:
            await asyncio.sleep(0.01)

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdout.close()
        self.errors.seek(0)
        return self.errors.read()


@dataclasses.dataclass
class Tally:
    sent: int = 0
    to_first: int = 0
    cut: int = 0
    refused: int = 0


async def client(instances, route, tally, stop):
    """One that never pauses."""
    reader = writer = target = None
    while not stop.is_set():
        tally.sent += 1
        try:
            if writer is None:
                target = instances[route[0]]
                reader, writer = await asyncio.open_connection(target.host, target.port)
        except OSError:
            tally.refused += 1
            await asyncio.sleep(0.01)
            continue
        tally.to_first += target is instances[0]
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(3)
            close = b"connection: close" in head.lower()
            if b" 200 " not in head:
                raise OSError("no 200")
        except (OSError, asyncio.IncompleteReadError):
            tally.cut += 1
            close = True
        if close:
            writer.close()
            reader = writer = None
    if writer:
        writer.close()


async def finish(way, first, route):
    """End the first instance; how long it took to SIGTERM, and from there."""
    begun = time.monotonic()
    if way == "bare":
        os.kill(first.pid, signal.SIGTERM)
        asyncio.get_running_loop().call_later(1, route.__setitem__, 0, 1)
        held = 0.0
    else:
        route[0] = 1
        if way == "drained":
            await first.ask("POST", "/drain", '{"draining": true}')
            drained = 0
            while drained < 2 or time.monotonic() < begun + 1:
                await asyncio.sleep(0.1)
                status = await first.ask("GET", "/drain-status")
                drained = drained + 1 if status["inFlight"] == 0 else 0
        else:
            await asyncio.sleep(2)
        held = time.monotonic() - begun
        os.kill(first.pid, signal.SIGTERM)
    signalled = time.monotonic()
    await asyncio.wait_for(first.ended(), 60)
    ended = time.monotonic() - signalled
    await asyncio.sleep(max(0, begun + 1.2 - time.monotonic()))
    return held, ended


async def one_round(name, way, number, requests, tally):
    arguments, kind = SERVERS[name]
    host = f"127.{120 + number % 100}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
    instances = [Instance(arguments, kind, way == "drained", host, port) for port in (8001, 8002)]
    stop, route = asyncio.Event(), [0]
    try:
        for instance in instances:
            await instance.serves()
        before = tally.sent
        clients = [asyncio.create_task(client(instances, route, tally, stop)) for _ in range(CLIENTS)]
        while tally.sent < before + requests:
            await asyncio.sleep(0.01)
        times = await finish(way, instances[0], route)
        stop.set()
        await asyncio.gather(*clients)
        return times
    finally:
        errors = [instance.kill() for instance in instances]
        if any("Traceback" in e for e in errors):
            print(name, way, *(e[-1500:] for e in errors), file=sys.stderr)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=1000, help="before the end, in each round")
    parser.add_argument("servers", nargs="*", default=list(SERVERS))
    options = parser.parse_args()
    print("| server | way | rounds | requests | to the first | cut | refused | to SIGTERM | SIGTERM to exit |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.servers:
        for way in ("bare", "held", "drained"):
            tally, times = Tally(), []
            for number in range(options.rounds):
                times.append(await one_round(name, way, number, options.requests, tally))
            held, ended = (statistics.median(t) for t in zip(*times))
            print(
                f"| {name} | {way} | {options.rounds} | {tally.sent:,} | {tally.to_first:,} | {tally.cut} | "
                f"{tally.refused} | {held:.1f} s | {ended:.1f} s (at most {max(t[1] for t in times):.1f} s) |",
                flush=True,
            )


asyncio.run(main())
