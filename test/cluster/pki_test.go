package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPKI(t *testing.T) {
	dir := t.TempDir()
	if err := writePKI(dir); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	ca, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil || !pool.AppendCertsFromPEM(ca) {
		t.Fatalf("authority: %v", err)
	}
	tests := map[string]struct {
		name   string
		groups []string
		host   string // what a client asks a server for
	}{
		"admin":                    {name: "kubernetes-admin", groups: []string{"system:masters"}},
		"apiserver-kubelet-client": {name: "kube-apiserver-kubelet-client", groups: []string{"system:masters"}},
		"kubelet":                  {name: "system:node:node-1", groups: []string{"system:nodes"}},
		"kube-proxy":               {name: "system:kube-proxy"},
		"kube-controller-manager":  {name: "system:kube-controller-manager"},
		"kube-scheduler":           {name: "system:kube-scheduler"},
		"kube-apiserver":           {name: "kube-apiserver", host: APIServiceIP},
		"kubelet-server":           {name: "system:node:node-1", host: NodeIP},
	}
	if len(tests) != len(subjects()) {
		t.Errorf("%d certificates are tested, %d are issued", len(tests), len(subjects()))
	}
	for file, test := range tests {
		t.Run(file, func(t *testing.T) {
			pair, err := tls.LoadX509KeyPair(filepath.Join(dir, file+".crt"), filepath.Join(dir, file+".key"))
			if err != nil {
				t.Fatal(err)
			}
			usage := x509.ExtKeyUsageClientAuth
			if test.host != "" {
				usage = x509.ExtKeyUsageServerAuth
			}
			options := x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{usage}, DNSName: test.host}
			if _, err := pair.Leaf.Verify(options); err != nil {
				t.Error(err)
			}
			subject := pair.Leaf.Subject
			if diff := cmp.Diff(append([]string{test.name}, test.groups...), append([]string{subject.CommonName}, subject.Organization...)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// The front proxy's authority must vouch for nobody else: whoever it vouches for
// may claim to be anyone.
func TestFrontProxyAuthorityIsSeparate(t *testing.T) {
	dir := t.TempDir()
	if err := writePKI(dir); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	ca, err := os.ReadFile(filepath.Join(dir, "front-proxy-ca.crt"))
	if err != nil || !pool.AppendCertsFromPEM(ca) {
		t.Fatalf("authority: %v", err)
	}
	verify := func(file string) error {
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, file+".crt"), filepath.Join(dir, file+".key"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		return err
	}
	if err := verify("front-proxy-client"); err != nil {
		t.Error(err)
	}
	for file := range subjects() {
		if verify(file) == nil {
			t.Errorf("%s is accepted as a front proxy", file)
		}
	}
}
