"""The drain-status protocol, version 1, for WSGI and ASGI applications.

    app = drain.WSGI(app)    # Gunicorn, uWSGI, mod_wsgi
    app = drain.ASGI(app)    # Uvicorn, Hypercorn

The middleware counts what the workload still owes, answers GET /drain-status
and POST /drain, and says ``Connection: close`` while draining. ``listen``
serves the same two on a listener of their own, 127.0.0.1:8089.

The worker processes of one server add up their counts in a file in memory. Each
has a slot in it that only it writes, and holds the kernel's lock on the slot:
when it dies, however it dies, the lock is gone and its count no longer counts.
Workers find the file by their parent, so it does not matter whether the
application is loaded before the fork or after it.

Python 3.11 or newer on Linux, and nothing else.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import hmac
import http
import http.server
import json
import mmap
import os
import stat
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any

from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

VERSION = 1
STATUS_PATH = "/drain-status"
NOTIFY_PATH = "/drain"
HOST, PORT = "127.0.0.1", 8089

TOKEN_ENV = "DRAIN_OPERATOR_TOKEN"
TOKEN_HEADER = "Drain-Token"

MAX_BODY_BYTES = 64 << 10
MAX_WAIT_SECONDS = 30

LOOK_SECONDS = 0.01
"""How often a wait looks at the counts: other processes cannot wake it."""

MAX_WAITS = 4
"""How many answers one process holds at the same time. More are given at once."""

REQUEST_KEY = "drain_operator.request"
"""Where the application finds its Request: in the WSGI environ or ASGI scope."""


# --- What is counted -------------------------------------------------------


class Request:
    """A request, or another piece of work, from its beginning to its end."""

    __slots__ = ("_counts",)

    def __init__(self, counts: _Counts) -> None:
        self._counts = counts

    def long_lived(self) -> bool:
        """Count it as long-lived from now on: it no longer keeps the pod.

        For long polls and downloads without end. Event streams and WebSockets
        are seen by the middleware. False where it had ended, or was already.
        """
        return self._counts.move_to_long_lived(self)

    def end(self) -> None:
        """End it. A second call does nothing."""
        self._counts.end(self)

    def __enter__(self) -> Request:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class _Counts:
    """The counts of this process, and its view of those of its siblings.

    The file is an array of 64-bit integers: first whether the workload drains,
    then the slots of the workers, each with the number of requests in flight,
    of long-lived ones, and when the oldest of either began, in nanoseconds of
    the monotonic clock, which all processes share. Absolute numbers are
    written, never differences, so a slot is right again with the next request
    whatever happened to it.
    """

    SLOTS, WIDTH, FIRST = 256, 4, 4
    SIZE = 8 * (FIRST + SLOTS * WIDTH)

    def __init__(self, path: str) -> None:
        # Others may write to the folder: no link of theirs, no file of theirs.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        info = os.fstat(self._file)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid():
            raise PermissionError(f"{path} is not a file of this user")
        # Reserved now, since a full file system would end the process later.
        os.posix_fallocate(self._file, 0, self.SIZE)
        self._cells = memoryview(mmap.mmap(self._file, self.SIZE)).cast("q")
        self._start_over()
        os.register_at_fork(after_in_child=self._start_over)

    def _start_over(self) -> None:
        """A child has nothing in flight and no slot, and a lock may be held by
        a thread that it does not have."""
        self._lock = threading.Lock()
        self._slot = -1
        self._in_flight: collections.OrderedDict[Request, int] = collections.OrderedDict()
        self._long_lived: collections.OrderedDict[Request, int] = collections.OrderedDict()

    @property
    def draining(self) -> bool:
        return self._cells[0] != 0

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._cells[0] = int(draining)

    def begin(self) -> Request:
        request = Request(self)
        with self._lock:
            if self._slot < 0:
                self._slot = self._claim()
            self._in_flight[request] = time.monotonic_ns()
            self._write()
        return request

    def end(self, request: Request) -> None:
        with self._lock:
            if self._in_flight.pop(request, None) is None:
                if self._long_lived.pop(request, None) is None:
                    return
            self._write()

    def move_to_long_lived(self, request: Request) -> bool:
        with self._lock:
            began = self._in_flight.pop(request, None)
            if began is None:
                return False
            self._long_lived[request] = began
            self._write()
            return True

    def _write(self) -> None:
        at = self.FIRST + self._slot * self.WIDTH
        self._cells[at + 1] = len(self._long_lived)
        self._cells[at] = len(self._in_flight)
        self._cells[at + 2] = next(iter(self._in_flight.values()), 0)
        self._cells[at + 3] = next(iter(self._long_lived.values()), 0)

    def read(self) -> tuple[int, int, int, int]:
        """In flight and long-lived in all processes, and when the oldest of each
        began (0 where none is, or where it is not known)."""
        cells = self._cells.tolist()
        in_flight = long_lived = oldest = oldest_long_lived = 0
        for slot in range(self.SLOTS):
            at = self.FIRST + slot * self.WIDTH
            mine, held, since, held_since = cells[at : at + 4]
            if (mine or held) and not self._abandoned(slot):
                in_flight, long_lived = in_flight + mine, long_lived + held
                oldest = _earlier(oldest, since)
                oldest_long_lived = _earlier(oldest_long_lived, held_since)
        return in_flight, long_lived, oldest, oldest_long_lived

    def _claim(self) -> int:
        for slot in range(self.SLOTS):
            if self._take(slot):
                self._clear(slot)
                return slot
        raise RuntimeError(f"more than {self.SLOTS} worker processes")

    def _abandoned(self, slot: int) -> bool:
        """Whether the owner is dead; then its counts are gone, too."""
        with self._lock:  # the kernel's locks do not keep our own threads apart
            if slot == self._slot or not self._take(slot):
                return False
            self._clear(slot)
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, slot)
            return True

    def _take(self, slot: int) -> bool:
        """Lock the slot, which succeeds when no living process has it. These
        locks belong to a process: children do not inherit them, and the kernel
        takes them back from the dead."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _clear(self, slot: int) -> None:
        for cell in range(self.WIDTH):
            self._cells[self.FIRST + slot * self.WIDTH + cell] = 0


