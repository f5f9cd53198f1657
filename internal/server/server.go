// Package server recognises the HTTP server that a container runs, by its
// command and environment, and knows what it does to requests in flight when it
// is told to end. It is pure.
//
// What is said of servers here was read in their sources and manuals:
//
//   - Gunicorn 20.1.0: arbiter.py (handle_term, handle_int, handle_quit, stop),
//     config.py (GracefulTimeout, get_cmd_args_from_env), app/base.py for the
//     order: command line, GUNICORN_CMD_ARGS, configuration file. Uvicorn's
//     worker takes no timeout of Uvicorn's over (workers.py).
//   - Uvicorn 0.17.6: server.py, main.py. --timeout-graceful-shutdown is there
//     since 0.22.0, and so is UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN, by click's
//     auto_envvar_prefix. Without it requests are waited for without end.
//   - Hypercorn 0.13.2: config.py, asyncio/run.py. It reads no variable.
//   - nginx: https://nginx.org/en/docs/control.html.
//   - HAProxy: management.txt, chapter 4. SIGINT is as SIGTERM.
package server

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// Kind of server.
type Kind string

// Kinds that are recognised, as people call them.
const (
	Gunicorn  Kind = "Gunicorn"
	Uvicorn   Kind = "Uvicorn"
	Hypercorn Kind = "Hypercorn"
	Nginx     Kind = "nginx"
	HAProxy   Kind = "HAProxy"
)

// From is where a timeout was seen.
type From string

// Where timeouts come from.
const (
	// FromDefault: neither command nor environment say anything. A
	// configuration file in the image may.
	FromDefault From = "Default"
	// FromCommand: a flag of the command.
	FromCommand From = "Command"
	// FromVariable: a variable of the container.
	FromVariable From = "Variable"
	// FromFile: the command names a configuration file, which nobody has read.
	FromFile From = "File"
	// FromElsewhere: a variable whose value is not in the pod, or that
	// envFrom might set.
	FromElsewhere From = "Elsewhere"
)

// Server is what a container runs.
type Server struct {
	Kind Kind
	// Timeout is how long requests in flight get after the signal on which the
	// server ends softly, in seconds; nil = until they end, or not known.
	Timeout *int64
	// Known says that the timeout is, be it that there is none.
	Known bool
	From  From
}

// defaultTimeouts in seconds. Servers that are not listed have none.
var defaultTimeouts = map[Kind]int64{Gunicorn: 30, Hypercorn: 3}

// flags by which servers are told their timeout.
var flags = map[Kind]string{
	Gunicorn:  "--graceful-timeout",
	Hypercorn: "--graceful-timeout",
	Uvicorn:   "--timeout-graceful-shutdown",
}

// VariableGunicorn holds arguments of Gunicorn, as a command line does.
const VariableGunicorn = "GUNICORN_CMD_ARGS"

const variableUvicorn = "UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN"

// variables that servers read their timeout from.
var variables = map[Kind]string{Gunicorn: VariableGunicorn, Uvicorn: variableUvicorn}

// takesFile are those with a configuration file that may set the timeout.
var takesFile = []Kind{Gunicorn, Hypercorn}

// Flag is the argument that sets the server's timeout; empty if it has none.
func (s Server) Flag() string { return flags[s.Kind] }

// Of is the server that a container runs; ok is false where none is recognised.
func Of(c *corev1.Container) (s Server, ok bool) {
	kind, args, ok := recognise(slices.Concat(c.Command, c.Args))
	if !ok {
		return Server{}, false
	}
	s = Server{Kind: kind, Known: true, From: FromDefault}
	if seconds, found := defaultTimeouts[kind]; found {
		s.Timeout = &seconds
	}
	switch value, found := flagValue(args, flags[kind]); {
	case found:
		return s.says(value, FromCommand), true
	case slices.Contains(takesFile, kind) && namesFile(args):
		s = s.unknown(FromFile)
	}
	return s.withVariable(c), true
}

// withVariable takes the variable, which is above the file and below the flag.
func (s Server) withVariable(c *corev1.Container) Server {
	name, reads := variables[s.Kind]
	if !reads {
		return s
	}
	at := lastIndex(c.Env, name)
	switch {
	case at < 0 && len(c.EnvFrom) > 0:
		return s.unknown(FromElsewhere)
	case at < 0:
		return s
	case c.Env[at].ValueFrom != nil:
		return s.unknown(FromElsewhere)
	case s.Kind == Uvicorn:
		return s.says(c.Env[at].Value, FromVariable)
	}
	args, ok := words(c.Env[at].Value)
	if !ok {
		return s.unknown(FromVariable)
	}
	if value, found := flagValue(args, s.Flag()); found {
		return s.says(value, FromVariable)
	}
	if namesFile(args) {
		return s.unknown(FromFile)
	}
	return s
}

// says takes a value. What is no number, such as a variable's name, is not known.
func (s Server) says(value string, from From) Server {
	seconds, err := strconv.ParseInt(value, 10, 32)
	if err != nil || seconds < 0 {
		return s.unknown(from)
	}
	s.Timeout, s.Known, s.From = &seconds, true, from
	return s
}

func (s Server) unknown(from From) Server {
	s.Timeout, s.Known, s.From = nil, false, from
	return s
}

// lastIndex of a variable: of several of the same name the last one counts.
func lastIndex(env []corev1.EnvVar, name string) int {
	for i, v := range slices.Backward(env) {
		if v.Name == name {
			return i
		}
	}
	return -1
}

// Unset reports whether nothing that can be seen in the pod sets a Gunicorn's
// timeout or its variable: no flag, no configuration file, no variable of that
// name, no envFrom.
func (s Server) Unset(c *corev1.Container) bool {
	return s.Kind == Gunicorn && s.From == FromDefault && lastIndex(c.Env, VariableGunicorn) < 0
}
