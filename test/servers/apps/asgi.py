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
RETRY_MILLIS = 200

RECONNECTS = "echo.reconnect"  # the subprotocol of test/load
RECONNECT = json.dumps({"reconnect": True, "afterMillis": RETRY_MILLIS})
PATIENCE_SECONDS = 5  # for a client that took it; others are told by close code 1012


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
        await send({"type": "http.response.body", "body": b"retry: %d\n\n" % RETRY_MILLIS})
    finally:
        for task in ends:
            task.cancel()


async def echo(scope, receive, send):
    """Send back what comes. Who took the subprotocol goes by itself when told so."""
    await receive()
    asks = RECONNECTS in scope["subprotocols"]
    await send({"type": "websocket.accept", "subprotocol": RECONNECTS if asks else None})
    turn, closed = asyncio.create_task(left()), False
    try:
        while True:
            received = asyncio.create_task(receive())
            while not received.done():
                await asyncio.wait({received} if closed else {received, turn}, return_when=asyncio.FIRST_COMPLETED)
                if closed or not turn.done():
                    continue
                if asks:
                    asks, turn = False, asyncio.create_task(asyncio.sleep(PATIENCE_SECONDS))
                    await send({"type": "websocket.send", "text": RECONNECT})
                else:
                    closed = True
                    await send({"type": "websocket.close", "code": 1012, "reason": "connect again"})
            message = received.result()
            if message["type"] == "websocket.disconnect":
                return
            if not closed:
                await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
    finally:
        turn.cancel()


async def lifespan(receive, send):
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def plain(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await echo(scope, receive, send)
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
