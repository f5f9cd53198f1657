package server

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// maxCommandBytes bounds a command that is looked at: scripts of that length
// are no simple ones.
const maxCommandBytes = 4 << 10

var programs = map[string]Kind{
	"gunicorn": Gunicorn, "gunicorn3": Gunicorn, "uvicorn": Uvicorn, "hypercorn": Hypercorn, "nginx": Nginx, "haproxy": HAProxy,
}

// wrappers run the command that follows them and their flags.
var wrappers = []string{
	"exec", "tini", "dumb-init", "catatonit", "nice", "docker-entrypoint.sh", "entrypoint.sh",
	"ddtrace-run", "opentelemetry-instrument",
}

// runners run what follows their first argument.
var runners = map[string]string{"poetry": "run", "pipenv": "run", "uv": "run", "pdm": "run", "newrelic-admin": "run-program"}

// recognise finds the server in a command, and its arguments.
func recognise(argv []string) (kind Kind, args []string, ok bool) {
	length := 0
	for _, arg := range argv {
		length += len(arg)
	}
	if length > maxCommandBytes {
		return "", nil, false
	}
	for range 8 { // of wrappers around each other
		if len(argv) == 0 {
			return "", nil, false
		}
		program := path.Base(argv[0])
		if kind, ok := programs[program]; ok {
			return kind, argv[1:], true
		}
		if argv, ok = unwrap(program, argv[1:]); !ok {
			return "", nil, false
		}
	}
	return "", nil, false
}

// unwrap is the command that a program runs.
func unwrap(program string, rest []string) (argv []string, ok bool) {
	switch {
	case slices.Contains(wrappers, program):
		return afterFlags(rest), true
	case program == "env":
		return afterAssignments(afterFlags(rest))
	case runners[program] != "" && len(rest) > 0 && rest[0] == runners[program]:
		return afterFlags(rest[1:]), true
	case isShell(program):
		return script(rest)
	case strings.HasPrefix(program, "python"):
		return python(rest)
	}
	return nil, false
}

func afterFlags(argv []string) []string {
	for len(argv) > 0 && strings.HasPrefix(argv[0], "-") {
		argv = argv[1:]
	}
	return argv
}

func isShell(program string) bool {
	return slices.Contains([]string{"sh", "bash", "dash", "ash"}, program)
}

// script is the last command of sh -c, where the script is a simple one: what
// comes before it ends first.
func script(rest []string) (argv []string, ok bool) {
	for len(rest) > 0 && strings.HasPrefix(rest[0], "-") && !strings.HasSuffix(rest[0], "c") {
		rest = rest[1:]
	}
	if len(rest) < 2 || !strings.HasPrefix(rest[0], "-") {
		return nil, false
	}
	commands, ok := simple(rest[1])
	if !ok {
		return nil, false
	}
	return afterAssignments(commands[len(commands)-1])
}

// afterAssignments is the command that follows variables of its own. ok is
// false where the server would read one of them.
func afterAssignments(argv []string) (rest []string, ok bool) {
	for len(argv) > 0 && strings.Contains(argv[0], "=") {
		if name, _, _ := strings.Cut(argv[0], "="); isVariable(name) {
			return nil, false
		}
		argv = argv[1:]
	}
	return argv, true
}

func isVariable(name string) bool { return name == VariableGunicorn || name == variableUvicorn }

// python is the module or the script that it runs.
func python(rest []string) (argv []string, ok bool) {
	for i := 0; i < len(rest); i++ {
		switch arg := rest[i]; {
		case arg == "-m":
			return rest[i+1:], true
		case arg == "-c":
			return nil, false
		case arg == "-W" || arg == "-X":
			i++ // its value
		case !strings.HasPrefix(arg, "-"):
			return rest[i:], true
		}
	}
	return nil, false
}

// flagValue is the value of a flag, the last one where it is given again: as
// the next argument or after an equals sign.
func flagValue(args []string, flag string) (value string, found bool) {
	for i, arg := range args {
		name, after, equals := strings.Cut(arg, "=")
		switch {
		case flag == "" || name != flag:
		case equals:
			value, found = after, true
		case i+1 < len(args):
			value, found = args[i+1], true
		}
	}
	return value, found
}

// namesFile reports whether the arguments name a configuration file.
func namesFile(args []string) bool {
	return slices.ContainsFunc(args, func(arg string) bool {
		return arg == "--config" || strings.HasPrefix(arg, "--config=") ||
			strings.HasPrefix(arg, "-c") && !strings.HasPrefix(arg, "--")
	})
}

// Trim keeps of a container's command and environment what Of looks at:
// nothing where it recognises no server. Of says the same of what is left.
func Trim(c *corev1.Container) {
	if _, ok := Of(c); !ok {
		c.Command, c.Args, c.Env, c.EnvFrom = nil, nil, nil, nil
		return
	}
	var kept []corev1.EnvVar
	for _, v := range c.Env {
		if isVariable(v.Name) {
			kept = append(kept, v)
		}
	}
	c.Env = kept
	if len(c.EnvFrom) > 0 {
		c.EnvFrom = []corev1.EnvFromSource{{}}
	}
}
