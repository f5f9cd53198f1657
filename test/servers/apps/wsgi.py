"""The WSGI application of the test servers. DRAIN=off leaves the middleware out."""

import json
import os
import random
import socket
import time
import urllib.parse

import drain

POD = socket.gethostname()
NOTICE_SECONDS = 4  # over which the clients of event streams are told


def work(environ):
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    query = urllib.parse.parse_qs(environ.get("QUERY_STRING", ""))
    ms = int(query.get("ms", ["0"])[0])
    time.sleep(ms / 1000)
    return json.dumps({"pod": POD, "ms": ms}).encode()


def events():
    """A time each 0.2 s. The last word is how soon to come back."""
    leaves = None
    while leaves is None or time.monotonic() < leaves:
        yield b"data: %d\n\n" % time.time_ns()
        time.sleep(0.2)
        if leaves is None and os.environ.get("DRAIN") != "off" and drain.default().draining:
            leaves = time.monotonic() + random.uniform(0, NOTICE_SECONDS)
    yield b"retry: 200\n\n"


def plain(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/events":
        start_response("200 OK", [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")])
        return events()
    code, body, kind = "200 OK", b"ok\n", "text/plain"
    if path == "/work":
        body, kind = work(environ), "application/json"
    elif path != "/healthz":
        code, body = "404 Not Found", b"not found\n"
    start_response(code, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


app = plain if os.environ.get("DRAIN") == "off" else drain.WSGI(plain, endpoints=False)
