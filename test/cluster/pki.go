package cluster

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certLifetime is far longer than any test cluster lives; nothing is rotated.
const certLifetime = 365 * 24 * time.Hour

// authority is a certificate authority of the cluster.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// subject is whom a certificate is for. Servers have hosts, clients have none.
type subject struct {
	name   string
	groups []string
	hosts  []string
}

// writePKI fills dir with the keys and certificates of all components:
// <name>.crt and <name>.key each, sa.key and sa.pub for service accounts.
func writePKI(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ca, err := newAuthority(dir, "ca", "drain-operator test cluster")
	if err != nil {
		return err
	}
	frontProxy, err := newAuthority(dir, "front-proxy-ca", "drain-operator test cluster front proxy")
	if err != nil {
		return err
	}
	for name, s := range subjects() {
		if err := ca.issue(dir, name, s); err != nil {
			return err
		}
	}
	if err := frontProxy.issue(dir, "front-proxy-client", subject{name: "front-proxy-client"}); err != nil {
		return err
	}
	return writeServiceAccountKey(dir)
}

// subjects are the certificates that the cluster's authority signs, by file name.
func subjects() map[string]subject {
	return map[string]subject{
		"kube-apiserver": {name: "kube-apiserver", hosts: []string{
			"127.0.0.1", "localhost", NodeIP, APIServiceIP,
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + ClusterDomain,
		}},
		"kubelet-server":           {name: "system:node:" + NodeName, hosts: []string{NodeName, NodeIP, "127.0.0.1"}},
		"apiserver-kubelet-client": {name: "kube-apiserver-kubelet-client", groups: []string{"system:masters"}},
		"admin":                    {name: "kubernetes-admin", groups: []string{"system:masters"}},
		"kubelet":                  {name: "system:node:" + NodeName, groups: []string{"system:nodes"}},
		"kube-proxy":               {name: "system:kube-proxy"},
		"kube-controller-manager":  {name: "system:kube-controller-manager"},
		"kube-scheduler":           {name: "system:kube-scheduler"},
	}
}

func newAuthority(dir, file, name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert, err := certTemplate(name)
	if err != nil {
		return nil, err
	}
	cert.IsCA, cert.BasicConstraintsValid = true, true
	cert.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("authority %s: %w", file, err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key}, writePair(dir, file, der, key)
}

func (a *authority) issue(dir, file string, s subject) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	cert, err := certTemplate(s.name)
	if err != nil {
		return err
	}
	cert.Subject.Organization = s.groups
	cert.KeyUsage = x509.KeyUsageDigitalSignature
	cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(s.hosts) > 0 {
		cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	for _, host := range s.hosts {
		if ip := net.ParseIP(host); ip != nil {
			cert.IPAddresses = append(cert.IPAddresses, ip)
		} else {
			cert.DNSNames = append(cert.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("certificate %s: %w", file, err)
	}
	return writePair(dir, file, der, key)
}

// certTemplate is valid from an hour ago, for clocks that are set back.
func certTemplate(name string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(certLifetime),
	}, nil
}

func writePair(dir, file string, der []byte, key crypto.PrivateKey) error {
	if err := writePEM(filepath.Join(dir, file+".crt"), "CERTIFICATE", der); err != nil {
		return err
	}
	return writeKey(filepath.Join(dir, file+".key"), key)
}

func writeKey(path string, key crypto.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "PRIVATE KEY", der)
}

func writeServiceAccountKey(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if err := writeKey(filepath.Join(dir, "sa.key"), key); err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, "sa.pub"), "PUBLIC KEY", der)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
