package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

// Serving holds the certificate that this replica shows, and replaces it when
// the Secret changes. Safe for use by several goroutines.
type Serving struct {
	// Accept says what is wrong with a Secret's data; nil for data that this
	// program writes itself.
	Accept func(data map[string][]byte) error

	current atomic.Pointer[tls.Certificate]
}

// GetCertificate is for tls.Config.
func (s *Serving) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cert := s.current.Load(); cert != nil {
		return cert, nil
	}
	return nil, errors.New("there is no serving certificate yet")
}

// Check is a readiness check: an error until a certificate is loaded.
func (s *Serving) Check(*http.Request) error {
	_, err := s.GetCertificate(nil)
	return err
}

// Load takes the certificate from a Secret's data. What cannot be used leaves
// the current one in place.
func (s *Serving) Load(data map[string][]byte) error {
	if s.Accept != nil {
		if err := s.Accept(data); err != nil {
			return err
		}
	}
	cert, err := tls.X509KeyPair(data[KeyCert], data[KeyKey])
	if err != nil {
		return fmt.Errorf("loading the serving certificate: %w", err)
	}
	s.current.Store(&cert)
	return nil
}

// Follow loads the certificate from the cached Secret now and whenever it
// changes. The cache must be limited to that one Secret.
func (s *Serving) Follow(ctx context.Context, secrets cache.Cache) error {
	informer, err := secrets.GetInformer(ctx, &corev1.Secret{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching the certificate's Secret: %w", err)
	}
	load := func(obj any) {
		if secret, ok := obj.(*corev1.Secret); ok && len(secret.Data[KeyCert]) > 0 {
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
