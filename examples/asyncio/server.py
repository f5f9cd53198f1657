"""An HTTP server of a few lines on asyncio, which drains with drain.py.

GET or POST /work?ms=N answers after N milliseconds, /events is an event stream.
What a server of one's own has to do is marked with (1) to (4). DRAIN=off leaves
it out: then SIGTERM cuts what is under way, as it does by default.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import time
import urllib.parse

import drain

POD = socket.gethostname()
NOTICE_SECONDS = 4  # over which the clients of event streams are told
DRAINS = os.environ.get("DRAIN") != "off"


async def connection(reader, writer):
    try:
        while not writer.is_closing():
            head = await reader.readuntil(b"\r\n\r\n")
            # (1) What is owed is counted, from the request to the end of its response.
            with drain.default().begin() if DRAINS else contextlib.nullcontext() as request:
                close = await respond(head.decode("latin-1"), reader, writer, request)
            if close:
                break
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        pass
    finally:
        writer.close()


async def respond(head, reader, writer, request):
    first, *lines = head.split("\r\n")
    _, target, _ = first.split(" ", 2)
    fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    await reader.readexactly(int(fields.get("content-length", 0)))
    url = urllib.parse.urlsplit(target)
    if url.path == "/events":
        await events(writer, request)
        return True
    code, body = await answer(url)
    # (2) While draining, each response says that it is the last on its connection.
    # A proxy in front does not pass that on, so it gets a header of its own.
    draining = DRAINS and drain.default().draining
    close = draining or fields.get("connection", "").lower() == "close"
    connection = ("close" if close else "keep-alive") + ("\r\nX-Draining: 1" if draining else "")
    writer.write(f"HTTP/1.1 {code}\r\nContent-Length: {len(body)}\r\nConnection: {connection}\r\n\r\n{body}".encode())
    await writer.drain()
    return close


async def answer(url):
    if url.path == "/healthz":
        return "200 OK", "ok\n"
    if url.path != "/work":
        return "404 Not Found", "not found\n"
    ms = int(urllib.parse.parse_qs(url.query).get("ms", ["0"])[0])
    await asyncio.sleep(ms / 1000)
    return "200 OK", json.dumps({"pod": POD, "ms": ms})


async def events(writer, request):
    if request is not None:
        request.long_lived()  # (3) nobody waits for its end: its client is told to come back
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\nConnection: close\r\n\r\n")
    leaving = asyncio.create_task(leave())
    try:
        while not leaving.done():
            writer.write(b"data: %d\n\n" % time.time_ns())
            await writer.drain()
            await asyncio.wait({leaving}, timeout=0.2)
        writer.write(b"retry: 200\n\n")
        await writer.drain()
    finally:
        leaving.cancel()


async def leave():
    await (drain.default().started() if DRAINS else asyncio.Event().wait())
    await asyncio.sleep(random.uniform(0, NOTICE_SECONDS))  # not all at once


async def main():
    host, _, port = os.environ.get("ADDRESS", "0.0.0.0:8080").rpartition(":")
    server = await asyncio.start_server(connection, host, int(port), backlog=1024)
    if DRAINS:
        drain.listen()  # (4) the status and the notification, 127.0.0.1:8089
    ended = asyncio.Event()
    # The first process of a container has to ask for SIGTERM.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with server:
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
