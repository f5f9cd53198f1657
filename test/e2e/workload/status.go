package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// hugeBytes is how much the endpoint "huge" is willing to send.
const hugeBytes = 1 << 30

// serveStatus answers drain-status requests truly, or as badly as asked.
func serveStatus(o options, w *work, failed chan<- error) error {
	if o.status == "gone" {
		return nil // nobody listens
	}
	if err := w.says(o.status); err != nil {
		return err
	}
	l, err := o.listen(o.statusAddr)
	if err != nil {
		return err
	}
	handler := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.saying.Load().ServeHTTP(rw, r) })
	s := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	return nil
}

// says makes the drain status what a mode says, from now on.
func (w *work) says(mode string) error {
	handler, err := statusHandler(mode, w)
	if err == nil {
		w.saying.Store(&handlerBox{handler})
	}
	return err
}

// handlerBox makes handlers of all types one.
type handlerBox struct{ http.Handler }

func statusHandler(mode string, w *work) (http.Handler, error) {
	switch mode {
	case "ok":
		return honest(w), nil
	case "busy":
		return text(http.StatusOK, `{"version":1,"inFlight":1}`), nil
	case "hang":
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), nil
	case "garbage":
		return text(http.StatusOK, `{"version":1,"inFlight":"none at all`), nil
	case "http500":
		return text(http.StatusInternalServerError, `{"version":1,"inFlight":0}`), nil
	case "redirect":
		return redirect(), nil
	case "huge":
		return http.HandlerFunc(huge), nil
	case "closes":
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), nil
	}
	return nil, fmt.Errorf("-status %q is not known", mode)
}

// honest answers in all three dialects.
func honest(w *work) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /drain-status", w.status)
	mux.HandleFunc("GET /idle", func(rw http.ResponseWriter, _ *http.Request) {
		if inFlight, _, _ := w.look(); inFlight > 0 {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		rw.WriteHeader(http.StatusNoContent)
	})
	mux.Handle("GET /metrics", w.metrics.page())
	mux.HandleFunc("POST /drain", w.notified)
	return mux
}

// status is the drain-status protocol; it answers early only when drained.
func (w *work) status(rw http.ResponseWriter, r *http.Request) {
	seconds, _ := strconv.Atoi(r.FormValue("waitSeconds"))
	deadline := time.NewTimer(time.Duration(seconds) * time.Second)
	defer deadline.Stop()
	for waiting := true; waiting; {
		inFlight, _, changed := w.look()
		if inFlight == 0 {
			break
		}
		select {
		case <-changed:
		case <-deadline.C:
			waiting = false
		case <-r.Context().Done():
			return
		}
	}
	inFlight, draining, _ := w.look()
	_ = json.NewEncoder(rw).Encode(map[string]any{"version": 1, "draining": draining, "inFlight": inFlight, "longLived": 0})
}

func (w *work) notified(rw http.ResponseWriter, r *http.Request) {
	var body struct{ Draining *bool }
	if err := json.NewDecoder(http.MaxBytesReader(rw, r.Body, 1024)).Decode(&body); err != nil || body.Draining == nil {
		http.Error(rw, "want {\"draining\": true|false}", http.StatusBadRequest)
		return
	}
	w.setDraining(*body.Draining)
}

func text(code int, body string) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(code)
		fmt.Fprint(rw, body)
	})
}

// redirect leads to an answer that says drained: whoever follows believes it.
func redirect() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/elsewhere", text(http.StatusOK, `{"version":1,"inFlight":0}`).ServeHTTP)
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/elsewhere", http.StatusFound) })
	return mux
}

// huge begins like a good answer and goes on for 1 GB.
func huge(rw http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(rw, `{"version":1,"inFlight":0,"padding":"`)
	block := make([]byte, 64<<10)
	for i := range block {
		block[i] = 'x'
	}
	for sent := 0; sent < hugeBytes; sent += len(block) {
		if _, err := rw.Write(block); err != nil {
			return
		}
	}
	fmt.Fprint(rw, `"}`)
}
