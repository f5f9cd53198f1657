package operator

import (
	"bytes"
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/internal/certs"
)

// expiredFor is how long the certificate of ExpireCertificate has been expired.
const expiredFor = 30 * time.Minute

var certificate = client.ObjectKey{Namespace: Namespace, Name: secret}

// ExpireCertificate has the operator serve a certificate that has expired, and
// register the CA that signed it. The operator would replace it at once; it
// cannot, since the Secret is immutable. DeleteCertificate makes all well.
func (o Operator) ExpireCertificate(ctx context.Context) error {
	made, err := certs.Make(certs.Terms{Hosts: []string{service + "." + Namespace + ".svc"}, Validity: -expiredFor})
	if err != nil {
		return err
	}
	data, err := certs.Take(certs.StepIssue, nil, made)
	if err != nil {
		return err
	}
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		s, err := o.certificate(ctx)
		if err != nil {
			return err
		}
		s.Data, s.Immutable = data, ptr.To(true)
		return o.Client.Update(ctx, s)
	})
}

// DeleteCertificate deletes the certificate: the operator makes a new one.
func (o Operator) DeleteCertificate(ctx context.Context) error {
	s := &corev1.Secret{}
	s.Namespace, s.Name = Namespace, secret
	return client.IgnoreNotFound(o.Client.Delete(ctx, s))
}

func (o Operator) certificate(ctx context.Context) (*corev1.Secret, error) {
	s := &corev1.Secret{}
	if err := o.Client.Get(ctx, certificate, s); err != nil {
		return nil, fmt.Errorf("the operator's certificate: %w", err)
	}
	return s, nil
}

// AwaitRotation waits until the certificate has been rotated: the next CA
// announced, the next certificate served, the old CA retired.
func (o Operator) AwaitRotation(ctx context.Context, timeout time.Duration) error {
	var served, announced []byte
	stage := "announced"
	err := wait.PollUntilContextTimeout(ctx, glance, timeout, true, func(ctx context.Context) (bool, error) {
		s, err := o.certificate(ctx)
		if err != nil {
			return false, err
		}
		next := s.Data[certs.KeyNextCert]
		switch {
		case served == nil && len(next) == 0: // not in the middle of one
			served = s.Data[certs.KeyCert]
		case served != nil && announced == nil && len(next) > 0:
			announced, stage = next, "served"
		case announced != nil && bytes.Equal(s.Data[certs.KeyCert], announced):
			stage = "alone"
			cas, err := certutil.ParseCertsPEM(s.Data[certs.KeyBundle])
			return err == nil && len(cas) == 1, nil
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("the next certificate is not %s: %w", stage, err)
	}
	return nil
}
