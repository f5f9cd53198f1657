package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

// lookPeriod is the time between two looks at the published bundles.
const lookPeriod = time.Second

// Serving holds the certificate that this replica shows, and replaces it when
// the Secret changes. Safe for use by several goroutines.
type Serving struct {
	// Foreign is set when somebody else makes the certificates.
	Foreign *Foreign

	current atomic.Pointer[tls.Certificate]
}

// GetCertificate is for tls.Config.
func (s *Serving) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert := s.current.Load()
	if s.Foreign != nil {
		cert = s.Foreign.shown()
	}
	if cert != nil {
		return cert, nil
	}
	return nil, errors.New("there is no serving certificate yet")
}

// Validity is that of the certificate which is shown; ok is false while there is
// none.
func (s *Serving) Validity() (notBefore, notAfter time.Time, ok bool) {
	cert, err := s.GetCertificate(nil)
	if err != nil || cert.Leaf == nil {
		return time.Time{}, time.Time{}, false
	}
	return cert.Leaf.NotBefore, cert.Leaf.NotAfter, true
}

// Check is a readiness check: an error until a certificate is loaded.
func (s *Serving) Check(*http.Request) error {
	_, err := s.GetCertificate(nil)
	return err
}

// Load takes the certificate from a Secret's data. What cannot be used leaves
// the current one in place, as does one of a CA that is not known yet: Start
// shows that one later.
func (s *Serving) Load(data map[string][]byte) error {
	if s.Foreign != nil {
		return s.Foreign.take(data)
	}
	cert, err := tls.X509KeyPair(data[KeyCert], data[KeyKey])
	if err != nil {
		return fmt.Errorf("loading the serving certificate: %w", err)
	}
	s.current.Store(&cert)
	return nil
}

// Start shows certificates of somebody else when API servers know their CA,
// until the context is done.
func (s *Serving) Start(ctx context.Context) error {
	if s.Foreign == nil {
		return nil
	}
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		if err := s.Foreign.look(ctx); err != nil {
			logf.FromContext(ctx).Error(err, "a new certificate waits")
		}
	}, lookPeriod)
	return nil
}

// NeedLeaderElection is false: every replica shows one.
func (s *Serving) NeedLeaderElection() bool { return false }

// Follow loads the certificate from the cached Secret now and whenever it
// changes. The cache must be limited to that one Secret.
func (s *Serving) Follow(ctx context.Context, secrets cache.Cache) error {
	informer, err := secrets.GetInformer(ctx, &corev1.Secret{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching the certificate's Secret: %w", err)
	}
	load := func(obj any) {
		// The chart makes the Secret without data.
		if secret, ok := obj.(*corev1.Secret); ok && len(secret.Data) > 0 {
			if err := s.Load(secret.Data); err != nil {
				logf.FromContext(ctx).Error(err, "the certificate in the Secret cannot be used", "secret", secret.Name)
			}
		}
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    load,
		UpdateFunc: func(_, obj any) { load(obj) },
	})
	return err
}
