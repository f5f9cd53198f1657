package chart

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/drain-operator/drain-operator/internal/observe"
)

// notValues are flags that the chart decides, or that make no sense in a
// cluster; extraArgs gives those for a look inside, and the rest of zap's.
var notValues = []string{
	"namespace", "owner", "webhook-url", "kubeconfig", "pprof-address", "zap-devel", "zap-stacktrace-level", "zap-time-encoding",
}

// operator is the path of the operator's binary.
var operator string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	folder, err := os.MkdirTemp("", "chart")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	operator = filepath.Join(folder, "drain-operator")
	if _, err := run(context.Background(), "go", "build", "-C", root, "-o", operator, "."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// wrapped is where a flag's help goes on in the next line.
var wrapped = regexp.MustCompile(`\n +([^- ]|-[^-])`)

var helpLine = regexp.MustCompile(`^ +--([a-z-]+)(?: .*?\(default "?([^"]*?)"?\))?(?: |$)`)

// operatorFlags are the operator's flags with their defaults, from its --help,
// written as the chart's values write them.
func operatorFlags(t *testing.T) map[string]string {
	t.Helper()
	command := exec.CommandContext(t.Context(), operator, "--help")
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string]string{"zap-log-level": "info", "zap-encoder": "json"} // told in words
	for _, line := range strings.Split(wrapped.ReplaceAllString(string(output), " $1"), "\n") {
		found := helpLine.FindStringSubmatch(line)
		if found == nil {
			continue
		}
		if _, told := flags[found[1]]; !told {
			flags[found[1]] = strings.Trim(found[2], "[]")
		}
	}
	if len(flags) < 20 {
		t.Fatalf("only %d flags in\n%s", len(flags), output)
	}
	return flags
}

// sameValue compares durations as such: 10m is 10m0s.
func sameValue(a, b string) bool {
	left, errLeft := time.ParseDuration(a)
	right, errRight := time.ParseDuration(b)
	if errLeft == nil && errRight == nil {
		return left == right
	}
	return a == b
}

func TestDefaultsAreTheOperators(t *testing.T) {
	flags := operatorFlags(t)
	for name, value := range flagsOf(t, find(t, mustTemplate(t, "default"), "Deployment", "drain-operator")) {
		want, known := flags[name]
		if !known {
			t.Errorf("the operator has no flag --%s", name)
		}
		if name != "agent-image" && !sameValue(value, want) {
			t.Errorf("--%s: the chart says %q, the operator %q", name, value, want)
		}
	}
}

func TestEveryFlagIsAValue(t *testing.T) {
	given := flagsOf(t, find(t, mustTemplate(t, "everything"), "Deployment", "drain-operator"))
	for name := range operatorFlags(t) {
		if _, set := given[name]; !set && !slices.Contains(notValues, name) {
			t.Errorf("no value gives --%s", name)
		}
	}
}

