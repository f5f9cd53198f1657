package server

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

func container(command ...string) *corev1.Container { return &corev1.Container{Command: command} }

func with(c *corev1.Container, env ...corev1.EnvVar) *corev1.Container {
	c.Env = env
	return c
}

func env(name, value string) corev1.EnvVar { return corev1.EnvVar{Name: name, Value: value} }

func TestOf(t *testing.T) {
	known := func(kind Kind, from From, seconds int64) Server {
		return Server{Kind: kind, Timeout: ptr.To(seconds), Known: true, From: from}
	}
	unlimited := func(kind Kind) Server { return Server{Kind: kind, Known: true, From: FromDefault} }
	unknown := func(kind Kind, from From) Server { return Server{Kind: kind, From: from} }
	secret := corev1.EnvVar{Name: VariableGunicorn, ValueFrom: &corev1.EnvVarSource{}}
	envFrom := func(c *corev1.Container) *corev1.Container {
		c.EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{}}}
		return c
	}
	tests := map[string]struct {
		c    *corev1.Container
		want Server // the zero value: none is recognised
	}{
		"gunicorn":                       {container("gunicorn", "app:app"), known(Gunicorn, FromDefault, 30)},
		"by its path":                    {container("/venv/bin/gunicorn", "app:app"), known(Gunicorn, FromDefault, 30)},
		"its flag":                       {container("gunicorn", "--graceful-timeout", "90", "app:app"), known(Gunicorn, FromCommand, 90)},
		"its flag with =":                {container("gunicorn", "--graceful-timeout=90", "app:app"), known(Gunicorn, FromCommand, 90)},
		"its flag twice":                 {container("gunicorn", "--graceful-timeout=90", "--graceful-timeout", "60", "app:app"), known(Gunicorn, FromCommand, 60)},
		"its flag without a value":       {container("gunicorn", "app:app", "--graceful-timeout"), known(Gunicorn, FromDefault, 30)},
		"a value that Kubernetes fills":  {container("gunicorn", "--graceful-timeout=$(GRACE)", "app:app"), unknown(Gunicorn, FromCommand)},
		"another timeout":                {container("gunicorn", "--timeout=90", "app:app"), known(Gunicorn, FromDefault, 30)},
		"uvicorn's worker":               {container("gunicorn", "-k", "uvicorn.workers.UvicornWorker", "app:app"), known(Gunicorn, FromDefault, 30)},
		"a configuration file":           {container("gunicorn", "-c", "conf.py", "app:app"), unknown(Gunicorn, FromFile)},
		"a configuration file, long":     {container("gunicorn", "--config=conf.py", "app:app"), unknown(Gunicorn, FromFile)},
		"--chdir is none":                {container("gunicorn", "--chdir=/app", "app:app"), known(Gunicorn, FromDefault, 30)},
		"the flag is above the file":     {container("gunicorn", "-c", "conf.py", "--graceful-timeout=5", "app:app"), known(Gunicorn, FromCommand, 5)},
		"its variable":                   {with(container("gunicorn", "app:app"), env(VariableGunicorn, "-w 4 --graceful-timeout 45")), known(Gunicorn, FromVariable, 45)},
		"its variable, quoted":           {with(container("gunicorn", "app:app"), env(VariableGunicorn, `--bind ":80" '--graceful-timeout=45'`)), known(Gunicorn, FromVariable, 45)},
		"its variable, and the flag":     {with(container("gunicorn", "--graceful-timeout=5", "app:app"), env(VariableGunicorn, "--graceful-timeout 45")), known(Gunicorn, FromCommand, 5)},
		"its variable, and a file":       {with(container("gunicorn", "-c", "conf.py", "app:app"), env(VariableGunicorn, "--graceful-timeout 45")), known(Gunicorn, FromVariable, 45)},
		"its variable names a file":      {with(container("gunicorn", "app:app"), env(VariableGunicorn, "-c conf.py")), unknown(Gunicorn, FromFile)},
		"its variable says nothing":      {with(container("gunicorn", "app:app"), env(VariableGunicorn, "-w 4")), known(Gunicorn, FromDefault, 30)},
		"its variable, an open quote":    {with(container("gunicorn", "app:app"), env(VariableGunicorn, `"-w 4`)), unknown(Gunicorn, FromVariable)},
		"its variable, from a secret":    {with(container("gunicorn", "app:app"), secret), unknown(Gunicorn, FromElsewhere)},
		"its variable twice":             {with(container("gunicorn", "app:app"), secret, env(VariableGunicorn, "--graceful-timeout 45")), known(Gunicorn, FromVariable, 45)},
		"variables from a config map":    {envFrom(container("gunicorn", "app:app")), unknown(Gunicorn, FromElsewhere)},
		"those are below the variable":   {envFrom(with(container("gunicorn", "app:app"), env(VariableGunicorn, "--graceful-timeout 45"))), known(Gunicorn, FromVariable, 45)},
		"the image's entry point":        {&corev1.Container{Args: []string{"gunicorn", "--graceful-timeout=90", "app:app"}}, known(Gunicorn, FromCommand, 90)},
		"command and args":               {&corev1.Container{Command: []string{"gunicorn"}, Args: []string{"--graceful-timeout", "90"}}, known(Gunicorn, FromCommand, 90)},
		"python -m":                      {container("python3.11", "-u", "-m", "gunicorn", "app:app"), known(Gunicorn, FromDefault, 30)},
		"python with its path":           {container("/usr/bin/python3", "/usr/bin/gunicorn", "app:app"), known(Gunicorn, FromDefault, 30)},
		"python with something else":     {container("python", "manage.py", "gunicorn"), Server{}},
		"python -c":                      {container("python", "-c", "gunicorn"), Server{}},
		"sh -c":                          {container("sh", "-c", "exec gunicorn --graceful-timeout=20 -b :$PORT app:app"), known(Gunicorn, FromCommand, 20)},
		"sh -ec":                         {container("/bin/sh", "-ec", "gunicorn app:app"), known(Gunicorn, FromDefault, 30)},
		"bash -o pipefail":               {container("bash", "-e", "-c", "gunicorn app:app"), known(Gunicorn, FromDefault, 30)},
		"after migrations":               {container("sh", "-c", "python manage.py migrate && cd /app; exec gunicorn app:app"), known(Gunicorn, FromDefault, 30)},
		"lines":                          {container("sh", "-c", "set -e\nexec gunicorn \\\n  --graceful-timeout=20 \\\n  app:app\n"), known(Gunicorn, FromCommand, 20)},
		"a shell's variable":             {container("sh", "-c", "exec gunicorn --graceful-timeout=${GRACE} app:app"), unknown(Gunicorn, FromCommand)},
		"an assignment":                  {container("sh", "-c", "WORKERS=2 exec gunicorn app:app"), known(Gunicorn, FromDefault, 30)},
		"an assignment that counts":      {container("sh", "-c", "GUNICORN_CMD_ARGS=-w4 gunicorn app:app"), Server{}},
		"by env":                         {container("env", "GUNICORN_CMD_ARGS=-w4", "gunicorn", "app:app"), Server{}},
		"python's warnings":              {container("python", "-W", "ignore", "-m", "gunicorn", "app:app"), known(Gunicorn, FromDefault, 30)},
		"a pipe":                         {container("sh", "-c", "gunicorn app:app | tee log"), Server{}},
		"in the background":              {container("sh", "-c", "gunicorn app:app & nginx"), Server{}},
		"a substituted command":          {container("sh", "-c", `gunicorn -w "$(nproc)" app:app`), Server{}},
		"not the last":                   {container("sh", "-c", "gunicorn app:app; sleep 1"), Server{}},
		"a script without -c":            {container("sh", "start.sh"), Server{}},
		"an open quote":                  {container("sh", "-c", "gunicorn 'app"), Server{}},
		"an empty script":                {container("sh", "-c", ""), Server{}},
		"tini":                           {container("tini", "-g", "--", "gunicorn", "app:app"), known(Gunicorn, FromDefault, 30)},
		"wrapped and wrapped":            {container("/usr/bin/dumb-init", "--", "sh", "-c", "exec env A=b poetry run gunicorn app:app"), known(Gunicorn, FromDefault, 30)},
		"a wrapper alone":                {container("tini", "--"), Server{}},
		"wrappers without end":           {container(strings.Fields(strings.Repeat("exec ", 100))...), Server{}},
		"uvicorn waits without end":      {container("uvicorn", "app:app"), unlimited(Uvicorn)},
		"uvicorn's flag":                 {container("uvicorn", "--timeout-graceful-shutdown", "10", "app:app"), known(Uvicorn, FromCommand, 10)},
		"uvicorn's variable":             {with(container("uvicorn", "app:app"), env(variableUvicorn, "10")), known(Uvicorn, FromVariable, 10)},
		"not gunicorn's flag":            {container("uvicorn", "--graceful-timeout=10", "app:app"), unlimited(Uvicorn)},
		"hypercorn":                      {container("hypercorn", "app:app"), known(Hypercorn, FromDefault, 3)},
		"hypercorn's flag":               {container("python", "-m", "hypercorn", "--graceful-timeout=20", "app:app"), known(Hypercorn, FromCommand, 20)},
		"hypercorn's file":               {container("hypercorn", "-c", "hypercorn.toml", "app:app"), unknown(Hypercorn, FromFile)},
		"hypercorn reads no variable":    {envFrom(container("hypercorn", "app:app")), known(Hypercorn, FromDefault, 3)},
		"nginx":                          {container("nginx", "-c", "/etc/nginx.conf", "-g", "daemon off;"), unlimited(Nginx)},
		"haproxy":                        {container("haproxy", "-f", "/haproxy.cfg"), unlimited(HAProxy)},
		"nothing":                        {container(), Server{}},
		"something else":                 {container("/app"), Server{}},
		"a name that only begins so":     {container("gunicorn-exporter"), Server{}},
		"a script that is no simple one": {container("sh", "-c", strings.Repeat("true\n", 1000)+"gunicorn app"), Server{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := Of(tc.c)
			if diff := cmp.Diff(tc.want, got); diff != "" || ok != (tc.want != Server{}) {
				t.Errorf("%v, server (-want +got):\n%s", ok, diff)
			}
			trimmed := tc.c.DeepCopy()
			Trim(trimmed)
			if again, _ := Of(trimmed); !cmp.Equal(got, again) || again.Unset(trimmed) != got.Unset(tc.c) {
				t.Errorf("of what is kept, it says %+v", again)
			}
			once := trimmed.DeepCopy()
			if Trim(trimmed); !cmp.Equal(once, trimmed) {
				t.Errorf("trimmed again (-once +again):\n%s", cmp.Diff(once, trimmed))
			}
		})
	}
}

