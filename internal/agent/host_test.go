package agent

import (
	"net/netip"
	"strconv"
	"testing"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/sockets"
)

// The workload is asked and told under the name under which the kubelet asks.
func TestRequestsNameThePod(t *testing.T) {
	d := newDialer(&sockets.Own{})
	for _, scheme := range []string{"HTTP", "HTTPS"} {
		port, seen := witness(t, scheme)
		requests := map[string]func() error{
			"status": func() error {
				newAsker(d, hold.HTTP{Port: port, Path: "/", Scheme: scheme}).ask(t.Context(), 0, drainstatus.Exclude)
				return nil
			},
			"notify": func() error {
				return notify(t.Context(), d, hold.Notify{Port: port, Path: "/", Scheme: scheme}, nil)
			},
			"hook": func() error {
				return runHook(t.Context(), d, hold.ExistingHook{Port: port, HTTPPath: "/", Scheme: scheme})
			},
		}
		for name, request := range requests {
			t.Run(name+" over "+scheme, func(t *testing.T) {
				if err := request(); err != nil {
					t.Fatal(err)
				}
				got, want := seen(), podIP+":"+strconv.Itoa(int(port))
				if got.Host != want || got.SNI != "" {
					t.Errorf("asked as %q with SNI %q, want %q without", got.Host, got.SNI, want)
				}
			})
		}
	}
}

func TestPodAddress(t *testing.T) {
	const managed = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n"
	const four, six = "10.1.2.3", "fd00::1:2"
	tests := map[string]struct {
		hosts string
		own   []string
		want  string
	}{
		"as the kubelet writes it":       {managed + "10.1.2.3\tweb-0\n", []string{four}, four},
		"with a subdomain":               {managed + "10.1.2.3\tweb-0.web.shop.svc.cluster.local\tweb-0\n", []string{four}, four},
		"two families, IPv6 first":       {managed + "fd00::1:2\tweb-0\n10.1.2.3\tweb-0\n", []string{four, six}, six},
		"IPv6 in another spelling":       {managed + "fd00:0:0::1:2\tweb-0\n", []string{four, six}, six},
		"more interfaces":                {managed + "10.1.2.3\tweb-0\n", []string{"192.168.0.9", four}, four},
		"a node that calls itself so":    {"127.0.1.1\tweb-0\n", []string{four, "172.17.0.1"}, four},
		"an address of somebody else":    {"10.9.9.9\tweb-0\n", []string{four}, four},
		"another name":                   {"10.1.2.4\tweb-01 # web-0\n", []string{four, "10.1.2.4"}, four},
		"an /etc/hosts of its own":       {"garbage\n\nx web-0", []string{four, six}, four},
		"none":                           {"", []string{six}, six},
		"no interfaces but the loopback": {managed + "10.1.2.3\tweb-0\n", nil, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var own []netip.Addr
			for _, a := range tc.own {
				own = append(own, netip.MustParseAddr(a))
			}
			want, _ := netip.ParseAddr(tc.want) // none is invalid
			if got := podAddress(tc.hosts, "web-0", own); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}
