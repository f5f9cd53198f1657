"""python3 -m unittest, in this folder."""

import asyncio
import io
import itertools
import json
import os
import signal
import tempfile
import threading
import time
import unittest
import unittest.mock
from wsgiref.util import FileWrapper, setup_testing_defaults

import drain

names = map("test{}".format, itertools.count())


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.drain = drain.Drain(next(names), directory=folder.name, token="secret")

    def counts(self):
        status = self.drain.status()
        return status["inFlight"], status["longLived"]


class TestCounts(Case):
    def test_from_begin_to_end(self):
        first, second = self.drain.begin(), self.drain.begin()
        self.assertEqual(self.counts(), (2, 0))
        first.end()
        first.end()
        self.assertEqual(self.counts(), (1, 0))
        second.end()
        self.assertEqual(self.counts(), (0, 0))

    def test_long_lived_keeps_nothing(self):
        with self.drain.begin() as request:
            self.assertTrue(request.long_lived())
            self.assertFalse(request.long_lived())
            self.assertEqual(self.counts(), (0, 1))
            self.assertTrue(self.drain.idle)
        self.assertEqual(self.counts(), (0, 0))
        self.assertFalse(request.long_lived())

    def test_the_oldest_is_the_one_that_is_still_in_flight(self):
        with unittest.mock.patch.object(drain.time, "monotonic_ns") as clock:
            clock.return_value = 1_000_000_000
            first = self.drain.begin()
            clock.return_value = 3_000_000_000
            self.drain.begin()
            clock.return_value = 3_500_000_000
            self.assertEqual(self.drain.status()["oldestInFlightSeconds"], 2.5)
            first.end()
            self.assertEqual(self.drain.status()["oldestInFlightSeconds"], 0.5)

    def test_the_oldest_of_the_long_lived_is_told_apart(self):
        def ages():
            got = self.drain.status()
            return got["oldestInFlightSeconds"], got["oldestLongLivedSeconds"]

        self.assertEqual(ages(), (0, 0))
        first = self.drain.begin()
        time.sleep(0.01)
        between = time.monotonic()
        second = self.drain.begin()
        self.assertEqual(ages()[1], 0)
        first.long_lived()
        in_flight, long_lived = ages()
        self.assertGreater(in_flight, 0)
        self.assertGreater(long_lived, 0.01)
        second.long_lived()
        self.assertEqual(ages()[0], 0)
        first.end()
        self.assertLess(ages()[1], time.monotonic() - between + 0.001)
        second.end()
        self.assertEqual(ages(), (0, 0))

    def test_many_threads(self):
        def work():
            for _ in range(200):
                self.drain.begin().end()

        threads = [threading.Thread(target=work) for _ in range(8)]
        with self.drain.begin():
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(self.counts(), (1, 0))
        self.assertEqual(self.counts(), (0, 0))

    def test_wait_ends_with_the_last_request(self):
        request = self.drain.begin()
        threading.Timer(0.05, request.end).start()
        self.drain.wait(30)
        self.assertTrue(self.drain.idle)

    def test_no_file_of_others(self):
        folder = os.path.dirname(drain._path("x", None))
        with tempfile.TemporaryDirectory(dir=folder) as theirs:
            os.symlink("/dev/null", drain._path("link", theirs))
            with self.assertRaises(OSError):
                drain.Drain("link", directory=theirs)


    def test_files_of_parents_that_are_gone_go(self):
        with tempfile.TemporaryDirectory() as folder:
            path = drain._path("x", folder)
            start, parent, began = path.removesuffix("-x").rsplit("-", 2)
            foreign = os.path.join(folder, "drain-0-1-999999999-1-x")  # of another container
            gone = [f"{start}-999999999-1-x", f"{start}-{parent}-{int(began) + 1}-x"]
            kept = [f"{start}-{parent}-{began}-y", f"{start}-x-1-x", foreign]
            for each in gone + kept:
                open(each, "w").close()
            drain.Drain("x", directory=folder)
            left = {os.path.join(folder, name) for name in os.listdir(folder)}
            self.assertEqual(left, {path, *kept})