def _earlier(a: int, b: int) -> int:
    """The earlier of two times, of which 0 is none."""
    return min(a, b) if a and b else a or b


def _age(count: int, began: int) -> float:
    """How long ago the oldest of so many began, in seconds."""
    return round(max(0, time.monotonic_ns() - began) / 1e9, 6) if count and began else 0


@functools.cache
def _counts(path: str) -> _Counts:
    """One per file and process: a second one would share its locks."""
    _sweep(path)
    return _Counts(path)


def _path(name: str, directory: str | None) -> str:
    """The file that this server's workers have in common: that of their parent,
    or their own where there is none in this container."""
    pid = os.getppid() or os.getpid()
    namespace = os.stat("/proc/self/ns/pid").st_ino  # containers can share /dev/shm
    file_name = f"drain-{os.geteuid()}-{namespace}-{pid}-{_started(pid)}-{name}"
    return os.path.join(directory or _writable(), file_name)


def _started(pid: int) -> str:
    """When a process began, in ticks since the boot: field 22 of proc(5)."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()[19]


def _sweep(path: str) -> None:
    """Remove the files of parents that are gone. A worker that outlives its
    parent keeps what it has open, and no new ones come."""
    directory, own = os.path.split(path)
    for name in os.listdir(directory):
        parts = name.split("-", 5)
        if len(parts) == 6 and parts[:3] == own.split("-")[:3] and _is_gone(*parts[3:5]):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(directory, name))


def _is_gone(pid: str, started: str) -> bool:
    try:
        return _started(int(pid)) != started
    except (FileNotFoundError, ProcessLookupError):
        return True
    except (OSError, ValueError):
        return False


def _writable() -> str:
    if os.access("/dev/shm", os.W_OK | os.X_OK):
        return "/dev/shm"
    return tempfile.gettempdir()


class Drain:
    """What the workload owes, and whether it is draining.

    All instances of one name in the workers of one server are the same one.

    Args:
        name: tells servers apart that have one parent process and must not be
            added up. Letters, digits and hyphens.
        directory: where the common file is; /dev/shm, or else the folder for
            temporary files.
        token: what a notification has to carry on a port that others reach;
            the environment variable DRAIN_OPERATOR_TOKEN where None.

    Raises:
        OSError: there is no place for the file. Better now than a wrong count.
    """

    def __init__(
        self, name: str = "", *, directory: str | None = None, token: str | None = None
    ) -> None:
        self._counts = _counts(_path(name, directory))
        self.token = os.environ.get(TOKEN_ENV, "") if token is None else token
        self._watcher: asyncio.Task[None] | None = None
        self._waits = threading.BoundedSemaphore(MAX_WAITS)
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._waits = threading.BoundedSemaphore(MAX_WAITS)
        self._watcher = None

    @property
    def draining(self) -> bool:
        """Whether the workload is draining: set in one worker, seen in all."""
        return self._counts.draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._counts.draining = draining

    def begin(self) -> Request:
        """Count work that is no request: a message of a queue, a job.

        It is in flight until ``end`` is called, or to the end of a ``with``.
        """
        return self._counts.begin()

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight in any worker."""
        return self._counts.read()[0] == 0

    def status(self) -> dict[str, int | float | bool]:
        """The drain status of all workers, as the protocol has it."""
        in_flight, long_lived, oldest, oldest_long_lived = self._counts.read()
        return {
            "version": VERSION,
            "draining": self.draining,
            "inFlight": in_flight,
            "longLived": long_lived,
            "oldestInFlightSeconds": _age(in_flight, oldest),
            "oldestLongLivedSeconds": _age(long_lived, oldest_long_lived),
        }

    def wait(self, seconds: float) -> None:
        """Hold this thread until nothing is in flight, or the time is over."""
        deadline = time.monotonic() + seconds
        with _Held(self._waits) as held:
            while held and not self.idle and time.monotonic() < deadline:
                time.sleep(LOOK_SECONDS)

    async def wait_async(self, seconds: float, gone: asyncio.Future[Any]) -> None:
        """As ``wait``, or until nobody waits for the answer any more."""
        deadline = time.monotonic() + seconds
        with _Held(self._waits) as held:
            while held and not gone.done() and not self.idle and time.monotonic() < deadline:
                await asyncio.wait({gone}, timeout=LOOK_SECONDS)

    async def started(self) -> None:
        """Return as soon as the workload is draining.

        Whatever serves a long-lived connection waits for it, and then tells its
        client to connect elsewhere. However many wait, one task looks.
        """
        loop = asyncio.get_running_loop()
        if self._watcher is None or self._watcher.done() or self._watcher.get_loop() is not loop:
            self._watcher = loop.create_task(self._watch())
        await asyncio.shield(self._watcher)

    async def _watch(self) -> None:
        while not self.draining:
            await asyncio.sleep(0.1)


