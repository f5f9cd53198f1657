"""The ASGI application of the test servers. DRAIN=off leaves the middleware out."""

import asyncio
import json
import os
import random
import socket
import time
import urllib.parse

import drain

POD = socket.gethostname()
NOTICE_SECONDS = 4  # over which the clients of long-lived connections are told


async def left():
    """Return when it is this client's turn to go."""
    if os.environ.get("DRAIN") == "off":
        await asyncio.Event().wait()
    await drain.default().started()
    await asyncio.sleep(random.uniform(0, NOTICE_SECONDS))


async def body_of(receive):
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)


async def answer(send, status, body, kind="text/plain"):
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def work(scope, receive, send):
    await body_of(receive)
    query = urllib.parse.parse_qs(scope["query_string"].decode("latin-1"))
    ms = int(query.get("ms", ["0"])[0])
    await asyncio.sleep(ms / 1000)
    await answer(send, 200, json.dumps({"pod": POD, "ms": ms}).encode(), "application/json")


async def events(receive, send):
    """A time each 0.2 s. The last word is how soon to come back."""
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await body_of(receive)
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    ends = {asyncio.create_task(left()), asyncio.create_task(receive())}
    try:
        while not any(task.done() for task in ends):
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % time.time_ns(), "more_body": True})
            await asyncio.wait(ends, timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
        await send({"type": "http.response.body", "body": b"retry: 200\n\n"})
    finally:
        for task in ends:
            task.cancel()


async def echo(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    leaving = asyncio.create_task(left())
    told = False
    try:
        while True:
            received = asyncio.create_task(receive())
            await asyncio.wait({received} if told else {received, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done() and not told:
                told = True
                await send({"type": "websocket.close", "code": 1012, "reason": "connect again"})
            message = await received
            if message["type"] == "websocket.disconnect":
                return
            if not told:
                await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
    finally:
        leaving.cancel()


async def lifespan(receive, send):
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def plain(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await echo(receive, send)
    elif scope["path"] == "/work":
        await work(scope, receive, send)
    elif scope["path"] == "/events":
        await events(receive, send)
    elif scope["path"] == "/healthz":
        await answer(send, 200, b"ok\n")
    else:
        await answer(send, 404, b"not found\n")


app = plain
if os.environ.get("DRAIN") != "off":
    app = drain.ASGI(plain, endpoints=False, address=(drain.HOST, drain.PORT))
