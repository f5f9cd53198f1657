package follow

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Backend is the name of the one backend that targets are servers of.
const Backend = "pods"

// Phase of a server in HAProxy.
type Phase int

// A server gets new requests, or finishes those that it has, or has none any
// more and goes as soon as its idle connections are closed.
const (
	Absent Phase = iota
	Serving
	Draining
	Leaving
)

// Step is what to tell HAProxy about one server.
type Step struct {
	Target   Target
	Commands []string
	// Then is the server's phase if all commands succeed.
	Then Phase
}

// Steps lead from the servers that HAProxy has to those that get requests.
// sessions is the number of requests under way to each server by its name.
//
// A server's idle connections stay open while it drains, and for as long as
// HAProxy cares to keep them: whoever ends the pod closes them. Until then "del
// server" is refused, and is to be tried again.
func Steps(have map[Target]Phase, serving []Target, sessions map[string]int, options string) []Step {
	var steps []Step
	for _, t := range serving {
		switch have[t] {
		case Serving:
		case Absent:
			steps = append(steps, added(t, options))
		default:
			steps = append(steps, Step{t, []string{command(t, "set server %s state ready")}, Serving})
		}
	}
	for _, t := range slices.SortedFunc(maps.Keys(have), compare) {
		switch {
		case slices.Contains(serving, t):
		case have[t] == Serving:
			steps = append(steps, Step{t, []string{command(t, "set server %s state drain")}, Draining})
		case have[t] == Draining && sessions[Name(t)] == 0:
			steps = append(steps, Step{t, []string{command(t, "set server %s state maint")}, Leaving})
		case have[t] == Leaving:
			steps = append(steps, Step{t, []string{command(t, "del server %s")}, Absent})
		}
	}
	return steps
}

// added makes a server. Connections to it are pooled for all clients, and kept.
func added(t Target, options string) Step {
	commands := []string{fmt.Sprintf("add server %s/%s %s pool-max-conn 1000 pool-purge-delay 60s%s", Backend, Name(t), t, options)}
	if options != "" {
		commands = append(commands, command(t, "enable health %s"))
	}
	return Step{t, append(commands, command(t, "enable server %s")), Serving}
}

// Checks are the options of servers that HAProxy asks for their health.
const Checks = " check inter 2s"

func command(t Target, format string) string { return fmt.Sprintf(format, Backend+"/"+Name(t)) }

// Name of a target's server.
func Name(t Target) string {
	return "p" + strings.NewReplacer(".", "-", ":", "-").Replace(t.Addr().String()) + "-" + strconv.Itoa(int(t.Port()))
}

// Succeeded says whether HAProxy did what a command asked for, from its answer.
func Succeeded(answer string) bool {
	switch strings.TrimSpace(answer) {
	case "", "New server registered.", "Server deleted.":
		return true
	}
	return false
}

// Sessions reads the answer to "show stat": requests under way by server.
func Sessions(stat string) (map[string]int, error) {
	rows := csv.NewReader(strings.NewReader(strings.TrimPrefix(stat, "# ")))
	rows.FieldsPerRecord = -1
	header, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("show stat: %w", err)
	}
	backend, server, current := slices.Index(header, "pxname"), slices.Index(header, "svname"), slices.Index(header, "scur")
	if backend < 0 || server < 0 || current < 0 {
		return nil, fmt.Errorf("show stat: columns are missing in %v", header)
	}
	sessions := map[string]int{}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return sessions, nil
		}
		if err != nil {
			return nil, fmt.Errorf("show stat: %w", err)
		}
		if len(row) <= max(backend, server, current) || row[backend] != Backend {
			continue
		}
		if sessions[row[server]], err = strconv.Atoi(row[current]); err != nil {
			return nil, fmt.Errorf("show stat: %s has %q sessions", row[server], row[current])
		}
	}
}

// HAProxyConfig is the configuration of a HAProxy whose runtime API is at the
// socket and that has no servers yet. Nothing is sent twice: a request that a
// pod cuts fails.
func HAProxyConfig(listen, socket string) string {
	return `global
  stats socket ` + socket + ` mode 600 level admin
  nbthread 1
  log stdout format raw local0 notice
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
  retries 0
  no option redispatch
  http-reuse always
frontend web
  bind ` + listen + `
  default_backend ` + Backend + `
backend ` + Backend + `
  balance roundrobin
  option httpchk GET /readyz
`
}