class _Held:
    """One of a few places, if there is one left."""

    def __init__(self, places: threading.BoundedSemaphore) -> None:
        self._places = places

    def __enter__(self) -> bool:
        self._has = self._places.acquire(blocking=False)
        return self._has

    def __exit__(self, *_: object) -> None:
        if self._has:
            self._places.release()


@functools.cache
def default() -> Drain:
    """The Drain that the middleware and ``listen`` use where they get none."""
    return Drain()


# --- What is answered ------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Reply:
    code: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def refusal(cls, code: int, why: str, *headers: tuple[str, str]) -> _Reply:
        text = ("Content-Type", "text/plain; charset=utf-8")
        return cls(code, why.encode() + b"\n", (text, *headers))

    def all_headers(self) -> list[tuple[str, str]]:
        return [*self.headers, ("Content-Length", str(len(self.body)))]


class _Endpoints:
    """The protocol's two endpoints, whoever carries the bytes."""

    methods = {STATUS_PATH: ("GET", "HEAD"), NOTIFY_PATH: ("POST",)}

    def __init__(self, drain: Drain, trusted: bool) -> None:
        self.drain = drain
        self.trusted = trusted  # nobody but this pod reaches them

    def is_notification(self, method: str, path: str) -> bool:
        """Whether it is one, or else a question for the status; _Refused where
        neither."""
        if method not in self.methods[path]:
            allowed = ", ".join(self.methods[path])
            raise _Refused(_Reply.refusal(405, "method not allowed", ("Allow", allowed)))
        return method == "POST"

    def wait_seconds(self, query: str) -> int:
        """For how long the reader wishes to be kept waiting."""
        try:
            fields = urllib.parse.parse_qs(query, max_num_fields=16)
            text = fields.get("waitSeconds", ["0"])[0]
            if text.isascii() and text.isdigit() and len(text) <= 10:
                return min(int(text), MAX_WAIT_SECONDS)
        except ValueError:
            pass
        raise _Refused(_Reply.refusal(400, "waitSeconds is not a number of whole seconds"))

    def status(self) -> _Reply:
        body = json.dumps(self.drain.status()).encode() + b"\n"
        headers = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
        return _Reply(200, body, headers)

    def authorize(self, token: str) -> None:
        """Hashes are compared, so that the time taken tells nothing."""
        if self.trusted:
            return
        if not self.drain.token:
            why = f"no token is configured, so nobody may notify on this port: set {TOKEN_ENV}"
            raise _Refused(_Reply.refusal(403, why))
        want, got = (
            hashlib.sha256(t.encode("utf-8", "replace")).digest() for t in (self.drain.token, token)
        )
        if not hmac.compare_digest(want, got):
            why = f"the header {TOKEN_HEADER} does not carry the token of this pod"
            raise _Refused(_Reply.refusal(403, why))

    def check_length(self, text: str | None) -> int:
        """The length of a body that is declared and within its bound."""
        if text is None or not (text.isascii() and text.isdigit()):
            raise _Refused(_Reply.refusal(411, "a notification says how long it is"))
        if len(text) > 10 or int(text) > MAX_BODY_BYTES:
            raise _Refused(_Reply.refusal(413, "the notification is too large"))
        return int(text)

    def notify(self, body: bytes) -> _Reply:
        try:
            fields = json.loads(body, object_pairs_hook=_once)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict) or not isinstance(fields.get("draining"), bool):
            return _Reply.refusal(400, 'a notification is {"draining": true} or {"draining": false}')
        self.drain.draining = fields["draining"]
        return self.status()


