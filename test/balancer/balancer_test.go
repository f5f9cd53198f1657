package balancer

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drain-operator/drain-operator/hack/image"
)

// The image that journeys give to Start.
func TestImageHasWhatItTakes(t *testing.T) {
	data, err := os.ReadFile("../servers/images.json")
	if err != nil {
		t.Fatal(err)
	}
	var specs []image.Spec
	if err := json.Unmarshal(data, &specs); err != nil {
		t.Fatal(err)
	}
	follow := image.Binary{Package: "./test/balancer/cmd/follow", Path: "/follow"}
	for _, s := range specs {
		if s.Name == "drain-servers" && slices.Contains(s.Binaries, follow) && s.Debian != nil &&
			slices.Contains(s.Debian.Programs, "/usr/sbin/nginx") && slices.Contains(s.Debian.Programs, "/usr/sbin/haproxy") {
			return
		}
	}
	t.Errorf("no image drain-servers with /follow, nginx and haproxy in %s", data)
}

func TestArgs(t *testing.T) {
	tests := map[Kind][]string{
		Nginx:    {"-proxy=nginx"},
		HAProxy:  {"-proxy=haproxy"},
		Slow:     {"-proxy=haproxy", "-delay-seconds=20"},
		Checking: {"-proxy=haproxy", "-checks"},
	}
	for kind, want := range tests {
		got := balancer{namespace: "ns", name: "web-x", kind: kind}.args()
		common := []string{"-service=web-x", "-namespace=ns", "-dir=/run/follow", "-listen=0.0.0.0:8080", "-ready=:8081"}
		if diff := cmp.Diff(slices.Concat(common, want), got); diff != "" {
			t.Errorf("%s: %s", kind, diff)
		}
	}
}
