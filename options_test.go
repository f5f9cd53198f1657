package main

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/drain-operator/drain-operator/internal/condition"
)

const digest = "registry.example.com:5000/team/agent@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestParseOptions(t *testing.T) {
	t.Setenv("POD_NAMESPACE", "drain-operator-system")
	for name, tc := range map[string]struct {
		args []string
		want string // part of the error; empty when there is none
	}{
		"the least":                   {[]string{"--agent-image=" + digest}, ""},
		"no image":                    {nil, "--agent-image must be a reference by digest"},
		"an image by tag":             {[]string{"--agent-image=agent:v1"}, "--agent-image must be a reference by digest"},
		"a short digest":              {[]string{"--agent-image=agent@sha256:abc"}, "--agent-image must be a reference by digest"},
		"a delivery by hand":          {[]string{"--agent-image=" + digest, "--agent-delivery=ImageVolume"}, ""},
		"an unknown delivery":         {[]string{"--agent-image=" + digest, "--agent-delivery=Pigeon"}, "--agent-delivery must be Auto, ImageVolume or InitContainer"},
		"no namespace":                {[]string{"--agent-image=" + digest, "--namespace="}, "must name the operator's namespace"},
		"a port out of range":         {[]string{"--agent-image=" + digest, "--webhook-port=65536"}, "--webhook-port must be from 1 to 65535"},
		"a URL":                       {[]string{"--agent-image=" + digest, "--webhook-url=https://127.0.0.1:9443"}, ""},
		"a URL without TLS":           {[]string{"--agent-image=" + digest, "--webhook-url=http://127.0.0.1:9443"}, "--webhook-url must be https://host:port"},
		"a URL with a path":           {[]string{"--agent-image=" + digest, "--webhook-url=https://a/b"}, "--webhook-url must be https://host:port"},
		"a namespace that is no name": {[]string{"--agent-image=" + digest, "--excluded-namespaces=a,B"}, `"B" is not a namespace's name`},
		"profiles on loopback":        {[]string{"--agent-image=" + digest, "--pprof-address=127.0.0.1:6060"}, ""},
		"profiles nowhere":            {[]string{"--agent-image=" + digest, "--pprof-address=6060"}, `--pprof-address must be host:port, not "6060"`},
		"a certificate of another":    {[]string{"--agent-image=" + digest, "--cert-source=Secret"}, ""},
		"a certificate of nobody":     {[]string{"--agent-image=" + digest, "--cert-source=None"}, `--cert-source must be Own or Secret, not "None"`},
		"an overlap too long":         {[]string{"--agent-image=" + digest, "--cert-validity=1h"}, "--cert-overlap must be at least 1s and at most a tenth"},
		"looks too often":             {[]string{"--agent-image=" + digest, "--latency-period=10ms"}, "--latency-period must be from 1s to 10m"},
		"no notices":                  {[]string{"--agent-image=" + digest, "--spot-notices="}, ""},
		"a notice without a value":    {[]string{"--agent-image=" + digest, "--spot-notices=spot:30s"}, `--spot-notices must be label=value:duration, not "spot:30s": there is no =`},
		"a notice without a unit":     {[]string{"--agent-image=" + digest, "--spot-notices=a.b/spot=true:30"}, `not "a.b/spot=true:30": time: missing unit`},
		"a notice that is no label":   {[]string{"--agent-image=" + digest, "--spot-notices=a b=true:30s"}, "name part must consist of"},
		"a notice too short":          {[]string{"--agent-image=" + digest, "--spot-notices=a=b:1ms"}, "the notice must be from 1s to 24h"},
		"removal without a wait":      {[]string{"--agent-image=" + digest, "--node-removal-wait=0"}, ""},
		"removal that waits for -1 s": {[]string{"--agent-image=" + digest, "--node-removal-wait=-1s"}, "--node-removal-wait must be 0 or at least 1s"},
		"an argument":                 {[]string{"--agent-image=" + digest, "please"}, `unexpected argument "please"`},
		"an unknown flag":             {[]string{"--speed=9"}, "unknown flag: --speed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseOptions(tc.args)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("got %v, want none", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := parseOptions([]string{"--help"}); !errors.Is(err, pflag.ErrHelp) {
		t.Errorf("--help: %v", err)
	}
}

// The help is for a terminal.
func TestHelp(t *testing.T) {
	var o options
	var help strings.Builder
	flags := pflag.NewFlagSet("drain-operator", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.SetOutput(&help)
	o.addFlags(flags)
	printHelp(flags)
	for line := range strings.Lines(help.String()) {
		// What has no space, as a default with many elements, cannot be broken.
		long := slices.ContainsFunc(strings.Fields(line), func(word string) bool { return len(word) > 50 })
		if len(line) > helpColumns+1 && !long {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if !strings.Contains(help.String(), "--"+f.Name+" ") {
			t.Errorf("no --%s", f.Name)
		}
	})
}

// docs/operations.md has every flag, and no other.
func TestFlagsAreDocumented(t *testing.T) {
	content, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var o options
	var want, got []string
	flags := pflag.NewFlagSet("drain-operator", pflag.ContinueOnError)
	o.addFlags(flags)
	flags.VisitAll(func(f *pflag.Flag) {
		if !strings.HasPrefix(f.Name, "zap-") && f.Name != "kubeconfig" {
			want = append(want, f.Name)
		}
	})
	for _, row := range regexp.MustCompile("(?m)^\\| `--([a-z-]+)` \\|").FindAllStringSubmatch(string(content), -1) {
		got = append(got, row[1])
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-flags +documented):\n%s", diff)
	}
}

func TestCeilings(t *testing.T) {
	o := options{nodeRemovalWait: 10 * time.Minute, spotNotices: []string{"karpenter.sh/capacity-type=spot:2m", "spot=:30s"}}
	got, err := o.ceilings()
	if err != nil {
		t.Fatal(err)
	}
	want := condition.Ceilings{NodeRemovalSeconds: 600, Notices: []condition.Notice{
		{Label: "karpenter.sh/capacity-type", Value: "spot", Seconds: 120}, {Label: "spot", Seconds: 30},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHosts(t *testing.T) {
	o := options{namespace: "ns", webhookURL: "https://127.0.0.1:9443", certValidity: time.Hour}
	want := []string{"drain-operator-webhook.ns.svc", "drain-operator-webhook.ns.svc.cluster.local", "127.0.0.1"}
	if diff := cmp.Diff(want, o.hosts()); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	if o.listenHost() != "127.0.0.1" {
		t.Errorf("listens on %q", o.listenHost())
	}
	o.webhookURL = ""
	if o.listenHost() != "" {
		t.Errorf("listens on %q", o.listenHost())
	}
}

func TestIsExcluded(t *testing.T) {
	o := options{namespace: "own", excludedNamespaces: []string{"left-alone"}}
	for namespace, want := range map[string]bool{
		"kube-system": true, "kube-public": true, "kube-node-lease": true, "own": true, "left-alone": true,
		"default": false, "shop": false,
	} {
		if got := isExcluded(namespace, o.planOptions()); got != want {
			t.Errorf("%s: got %t, want %t", namespace, got, want)
		}
	}
}