class _Refused(Exception):
    def __init__(self, reply: _Reply) -> None:
        super().__init__(reply.body)
        self.reply = reply


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a field that is given twice nobody knows which one holds."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field is given twice")
    return fields


_Headers = list[tuple[str, str]]


def _is_event_stream(headers: Iterable[tuple[str, str]]) -> bool:
    return any(
        name.lower() == "content-type" and value.lower().startswith("text/event-stream")
        for name, value in headers
    )


# --- WSGI ------------------------------------------------------------------


class WSGI:
    """Middleware for a WSGI application. Put it outermost.

    A request is in flight until the server closes the iterable of its response.

    PEP 3333 leaves ``Connection`` to the server, so how to say ``close`` depends
    on it. Gunicorn is told through its own response object. With another server
    nothing is said, unless hop_by_hop is set.

    Args:
        drain: ``default()`` where None.
        endpoints: answer /drain-status and /drain among the application's own
            paths. A notification then needs the token. Not needed with ``listen``.
        hop_by_hop: the server lets applications set Connection (uWSGI,
            mod_wsgi). One that does not fails every response with it.
    """

    def __init__(
        self,
        app: WSGIApplication,
        drain: Drain | None = None,
        *,
        endpoints: bool = True,
        hop_by_hop: bool = False,
    ) -> None:
        self.app = app
        self.drain = drain or default()
        self._endpoints = _Endpoints(self.drain, trusted=False)
        self._paths = self._endpoints.methods if endpoints else {}
        self._hop_by_hop = hop_by_hop

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if REQUEST_KEY in environ:  # counted already
            return self.app(environ, start_response)
        if environ.get("PATH_INFO") in self._paths:
            return self._answer(environ, start_response)
        request = self.drain.begin()
        try:
            environ[REQUEST_KEY] = request
            body = self.app(environ, self._closing(start_response, request))
            return _ended_by_close(body, request, environ.get("wsgi.file_wrapper"))
        except BaseException:
            request.end()
            raise

    def _closing(self, start_response: StartResponse, request: Request) -> Any:
        """start_response that says close at the last moment, so that a request
        that was long at work when the draining began says it, too."""

        def start(status: str, headers: _Headers, *error: Any) -> Callable[[bytes], object]:
            if _is_event_stream(headers):
                request.long_lived()
            return self._start(start_response, status, headers, *error)

        return start

    def _start(
        self, start_response: StartResponse, status: str, headers: _Headers, *error: Any
    ) -> Callable[[bytes], object]:
        if self.drain.draining:
            # Gunicorn passes a method of its Response, and drops the header.
            close = getattr(getattr(start_response, "__self__", None), "force_close", None)
            if close is not None:
                close()
            elif self._hop_by_hop:
                headers = [(k, v) for k, v in headers if k.lower() != "connection"]
                headers.append(("Connection", "close"))
        return start_response(status, headers, *error)

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            reply = self._reply(environ)
        except _Refused as refused:
            reply = refused.reply
        status = f"{reply.code} {http.HTTPStatus(reply.code).phrase}"
        self._start(start_response, status, reply.all_headers())
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [reply.body]

    def _reply(self, environ: WSGIEnvironment) -> _Reply:
        ends = self._endpoints
        if not ends.is_notification(environ["REQUEST_METHOD"], environ["PATH_INFO"]):
            seconds = ends.wait_seconds(environ.get("QUERY_STRING", ""))
            if environ.get("wsgi.multithread"):  # else nothing would end meanwhile
                self.drain.wait(seconds)
            return ends.status()
        ends.authorize(environ.get("HTTP_DRAIN_TOKEN", ""))
        length = ends.check_length(environ.get("CONTENT_LENGTH") or None)
        return ends.notify(environ["wsgi.input"].read(length))


