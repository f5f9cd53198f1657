package drain

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

// StatusHandler answers GET with the drain status, for a mux of the workload's
// own. With ?waitSeconds=N it holds the answer until nothing is in flight or N
// seconds, at most 30, have passed; with &longLived=true until no long-lived
// connection is left, either. Requests to it are not counted. Whoever can
// reach it learns how many requests are in flight.
func (d *Drainer) StatusHandler() http.Handler {
	return allow(d.answerStatus, http.MethodGet, http.MethodHead)
}

// NotifyHandler takes POST {"draining": true} and {"draining": false}, for a
// mux of the workload's own. Whoever reaches that port could take the pod out
// of service, and behind a proxy in the pod everybody comes from 127.0.0.1:
// it asks for the pod's token in the header Drain-Token, and refuses everybody
// where no token is configured. Requests to it are not counted.
func (d *Drainer) NotifyHandler() http.Handler {
	return allow(func(w http.ResponseWriter, r *http.Request) {
		if why := d.unauthorized(r); why != "" {
			http.Error(w, why, http.StatusForbidden)
			return
		}
		d.takeNotification(w, r)
	}, http.MethodPost)
}

// trustedNotifyHandler is NotifyHandler for a listener that nobody but this pod
// reaches.
func (d *Drainer) trustedNotifyHandler() http.Handler {
	return allow(d.takeNotification, http.MethodPost)
}

func (d *Drainer) answerStatus(w http.ResponseWriter, r *http.Request) {
	ignore(r)
	wait, err := waitTime(r)
	done, wrong := d.waitFor(r)
	if err = cmp.Or(err, wrong); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if wait > 0 {
		d.hold(w, r, wait, done)
	}
	d.writeStatus(w)
}

// hold returns once all is done, the time is over, or nobody waits for the answer
// any more. The server may be the workload's own: its WriteTimeout
// must not cut the answer off. Where deadlines cannot be set there are none.
func (d *Drainer) hold(w http.ResponseWriter, r *http.Request, wait time.Duration, done func() bool) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	_ = d.ledger.wait(ctx, done) // whatever ended the wait, the status says how things are
}

func (d *Drainer) takeNotification(w http.ResponseWriter, r *http.Request) {
	ignore(r)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, drainstatus.MaxBodyBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		http.Error(w, "reading the notification: "+err.Error(), http.StatusBadRequest)
		return
	}
	notification, err := drainstatus.ParseNotification(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	d.take(notification)
	d.writeStatus(w)
}

func (d *Drainer) writeStatus(w http.ResponseWriter) {
	body, err := drainstatus.Encode(d.Status())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // a reader that is gone looks again
}

// unauthorized says why a notification is refused, "" where it is not. Hashes
// are compared, so that the time taken tells nothing of the token's length.
func (d *Drainer) unauthorized(r *http.Request) string {
	if d.options.Token == "" {
		return fmt.Sprintf("no token is configured, so nobody may send a notification to this port: "+
			"set %s or drain.Options.Token, or leave the notification on its own loopback listener", drainstatus.TokenEnv)
	}
	want := sha256.Sum256([]byte(d.options.Token))
	got := sha256.Sum256([]byte(r.Header.Get(drainstatus.TokenHeader)))
	if subtle.ConstantTimeCompare(want[:], got[:]) == 0 {
		return fmt.Sprintf("the header %s does not carry the token of this pod", drainstatus.TokenHeader)
	}
	return ""
}

// ignore takes a request to one of the endpoints out of the count, where it
// comes through a server that is counted: it would wait for itself.
func ignore(r *http.Request) {
	if q := requestOf(r.Context()); q != nil {
		q.move(ignored, inFlight)
	}
}

// waitTime is how long the answer may be held, 0 for at once.
func waitTime(r *http.Request) (time.Duration, error) {
	text := r.URL.Query().Get(drainstatus.WaitParameter)
	if text == "" {
		return 0, nil
	}
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%s is not a number of whole seconds", drainstatus.WaitParameter)
	}
	return time.Duration(min(seconds, drainstatus.MaxWaitSeconds)) * time.Second, nil
}

// waitFor is what the answer is held for.
func (d *Drainer) waitFor(r *http.Request) (done func() bool, err error) {
	text := r.URL.Query().Get(drainstatus.LongLivedParameter)
	if text == "" {
		return d.ledger.idle, nil
	}
	longLived, err := strconv.ParseBool(text)
	if err != nil {
		return nil, fmt.Errorf("%s is neither true nor false", drainstatus.LongLivedParameter)
	}
	if longLived {
		return d.ledger.noneLeft, nil
	}
	return d.ledger.idle, nil
}

// allow answers 405 to other methods.
func allow(serve http.HandlerFunc, methods ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(methods, r.Method) {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		serve(w, r)
	})
}
