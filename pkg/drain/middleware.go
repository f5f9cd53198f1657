package drain

import (
	"context"
	"net/http"
)

// Middleware counts the requests that go through it, also those whose handlers
// panic, and while draining adds Connection: close to the responses: an HTTP/1
// client then makes its next connection elsewhere, and for HTTP/2 the server
// sends GOAWAY. That is so for a request on a connection that was idle when the
// draining began, too. Idle connections are not closed, since a request may be
// on its way on them.
//
// Alone it sees no more than the handlers: what a server that is not
// instrumented still has in its buffers is not counted. Put it outermost. A
// request that goes through it twice is counted once.
func (d *Drainer) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if q := requestOf(ctx); q != nil && q.d == d {
			next.ServeHTTP(w, r)
			return
		}
		q := d.begin(d.connectionOf(ctx))
		defer q.end()
		inner := r.WithContext(context.WithValue(ctx, requestKey{}, q))
		out := &writer{ResponseWriter: w, request: q}
		defer out.sayClose() // for a handler that writes nothing
		defer handBack(r, inner)
		next.ServeHTTP(out.suited(), inner)
	})
}

// handBack gives the server's own request what the handler learned on the copy
// with our context: the server deletes the temporary files of the form, and
// logs and metrics outside of us read the pattern.
func handBack(outer, inner *http.Request) {
	outer.MultipartForm = inner.MultipartForm
	outer.Pattern = inner.Pattern
}
