package drain

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// writer says Connection: close at the last moment before the headers of a
// response go out, so that a request that was long at work when the draining
// began says it as well. It passes on what the server's own writer can do:
// what http.ResponseController asks for through Unwrap, and what handlers ask
// for by a type assertion through the methods below.
type writer struct {
	http.ResponseWriter
	request *request
	begun   bool // the headers are out
}

// suited returns the writer with the optional interfaces that fit the
// protocol: HTTP/1 can be hijacked, HTTP/2 can push, a recorder in a test does
// neither.
func (w *writer) suited() http.ResponseWriter {
	switch {
	case has[http.Hijacker](w.ResponseWriter):
		return http1Writer{w}
	case has[http.Pusher](w.ResponseWriter):
		return http2Writer{w}
	}
	return w
}

// has says whether a writer, or one that it wraps, is a T.
func has[T any](w http.ResponseWriter) bool {
	for {
		if _, ok := w.(T); ok {
			return true
		}
		inner, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = inner.Unwrap()
	}
}

func (w *writer) sayClose() {
	if !w.begun && w.request.d.Draining() {
		w.Header().Set("Connection", "close")
	}
	w.begun = true
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader leaves informational responses alone: 101 carries a Connection
// header of its own, and after the others the real one is yet to come.
func (w *writer) WriteHeader(code int) {
	if code >= 200 {
		w.sayClose()
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *writer) Write(p []byte) (int, error) {
	w.sayClose()
	return w.ResponseWriter.Write(p)
}

func (w *writer) WriteString(s string) (int, error) {
	w.sayClose()
	return io.WriteString(w.ResponseWriter, s)
}

// Flush sends what is buffered, and the headers if they are not out yet.
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError is Flush as http.ResponseController calls it.
func (w *writer) FlushError() error {
	w.sayClose()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

type http1Writer struct{ *writer }

// ReadFrom lets the server copy from a file without a detour through memory.
func (w http1Writer) ReadFrom(src io.Reader) (int64, error) {
	w.sayClose()
	return io.Copy(w.ResponseWriter, src)
}

// Hijack hands the connection to the handler. From now on until it is closed it
// counts as long-lived.
func (w http1Writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffer, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.request.move(hijacked, inFlight, longLived)
	return onClose(conn, func() { w.request.move(done, hijacked) }), buffer, nil
}

type http2Writer struct{ *writer }

// Push is server push, where the client and every writer in between allow it.
func (w http2Writer) Push(target string, opts *http.PushOptions) error {
	if p, ok := w.ResponseWriter.(http.Pusher); ok {
		return p.Push(target, opts)
	}
	return http.ErrNotSupported
}