func TestTrim(t *testing.T) {
	app := with(container("/app", "--secret"), env("A", "b"))
	Trim(app)
	if diff := cmp.Diff(&corev1.Container{}, app); diff != "" {
		t.Errorf("without a server, not dropped (-want +got):\n%s", diff)
	}
	gunicorn := with(container("gunicorn", "app:app"), env("PASSWORD", "x"), env(VariableGunicorn, "-w 4"))
	Trim(gunicorn)
	if diff := cmp.Diff(with(container("gunicorn", "app:app"), env(VariableGunicorn, "-w 4")), gunicorn); diff != "" {
		t.Errorf("gunicorn (-want +got):\n%s", diff)
	}
}

func TestUnset(t *testing.T) {
	tests := map[string]struct {
		c    *corev1.Container
		want bool
	}{
		"nothing is set":        {container("gunicorn", "app:app"), true},
		"the flag":              {container("gunicorn", "--graceful-timeout=3", "app:app"), false},
		"a file":                {container("gunicorn", "-c", "conf.py", "app:app"), false},
		"the variable":          {with(container("gunicorn", "app:app"), env(VariableGunicorn, "")), false},
		"another variable":      {with(container("gunicorn", "app:app"), env("A", "b")), true},
		"another server":        {container("hypercorn", "app:app"), false},
		"variables from others": {&corev1.Container{Command: []string{"gunicorn"}, EnvFrom: make([]corev1.EnvFromSource, 1)}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if s, _ := Of(tc.c); s.Unset(tc.c) != tc.want {
				t.Errorf("unset: %v", !tc.want)
			}
		})
	}
}

func TestSoftSignal(t *testing.T) {
	for kind, want := range map[Kind]corev1.Signal{
		Gunicorn: corev1.SIGTERM, Uvicorn: corev1.SIGTERM, Hypercorn: corev1.SIGTERM, Nginx: corev1.SIGQUIT, HAProxy: corev1.SIGUSR1,
	} {
		s := Server{Kind: kind}
		if got := s.SoftSignal(); got != want || s.On(got) != Softly {
			t.Errorf("%s ends softly on %s, want %s", kind, got, want)
		}
		if got := s.On(corev1.SIGHUP); got != NotAtAll {
			t.Errorf("%s on SIGHUP: %s", kind, got)
		}
	}
}