// What the operator refuses at its start, helm refuses at the installation.
func TestValuesAreCheckedAsFlagsAre(t *testing.T) {
	t.Setenv("POD_NAMESPACE", namespace)
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for name, tc := range map[string]struct{ value, flag, want string }{
		"no digest":            {"agent.image.digest=", "--agent-image=a", "agent.image.digest is required"},
		"a short digest":       {"agent.image.digest=sha256:abc", "--agent-image=a@sha256:abc", "/agent/image/digest"},
		"a delivery":           {"agent.delivery=Pigeon", "--agent-delivery=Pigeon", "/agent/delivery"},
		"a namespace":          {"excludedNamespaces={a,B}", "--excluded-namespaces=a,B", "/excludedNamespaces/1"},
		"a port":               {"webhook.port=65536", "--webhook-port=65536", "/webhook/port"},
		"no duration":          {"latency.period=soon", "--latency-period=soon", "/latency/period"},
		"looks too often":      {"latency.period=10ms", "--latency-period=10ms", "latency.period must be from 1s to 10m"},
		"looks too rarely":     {"latency.period=10m1s", "--latency-period=10m1s", "latency.period must be from 1s to 10m"},
		"an overlap too long":  {"certificate.validity=1h", "--cert-validity=1h", "certificate.overlap must be"},
		"an overlap too short": {"certificate.overlap=999ms", "--cert-overlap=999ms", "certificate.overlap must be"},
		"a wait too short":     {"nodeRemovalWait=1ms", "--node-removal-wait=1ms", "nodeRemovalWait must be"},
		"a wait below zero":    {"nodeRemovalWait=-1s", "--node-removal-wait=-1s", "/nodeRemovalWait"},
		"a notice, no value":   {"spotNotices={spot:30s}", "--spot-notices=spot:30s", "/spotNotices/0"},
		"a notice, no unit":    {"spotNotices={a.b/spot=true:30}", "--spot-notices=a.b/spot=true:30", "/spotNotices/0"},
		"a notice, no label":   {"spotNotices={a b=true:30s}", "--spot-notices=a b=true:30s", "/spotNotices/0"},
		"a notice too short":   {"spotNotices={a=b:1ms}", "--spot-notices=a=b:1ms", "the notice must be from 1s to 24h"},
		"a notice too long":    {"spotNotices={a=b:24h1s}", "--spot-notices=a=b:24h1s", "the notice must be from 1s to 24h"},
		"a level":              {"log.level=loud", "--zap-log-level=loud", "/log/level"},
		"an encoder":           {"log.encoder=xml", "--zap-encoder=xml", "/log/encoder"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := template(t, "default", tc.value); err == nil || !strings.Contains(readable(err), tc.want) {
				t.Errorf("helm: got %v, want %q", err, tc.want)
			}
			// Without a cluster it ends in any case, but first it looks at its flags.
			if _, err := run(t.Context(), operator, "--agent-image=a@"+digest, tc.flag); err == nil || strings.Contains(err.Error(), "finding the cluster") {
				t.Errorf("the operator takes %s: %v", tc.flag, err)
			}
		})
	}
}

// readable is an error in which schema errors name a value as /a/b, whichever
// way the version of helm writes it.
func readable(err error) string {
	return strings.NewReplacer(".", "/", "'", " ").Replace(err.Error()) + err.Error()
}

func TestValuesThatDoNotGoTogether(t *testing.T) {
	for name, tc := range map[string]struct {
		sets []string
		want string
	}{
		"two without a leader": {[]string{"leaderElect=false"}, "leaderElect must be true"},
		"two kinds of sources": {[]string{"latency.existingSecret=a", "latency.sources[0].name=a", "latency.sources[0].address=http://a"}, "either existingSecret or sources"},
		"files for nobody":     {[]string{"latency.files.a=b"}, "latency.files without latency.sources"},
		"a volume for nobody":  {[]string{"latency.projected[0].secret.name=b"}, "latency.projected without"},
		"one port for two":     {[]string{"metrics.port=9443"}, "must differ"},
		"half a reader":        {[]string{"metrics.reader.serviceAccount=a"}, "go together"},
		"a source's password":  {[]string{"latency.sources[0].name=a", "latency.sources[0].address=http://u:p@a"}, "address"},
		"renewed all the time": {[]string{"certManager.enabled=true", "certificate.validity=59m", "certificate.overlap=1m"}, "at least 1h with cert-manager"},
		"an unknown value":     {[]string{"replicaCount=3"}, "replicaCount"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := template(t, "default", tc.sets...); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// What becomes of latency.sources is what the operator reads.
func TestOperatorTakesTheSources(t *testing.T) {
	secret := find(t, mustTemplate(t, "everything"), "Secret", "drain-operator-latency-sources")
	files, _, err := unstructured.NestedStringMap(secret.Object, "stringData")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	files["token"] = "from the projected volume"
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sources, err := observe.LoadSources(filepath.Join(folder, "sources.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"default", "thanos"}, sources.Names()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
