"""Servers for the tests, of the standard library alone: an application behind
drain.py, WSGI or ASGI, in one or more forked worker processes on one socket.

    host.py wsgi|asgi --address HOST:PORT --status HOST:PORT --folder DIR [--workers N] [--preload]

The application answers /work?ms=N with the worker's process id at once and
"done" after N ms, /work?until=PATH once there is such a file, /events with an event stream until the client is gone, and
/fail not at all.
"""

import argparse
import asyncio
import collections
import os
import pathlib
import socket
import socketserver
import sys
import time
import urllib.parse
import wsgiref.handlers
import wsgiref.simple_server

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import drain  # noqa: E402


def waits(query):
    """The times to sleep, one after the other, until the work is done."""
    fields = urllib.parse.parse_qs(query)
    yield int(fields.get("ms", ["0"])[0]) / 1000
    while "until" in fields and not os.path.exists(fields["until"][0]):
        yield 0.01


# --- WSGI: wsgiref, a thread for each connection ---------------------------


def wsgi_app(environ, start_response):
    match environ["PATH_INFO"]:
        case "/work":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return wsgi_work(environ["QUERY_STRING"])
        case "/events":
            start_response("200 OK", [("Content-Type", "text/event-stream")])
            return wsgi_events()
        case "/fail":
            raise RuntimeError("as asked")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok\n"]


def wsgi_work(query):
    yield f"{os.getpid()}\n".encode()
    for seconds in waits(query):
        time.sleep(seconds)
    yield b"done\n"


def wsgi_events():
    while True:
        yield b"data: tick\n\n"
        time.sleep(0.05)


class Response(wsgiref.simple_server.ServerHandler):
    """One that decides itself on Connection, and can be told, as Gunicorn's."""

    closing = False

    def force_close(self):
        self.closing = True

    def send_headers(self):
        if self.closing:
            self.headers["Connection"] = "close"
        super().send_headers()

    def log_exception(self, exc_info):
        pass


class Handler(wsgiref.simple_server.WSGIRequestHandler):
    def handle(self):
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            return
        handler = Response(self.rfile, self.wfile, sys.stderr, self.get_environ(), multithread=True)
        handler.request_handler = self
        handler.run(self.server.get_app())

    def log_message(self, *_):
        pass


class WSGIServer(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


def serve_wsgi(listener, app):
    server = WSGIServer(listener.getsockname(), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.server_name, server.server_port = listener.getsockname()
    server.setup_environ()
    server.set_app(app)
    server.serve_forever()


# --- ASGI: HTTP/1.1 with keep-alive on asyncio -----------------------------


async def asgi_app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
    match scope["path"]:
        case "/work":
            await send(start)
            await send({"type": "http.response.body", "body": f"{os.getpid()}\n".encode(), "more_body": True})
            for seconds in waits(scope["query_string"].decode()):
                await asyncio.sleep(seconds)
            await send({"type": "http.response.body", "body": b"done\n"})
        case "/events":
            await send({**start, "headers": [(b"Content-Type", b"text/event-stream")]})
            while True:
                await send({"type": "http.response.body", "body": b"data: tick\n\n", "more_body": True})
                await asyncio.sleep(0.05)
        case "/fail":
            raise RuntimeError("as asked")
        case _:
            await send(start)
            await send({"type": "http.response.body", "body": b"ok\n"})


class Exchange:
    """One request and its response on a connection."""

    def __init__(self, reader, writer, body):
        self.reader, self.writer = reader, writer
        self.messages = collections.deque([{"type": "http.request", "body": body, "more_body": False}])
        self.started = self.ended = self.close = False

    async def receive(self):
        if self.messages:
            return self.messages.popleft()
        while not self.reader.at_eof():  # what follows is not read yet
            await asyncio.sleep(0.02)
        return {"type": "http.disconnect"}

    async def send(self, message):
        if message["type"] == "http.response.start":
            self.started = True
            headers = [*message["headers"], (b"transfer-encoding", b"chunked")]
            headers = [h for h in headers if h[0].lower() != b"content-length"]
            self.close = (b"connection", b"close") in headers
            head = b"HTTP/1.1 %d OK\r\n" % message["status"]
            self.writer.write(head + b"".join(b"%s: %s\r\n" % h for h in headers) + b"\r\n")
        else:
            body, more = message.get("body", b""), message.get("more_body", False)
            self.ended = not more
            chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
            self.writer.write(chunk + (b"" if more else b"0\r\n\r\n"))
        await self.writer.drain()  # raises where the client is gone


async def serve_connection(app, reader, writer):
    try:
        while await serve_request(app, reader, writer):
            pass
    except (OSError, asyncio.IncompleteReadError, RuntimeError):
        pass
    finally:
        writer.close()


async def serve_request(app, reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").strip().split("\r\n")
    method, target, _ = line.split(" ")
    fields = [(k.strip().lower().encode(), v.strip().encode()) for k, v in (each.split(":", 1) for each in lines)]
    body = await reader.readexactly(int(dict(fields).get(b"content-length", 0)))
    path, _, query = target.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "root_path": "",
        "query_string": query.encode(), "headers": fields,
    }  # fmt: skip
    exchange = Exchange(reader, writer, body)
    await app(scope, exchange.receive, exchange.send)
    return exchange.ended and not exchange.close


async def start_up(app):
    """The lifespan, as far as servers need it: until start-up is complete."""
    complete = asyncio.Event()
    messages = asyncio.Queue()
    messages.put_nowait({"type": "lifespan.startup"})

    async def send(_):
        complete.set()

    task = asyncio.create_task(app({"type": "lifespan"}, messages.get, send))
    await complete.wait()
    return task


def serve_asgi(listener, app):
    async def run():
        lifespan = await start_up(app)
        server = await asyncio.start_server(lambda r, w: serve_connection(app, r, w), sock=listener)
        await server.serve_forever()
        lifespan.cancel()

    asyncio.run(run())


# --- Workers ---------------------------------------------------------------


def build(arguments):
    """The application, as a server imports it."""
    counts = drain.Drain(directory=arguments.folder)
    if arguments.kind == "wsgi":
        return drain.WSGI(wsgi_app, counts)
    return drain.ASGI(asgi_app, counts, address=arguments.status)


def work(arguments, listener, app):
    app = app or build(arguments)
    if arguments.kind == "wsgi":
        drain.listen(app.drain, *arguments.status)
        serve_wsgi(listener, app)
    else:
        serve_asgi(listener, app)


def address(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["wsgi", "asgi"])
    parser.add_argument("--address", type=address, required=True)
    parser.add_argument("--status", type=address, required=True)
    parser.add_argument("--folder", required=True, help="of the file that the workers share")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--preload", action="store_true", help="load the application before the fork")
    arguments = parser.parse_args()

    listener = socket.create_server(arguments.address, backlog=128)
    app = build(arguments) if arguments.preload else None
    for _ in range(arguments.workers):
        if os.fork() == 0:
            work(arguments, listener, app)
            os._exit(0)
    listener.close()
    for _ in range(arguments.workers):
        os.wait()


if __name__ == "__main__":
    main()