def _ended_by_close(body: Iterable[bytes], request: Request, file_wrapper: Any) -> Iterable[bytes]:
    """The body of a response, with the end of the request in its close()."""
    if isinstance(file_wrapper, type) and isinstance(body, file_wrapper):
        # The server knows this one by its class, and sends it by sendfile.
        close = functools.partial(_close, getattr(body, "close", None), request)
        body.close = close  # type: ignore[attr-defined]
        return body
    return (_SizedBody if hasattr(body, "__len__") else _Body)(body, request)


def _close(close: Callable[[], object] | None, request: Request) -> None:
    try:
        if close is not None:
            close()
    finally:
        request.end()


class _Body:
    def __init__(self, body: Iterable[bytes], request: Request) -> None:
        self._body, self._request = body, request

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        _close(getattr(self._body, "close", None), self._request)


class _SizedBody(_Body):
    """From a length of 1 servers conclude the Content-Length."""

    def __len__(self) -> int:
        return len(self._body)  # type: ignore[arg-type]


# --- ASGI ------------------------------------------------------------------

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Message, _Receive, _Send], Awaitable[None]]


class ASGI:
    """Middleware for an ASGI application. Put it outermost.

    A request is in flight until the application returns, which is after it has
    handed the last part of the body to the server; the tasks that some frameworks
    run after the response are part of it. A WebSocket is long-lived from its
    acceptance, an event stream from its headers.

    Args:
        drain: ``default()`` where None.
        endpoints: answer /drain-status and /drain among the application's own
            paths. A notification then needs the token.
        address: where each worker serves the two on a listener of their own, as
            with ``listen``; None for nowhere.
    """

    def __init__(
        self,
        app: _App,
        drain: Drain | None = None,
        *,
        endpoints: bool = True,
        address: tuple[str, int] | None = None,
    ) -> None:
        self.app = app
        self.drain = drain or default()
        self._endpoints = _Endpoints(self.drain, trusted=False)
        self._paths = self._endpoints.methods if endpoints else {}
        self._address = address

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        if self._address:  # with the lifespan, or with the first request where there is none
            listen(self.drain, *self._address)
        if scope["type"] not in ("http", "websocket") or REQUEST_KEY in scope:
            return await self.app(scope, receive, send)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["type"] == "http" and path in self._paths:
            return await self._answer(scope, path, receive, self._closing(scope, None, send))
        with self.drain.begin() as request:
            await self.app({**scope, REQUEST_KEY: request}, receive, self._closing(scope, request, send))

    def _closing(self, scope: _Message, request: Request | None, send: _Send) -> _Send:
        """send that says close at the last moment. HTTP/2 knows no such header."""
        http1 = scope.get("http_version", "1.1").startswith("1")

        async def sending(message: _Message) -> None:
            if message["type"] == "websocket.accept" and request:
                request.long_lived()
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                text = ((k.decode("latin-1"), v.decode("latin-1")) for k, v in headers)
                if request and _is_event_stream(text):
                    request.long_lived()
                if http1 and self.drain.draining:
                    headers = [(k, v) for k, v in headers if k.lower() != b"connection"]
                    message = {**message, "headers": [*headers, (b"connection", b"close")]}
            await send(message)

        return sending

    async def _answer(self, scope: _Message, path: str, receive: _Receive, send: _Send) -> None:
        try:
            reply = await self._reply(scope, path, receive)
        except _Refused as refused:
            reply = refused.reply
        headers = [(k.lower().encode(), v.encode()) for k, v in reply.all_headers()]
        await send({"type": "http.response.start", "status": reply.code, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else reply.body
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _reply(self, scope: _Message, path: str, receive: _Receive) -> _Reply:
        ends = self._endpoints
        if not ends.is_notification(scope["method"], path):
            seconds = ends.wait_seconds(scope.get("query_string", b"").decode("latin-1"))
            await self._wait(seconds, receive)
            return ends.status()
        tokens = [v for k, v in scope["headers"] if k.lower() == TOKEN_HEADER.lower().encode()]
        ends.authorize(tokens[0].decode("latin-1") if len(tokens) == 1 else "")
        return ends.notify(await _bounded(receive))

    async def _wait(self, seconds: int, receive: _Receive) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # another kind of loop: a wait is a wish
            return
        if seconds == 0 or self.drain.idle:
            return
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await self.drain.wait_async(seconds, gone)
        finally:
            gone.cancel()


async def _disconnected(receive: _Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _bounded(receive: _Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise _Refused(_Reply.refusal(413, "the notification is too large"))
        if not message.get("more_body"):  # or the client is gone, and the rest with it
            return body


# --- A listener of their own -----------------------------------------------


def listen(drain: Drain | None = None, host: str = HOST, port: int = PORT) -> None:
    """Serve the two endpoints on a listener of their own, in a thread.

    Call it in each worker process, after the fork: all of them listen on the
    same port, the kernel chooses one for each question, and any of them answers
    for all. It answers while the workers are busy, which a shared port does not
    where a worker does one thing at a time. A second call does nothing.

    On loopback a notification needs no token, since nobody but the pod gets
    there. Elsewhere it does.

    Raises:
        OSError: the address is in use by another program.
    """
    _listen(os.getpid(), drain or default(), host, port)


@functools.cache
def _listen(_pid: int, drain: Drain, host: str, port: int) -> _Server:
    server = _Server((host, port), _Handler)
    server.endpoints = _Endpoints(drain, trusted=str(server.server_address[0]).startswith("127."))
    threading.Thread(target=server.serve_forever, name="drain-status", daemon=True).start()
    return server


class _Server(http.server.ThreadingHTTPServer):
    endpoints: _Endpoints
    allow_reuse_port = True
    daemon_threads = True
    request_queue_size = 64
    places = threading.BoundedSemaphore(64)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for each connection, as long as there are not too many."""
        if self.places.acquire(timeout=1):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.release()

    def server_bind(self) -> None:
        super(http.server.HTTPServer, self).server_bind()  # HTTPServer asks the DNS for its name

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that is gone is nobody's trouble."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = 10  # seconds to send a request in

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        try:
            reply = self._reply(path, query)
        except _Refused as refused:
            reply = refused.reply
        self.send_response(reply.code)
        for name, value in reply.all_headers():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _reply(self, path: str, query: str) -> _Reply:
        ends = self.server.endpoints
        if path not in ends.methods:
            return _Reply.refusal(404, "not found")
        if not ends.is_notification(self.command, path):
            ends.drain.wait(ends.wait_seconds(query))
            return ends.status()
        ends.authorize(self.headers.get(TOKEN_HEADER, ""))
        return ends.notify(self.rfile.read(ends.check_length(self.headers.get("Content-Length"))))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: it is asked many times."""
