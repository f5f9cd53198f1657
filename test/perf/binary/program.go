// Package binary runs the operator for benchmarks: the real binary, as a
// process of its own with the memory limit of its manifest, and tells what it
// takes.
package binary

import (
	"context"
	"fmt"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/drain-operator/drain-operator/test/integration/framework"
)

// Program is the operator's binary, and where it is run.
type Program struct {
	env         *framework.Environment
	dir, binary string
	token       string
}

// Build builds the operator into a folder, and lets an account read its metrics.
func Build(ctx context.Context, env *framework.Environment, dir string) (*Program, error) {
	p := &Program{env: env, dir: dir}
	var err error
	if p.binary, err = framework.Binary(ctx, dir); err != nil {
		return nil, err
	}
	if p.token, err = scraperToken(ctx, env); err != nil {
		return nil, err
	}
	return p, asDeployed()
}

// asDeployed gives the operator the memory limit that its manifest sets: what is
// started from now on inherits it.
func asDeployed() error {
	const name = "GOMEMLIMIT"
	objects, err := framework.ReadObjects(framework.File("config/manager/deployment.yaml"))
	if err != nil {
		return err
	}
	for _, object := range objects {
		deployment := &appsv1.Deployment{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, deployment); err != nil {
			return err
		}
		for _, container := range deployment.Spec.Template.Spec.Containers {
			for _, variable := range container.Env {
				if variable.Name == name && variable.Value != "" {
					return os.Setenv(name, variable.Value)
				}
			}
		}
	}
	return fmt.Errorf("the manifest sets no %s", name)
}

// scraperToken is one of a ServiceAccount that may read the operator's metrics.
func scraperToken(ctx context.Context, env *framework.Environment) (string, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "scraper"}}
	if err := env.Client.Create(ctx, account); err != nil {
		return "", err
	}
	if err := env.Client.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "scraper"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "drain-operator-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: account.Name}},
	}); err != nil {
		return "", err
	}
	return env.Token(ctx, account.Namespace, account.Name)
}
