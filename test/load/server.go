package load

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"net/http"
	"sync"
)

// maxConfig bounds the configuration that is read, in bytes.
const maxConfig = 16 << 10

// Server offers runs over HTTP, one after the other:
//
//	POST /start    begins a run with the Config in the body; 409 while one goes on
//	GET  /live     Live of the latest run
//	POST /stop     ends the run and answers when its last request has ended;
//	               with wait=false as soon as nothing new is sent
//	GET  /results  Results of the run, gzipped; 409 while it goes on
//
// It serves whoever reaches it: it belongs on a cluster for tests, for as long
// as a test takes.
type Server struct {
	// ctx ends every run with the program.
	ctx context.Context
	mu  sync.Mutex
	run *Run
}

// NewServer makes a server whose runs end with ctx.
func NewServer(ctx context.Context) *Server { return &Server{ctx: ctx} }

// Handler routes the server's requests.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /start", s.start)
	mux.HandleFunc("GET /live", s.withRun(func(w http.ResponseWriter, _ *http.Request, r *Run) { writeJSON(w, r.Live()) }))
	mux.HandleFunc("POST /stop", s.withRun(stop))
	mux.HandleFunc("GET /results", s.withRun(results))
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	return mux
}

func stop(w http.ResponseWriter, req *http.Request, r *Run) {
	r.Stop()
	if req.URL.Query().Get("wait") != "false" {
		<-r.Done()
	}
	writeJSON(w, r.Live())
}

func (s *Server) start(w http.ResponseWriter, req *http.Request) {
	var cfg Config
	if err := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxConfig)).Decode(&cfg); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run != nil && !s.run.ended() {
		http.Error(w, "a run goes on", http.StatusConflict)
		return
	}
	run, err := Start(s.ctx, cfg)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.run = run
	w.WriteHeader(http.StatusAccepted)
}

func (s *Server) withRun(f func(http.ResponseWriter, *http.Request, *Run)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		s.mu.Lock()
		run := s.run
		s.mu.Unlock()
		if run == nil {
			http.Error(w, "nothing was started", http.StatusNotFound)
			return
		}
		f(w, req, run)
	}
}

// results leaves the judgement of a run with requests not sent to the reader.
func results(w http.ResponseWriter, _ *http.Request, r *Run) {
	if !r.ended() {
		http.Error(w, "the run goes on", http.StatusConflict)
		return
	}
	res, _ := r.Wait()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	defer z.Close()
	// An error here is the reader's going away.
	_ = json.NewEncoder(z).Encode(res)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	// As above.
	_ = json.NewEncoder(w).Encode(v)
}

func (r *Run) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}