class TestProcesses(Case):
    """A child counts something, and is killed."""

    def child(self, run):
        """Fork; returns once the child has run, and lives on."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                run()
                os.write(write, b"!")
                signal.pause()
            finally:
                os._exit(1)
        os.close(write)
        self.addCleanup(os.close, read)
        self.addCleanup(self.kill, pid)
        self.assertEqual(os.read(read, 1), b"!")
        return pid

    def kill(self, pid):
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # killed by the test

    def test_added_up_and_not_leaked(self):
        mine = self.drain.begin()
        first = self.child(lambda: (self.drain.begin(), self.drain.begin().long_lived()))
        second = self.child(self.drain.begin)
        self.assertEqual(self.counts(), (3, 1))
        self.kill(first)
        self.assertEqual(self.counts(), (2, 0))
        self.kill(second)
        self.assertEqual(self.counts(), (1, 0))
        mine.end()
        self.assertEqual(self.counts(), (0, 0))

    def test_a_child_owes_nothing_of_its_parent(self):
        mine = self.drain.begin()
        self.child(mine.end)
        self.assertEqual(self.counts(), (1, 0))

    def test_a_slot_is_used_again(self):
        for _ in range(3):
            self.kill(self.child(self.drain.begin))
        self.child(self.drain.begin)
        self.assertEqual(self.counts(), (1, 0))
        with self.drain.begin():
            self.assertLessEqual(self.drain._counts._slot, 1)
            self.assertEqual(self.counts(), (2, 0))

    def test_one_is_told_and_all_know(self):
        def tell():
            self.drain.draining = True

        self.child(tell)
        self.assertTrue(self.drain.draining)


def ask(app, path, method="GET", body=b"", **more):
    """One WSGI request: its status, headers and whole body."""
    environ = {"PATH_INFO": path.partition("?")[0], "QUERY_STRING": path.partition("?")[2], "REQUEST_METHOD": method}
    environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), **more}
    setup_testing_defaults(environ)
    start = Start()
    result = app(environ, start.start_response)
    try:
        return start.status, dict(start.headers), b"".join(result)
    finally:
        if hasattr(result, "close"):
            result.close()


class Start:
    def start_response(self, status, headers, *_):
        self.status, self.headers = int(status.split()[0]), headers


class Gunicorn(Start):
    closed = False

    def force_close(self):
        self.closed = True


class TestWSGI(Case):
    def setUp(self):
        super().setUp()
        self.seen = []

    def app(self, environ, start_response):
        self.seen.append(self.counts())
        start_response("200 OK", [("Content-Type", environ["PATH_INFO"].strip("/") or "text/plain")])
        return [b"ok"]

    def test_counted_until_closed(self):
        app = drain.WSGI(self.app, self.drain)
        body = app({"PATH_INFO": "/"}, Start().start_response)
        self.assertEqual((list(body), len(body)), ([b"ok"], 1))
        self.assertEqual(self.counts(), (1, 0))
        body.close()
        self.assertEqual((self.seen, self.counts()), ([(1, 0)], (0, 0)))

    def test_counted_while_a_generator_runs(self):
        closed = []

        def generate(_, start_response):
            try:
                start_response("200 OK", [])
                yield b"a"
                yield b"b"
            finally:
                closed.append(True)

        body = drain.WSGI(generate, self.drain)({}, Start().start_response)
        self.assertFalse(hasattr(body, "__len__"))
        self.assertEqual(next(iter(body)), b"a")
        self.assertEqual(self.counts(), (1, 0))
        body.close()  # the client has hung up
        self.assertEqual((closed, self.counts()), ([True], (0, 0)))

    def test_a_failure_owes_nothing(self):
        def fail(*_):
            raise ZeroDivisionError

        with self.assertRaises(ZeroDivisionError):
            drain.WSGI(fail, self.drain)({}, Start().start_response)
        self.assertEqual(self.counts(), (0, 0))

    def test_a_failing_close_owes_nothing(self):
        class Body(list):
            def close(self):
                raise ZeroDivisionError

        body = drain.WSGI(lambda *_: Body(), self.drain)({}, Start().start_response)
        with self.assertRaises(ZeroDivisionError):
            body.close()
        self.assertEqual(self.counts(), (0, 0))

    def test_a_file_stays_one_that_the_server_knows(self):
        file = io.BytesIO(b"file")
        app = drain.WSGI(lambda *_: FileWrapper(file), self.drain)
        body = app({"wsgi.file_wrapper": FileWrapper}, Start().start_response)
        self.assertIsInstance(body, FileWrapper)
        self.assertEqual(self.counts(), (1, 0))
        body.close()
        self.assertEqual((file.closed, self.counts()), (True, (0, 0)))

    def test_counted_once(self):
        app = drain.WSGI(drain.WSGI(self.app, self.drain), self.drain)
        ask(app, "/")
        self.assertEqual((self.seen, self.counts()), ([(1, 0)], (0, 0)))

    def test_event_streams_are_long_lived(self):
        app = drain.WSGI(self.app, self.drain)
        body = app({"PATH_INFO": "/text/event-stream;charset=utf-8"}, Start().start_response)
        self.assertEqual(self.counts(), (0, 1))
        body.close()
        self.assertEqual(self.counts(), (0, 0))

    def test_close_is_said_as_the_server_wants_it(self):
        for name, app, start, want in [
            ("Gunicorn", drain.WSGI(self.app, self.drain), Gunicorn(), (True, None)),
            ("uWSGI", drain.WSGI(self.app, self.drain, hop_by_hop=True), Start(), (False, "close")),
            ("a strict one", drain.WSGI(self.app, self.drain), Start(), (False, None)),
        ]:
            for draining in (False, True):
                with self.subTest(name, draining=draining):
                    self.drain.draining = draining
                    app({"PATH_INFO": "/"}, start.start_response).close()
                    got = getattr(start, "closed", False), dict(start.headers).get("Connection")
                    self.assertEqual(got, want if draining else (False, None))

    def test_status(self):
        app = drain.WSGI(self.app, self.drain)
        self.drain.begin()
        status, headers, body = ask(app, "/drain-status")
        self.assertEqual((status, headers["Content-Type"]), (200, "application/json"))
        got = json.loads(body)
        self.assertGreater(got.pop("oldestInFlightSeconds"), 0)
        self.assertEqual(got.pop("oldestLongLivedSeconds"), 0)
        self.assertEqual(got, {"version": 1, "draining": False, "inFlight": 1, "longLived": 0})

    def test_a_worker_of_one_thread_does_not_wait(self):
        app = drain.WSGI(self.app, self.drain)
        self.drain.begin()
        self.drain.wait = lambda _: self.fail("it would hold itself")
        status, _, _ = ask(app, "/drain-status?waitSeconds=30", **{"wsgi.multithread": False})
        self.assertEqual(status, 200)

    def test_no_more_than_a_few_wait(self):
        app = drain.WSGI(self.app, self.drain)
        request = self.drain.begin()

        def hold():
            ask(app, "/drain-status?waitSeconds=30", **{"wsgi.multithread": True})

        threads = [threading.Thread(target=hold) for _ in range(drain.MAX_WAITS + 1)]
        for thread in threads:
            thread.start()
        while all(thread.is_alive() for thread in threads):
            threads[-1].join(0.01)
        self.assertEqual(sum(thread.is_alive() for thread in threads), drain.MAX_WAITS)
        request.end()
        for thread in threads:
            thread.join()

    def test_answers(self):
        app = drain.WSGI(self.app, self.drain)
        told, token = b'{"draining": true}', {"HTTP_DRAIN_TOKEN": "secret"}
        for name, want, arguments in [
            ("status", 200, ("/drain-status",)),
            ("HEAD", 200, ("/drain-status", "HEAD")),
            ("an empty wish", 200, ("/drain-status?waitSeconds=",)),
            ("a broken wish", 400, ("/drain-status?waitSeconds=-1",)),
            ("no digits of ours", 400, ("/drain-status?waitSeconds=%C2%B2",)),
            ("POST of the status", 405, ("/drain-status", "POST")),
            ("GET of the notification", 405, ("/drain",)),
            ("no token", 403, ("/drain", "POST", told)),
            ("another token", 403, ("/drain", "POST", told, {"HTTP_DRAIN_TOKEN": "Secret"})),
            ("no length", 411, ("/drain", "POST", told, token | {"CONTENT_LENGTH": ""})),
            ("a strange length", 411, ("/drain", "POST", told, token | {"CONTENT_LENGTH": "+18"})),
            ("too long", 413, ("/drain", "POST", told + b" " * drain.MAX_BODY_BYTES, token)),
            ("endless", 413, ("/drain", "POST", told, token | {"CONTENT_LENGTH": "9" * 5000})),
            ("no JSON", 400, ("/drain", "POST", b"draining", token)),
            ("deep JSON", 400, ("/drain", "POST", b"[" * 60000, token)),
            ("no object", 400, ("/drain", "POST", b"true", token)),
            ("not said", 400, ("/drain", "POST", b"{}", token)),
            ("no boolean", 400, ("/drain", "POST", b'{"draining": 1}', token)),
            ("said twice", 400, ("/drain", "POST", b'{"draining": true, "draining": false}', token)),
        ]:
            with self.subTest(name):
                path, method, body, more = (*arguments, *("", "GET", b"", {})[len(arguments) :])
                self.assertEqual(ask(app, path, method, body, **more)[0], want)
                self.assertFalse(self.drain.draining)
        self.assertEqual(self.seen, [])
        for draining in (True, True, False, False):
            body = json.dumps({"draining": draining, "more": 1}).encode()
            status, _, answer = ask(app, "/drain", "POST", body, **token)
            self.assertEqual((status, json.loads(answer)["draining"]), (200, draining))
            self.assertEqual(self.drain.draining, draining)

    def test_without_a_token_nobody_notifies(self):
        self.drain.token = ""
        app = drain.WSGI(self.app, self.drain)
        status, _, _ = ask(app, "/drain", "POST", b'{"draining": true}', HTTP_DRAIN_TOKEN="")
        self.assertEqual((status, self.drain.draining), (403, False))

    def test_the_paths_can_stay_the_application_s(self):
        ask(drain.WSGI(self.app, self.drain, endpoints=False), "/drain-status")
        self.assertEqual(self.seen, [(1, 0)])


class TestASGI(Case):
    def run_app(self, app, *messages, **scope):
        """Run the application with what the client sends; what it was sent."""
        sent, inbox = [], list(messages)
        scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/", "headers": []} | scope

        async def receive():
            if not inbox:
                await asyncio.Event().wait()
            return inbox.pop(0)

        async def send(message):
            sent.append((message, self.counts()))

        asyncio.run(asyncio.wait_for(drain.ASGI(app, self.drain)(scope, receive, send), 20))
        return sent

    async def app(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"Connection", b"keep-alive")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def test_counted_until_it_returns(self):
        sent = self.run_app(self.app)
        self.assertEqual([counts for _, counts in sent], [(1, 0), (1, 0)])
        self.assertEqual(self.counts(), (0, 0))

    def test_a_failure_or_a_client_that_is_gone_owes_nothing(self):
        async def fail(*_):
            raise asyncio.CancelledError

        with self.assertRaises(asyncio.CancelledError):
            self.run_app(fail)
        self.assertEqual(self.counts(), (0, 0))

    def test_websockets_are_long_lived_once_accepted(self):
        async def app(scope, receive, send):
            await send({"type": "before"})
            await send({"type": "websocket.accept"})

        sent = self.run_app(app, type="websocket")
        self.assertEqual([counts for _, counts in sent], [(1, 0), (0, 1)])
        self.assertEqual(self.counts(), (0, 0))

    def test_event_streams_are_long_lived(self):
        async def app(scope, receive, send):
            await send({"type": "http.response.start", "headers": [(b"content-type", b"text/event-stream")]})

        self.assertEqual([counts for _, counts in self.run_app(app)], [(0, 1)])

    def test_the_application_can_say_so(self):
        async def app(scope, receive, send):
            scope[drain.REQUEST_KEY].long_lived()
            await send({"type": "x"})

        self.assertEqual([counts for _, counts in self.run_app(app)], [(0, 1)])

    def test_close(self):
        for draining, version, want in [
            (False, "1.1", b"keep-alive"),
            (True, "1.1", b"close"),
            (True, "1.0", b"close"),
            (True, "2", b"keep-alive"),
        ]:
            with self.subTest(draining=draining, version=version):
                self.drain.draining = draining
                headers = self.run_app(self.app, http_version=version)[0][0]["headers"]
                self.assertEqual([v for k, v in headers if k.lower() == b"connection"], [want])

    def test_status_waits(self):
        request = self.drain.begin()
        threading.Timer(0.05, request.end).start()
        query = {"path": "/v1/drain-status", "root_path": "/v1", "query_string": b"waitSeconds=30"}
        (start, _), (body, _) = self.run_app(self.app, **query)
        self.assertEqual((start["status"], json.loads(body["body"])["inFlight"]), (200, 0))

    def test_status_waits_for_nobody_who_is_gone(self):
        self.drain.begin()
        scope = {"path": "/drain-status", "query_string": b"waitSeconds=30"}
        gone = [{"type": "http.request"}, {"type": "http.disconnect"}]
        self.assertEqual(self.run_app(self.app, *gone, **scope)[0][0]["status"], 200)

    def test_notifications(self):
        token = [(b"Drain-Token", b"secret")]
        part = {"type": "http.request", "body": b'{"draining":', "more_body": True}
        rest = {"type": "http.request", "body": b"true}"}
        much = part | {"body": b" " * (drain.MAX_BODY_BYTES - 4)}
        for name, want, messages, headers in [
            ("no token", 403, [part, rest], []),
            ("two tokens", 403, [part, rest], token * 2),
            ("too large", 413, [much, rest], token),
            ("cut", 400, [part, {"type": "http.disconnect"}], token),
            ("in parts", 200, [part, rest], token),
        ]:
            with self.subTest(name):
                scope = {"path": "/drain", "method": "POST", "headers": headers}
                self.assertEqual(self.run_app(self.app, *messages, **scope)[0][0]["status"], want)
                self.assertEqual(self.drain.draining, want == 200)

    def test_lifespan_is_none_of_ours(self):
        async def app(scope, receive, send):
            await send(await receive())

        sent = self.run_app(app, {"type": "lifespan.startup"}, type="lifespan")
        self.assertEqual(sent, [({"type": "lifespan.startup"}, (0, 0))])

    def test_who_waits_for_the_start_is_told(self):
        async def main():
            waiting = [asyncio.create_task(self.drain.started()) for _ in range(100)]
            gone = waiting.pop()
            await asyncio.sleep(0)
            gone.cancel()  # it takes nobody along
            await asyncio.sleep(0)
            self.drain.draining = True
            await asyncio.wait_for(asyncio.gather(*waiting), 20)

        asyncio.run(main())


if __name__ == "__main__":
    unittest.main()
