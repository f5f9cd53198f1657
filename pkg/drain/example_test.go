package drain_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/drain-operator/drain-operator/pkg/drain"
)

// The main function of a workload: serve until SIGTERM, then end gracefully.
func ExampleDrainer_Run() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })

	d := drain.New(drain.Options{})
	if err := d.Run(ctx, &http.Server{Addr: ":8080", Handler: mux}); err != nil {
		fmt.Println(err)
	}
}

// What a rollout looks like from outside: the pod is told to drain while a
// request is at work, and its status is read until nothing is in flight.
func ExampleDrainer_Serve() {
	main, _ := net.Listen("tcp", "127.0.0.1:0")
	status, _ := net.Listen("tcp", "127.0.0.1:0")
	working, finish := make(chan bool), make(chan bool)
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		working <- true
		<-finish
		fmt.Fprint(w, "the whole response")
	})

	ctx, terminate := context.WithCancel(context.Background())
	over := make(chan error)
	go func() { over <- drain.New(drain.Options{}).Serve(ctx, &http.Server{Handler: handler}, main, status) }()

	response := make(chan string)
	go func() { response <- answer(http.Get("http://" + main.Addr().String())) }()
	<-working

	agent := "http://" + status.Addr().String()
	fmt.Print(answer(http.Post(agent+"/drain", "application/json", strings.NewReader(`{"draining": true}`))))
	finish <- true
	fmt.Println(<-response)
	fmt.Print(answer(http.Get(agent + "/drain-status?waitSeconds=30"))) // as soon as nothing is in flight

	terminate() // now SIGTERM may come
	fmt.Println("ended:", <-over)

	// Output:
	// {"version":1,"draining":true,"inFlight":1,"longLived":0}
	// the whole response, the last of its connection
	// {"version":1,"draining":true,"inFlight":0,"longLived":0}
	// ended: <nil>
}

// answer is what a client makes of a response; ages differ from run to run.
func answer(r *http.Response, err error) string {
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	text := regexp.MustCompile(`,"oldest.*[0-9]`).ReplaceAllString(string(body), "")
	if r.Close {
		text += ", the last of its connection"
	}
	return text
}

// An event stream is no request that anybody waits for: it counts as long-lived.
// It ends when its moment has come while the workload drains, or when it is too
// old, so that its client connects elsewhere.
func ExampleNotice() {
	http.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		drain.LongLived(r)
		events := make(chan string)
		for {
			select {
			case e := <-events:
				fmt.Fprintf(w, "data: %s\n\n", e)
				_ = http.NewResponseController(w).Flush()
			case <-drain.Notice(r.Context()):
				fmt.Fprint(w, "retry: 200\n\n") // come back soon: not all are told at once
				return
			case <-r.Context().Done():
				return
			}
		}
	})
}

// A queue worker has no requests: it counts its messages.
func ExampleDrainer_Begin() {
	d := drain.New(drain.Options{})
	work := func(message string) {
		defer d.Begin()()
		fmt.Println(message, "in flight:", d.Status().InFlight)
	}
	work("first")
	fmt.Println("in flight:", d.Status().InFlight)

	// Output:
	// first in flight: 1
	// in flight: 0
}
