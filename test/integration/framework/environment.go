// Package framework gives integration tests a real API server, and the
// operator as a process of its own with the rights that its manifests give it.
package framework

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// Environment is an API server with the project's API and RBAC in it. Nothing
// else runs: no controller, no kubelet.
type Environment struct {
	// Config and Client are an administrator's.
	Config *rest.Config
	Client client.Client

	control *envtest.Environment
}

// Option changes what Start brings up.
type Option func(*envtest.Environment)

// Advertise sets the API server's own address, which it does not find out in a
// network namespace that has no default route.
func Advertise(address string) Option {
	return func(control *envtest.Environment) {
		control.ControlPlane.GetAPIServer().Configure().Set("advertise-address", address)
	}
}

// Durable has etcd wait for the disk with each write, as every cluster's own does
// and none of a test does.
func Durable(control *envtest.Environment) {
	etcd := control.ControlPlane.Etcd
	if etcd == nil {
		etcd = &envtest.Etcd{}
		control.ControlPlane.Etcd = etcd
	}
	etcd.Configure().Set("unsafe-no-fsync", "false")
}

// Start brings an API server up. Stop it when done.
func Start(ctx context.Context, options ...Option) (*Environment, error) {
	e, err := start(&envtest.Environment{
		CRDDirectoryPaths:     []string{File("config/crd/drain-operator.dev_drainpolicies.yaml")},
		ErrorIfCRDPathMissing: true,
	}, options...)
	if err != nil {
		return nil, err
	}
	manifests := []string{"config/manager/namespace.yaml"}
	for _, name := range []string{"service_account", "role", "role_binding", "metrics_reader", "policy_roles", "admission_policy"} {
		manifests = append(manifests, "config/rbac/"+name+".yaml")
	}
	for _, manifest := range manifests {
		if err := e.applyFile(ctx, File(manifest)); err != nil {
			return nil, errors.Join(err, e.Stop())
		}
	}
	return e, nil
}

// StartBare brings an API server up with nothing of the project in it.
func StartBare() (*Environment, error) { return start(&envtest.Environment{}) }

// startTimeout is for a machine that does much else: envtest's own, 20 s, is
// sometimes too short there.
const startTimeout = 2 * time.Minute

func start(control *envtest.Environment, options ...Option) (*Environment, error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS must name a folder with kube-apiserver, etcd and kubectl")
	}
	control.ControlPlaneStartTimeout = startTimeout
	for _, set := range options {
		set(control)
	}
	config, err := control.Start()
	if err != nil { // what was slow to start may be there all the same
		return nil, errors.Join(fmt.Errorf("starting an API server: %w", err), control.Stop())
	}
	config.QPS, config.Burst = 500, 500
	e := &Environment{Config: config, control: control}
	if e.Client, err = client.New(config, client.Options{Scheme: Scheme()}); err != nil {
		return nil, errors.Join(err, e.Stop())
	}
	return e, nil
}

// Kubeconfig is an administrator's, as a file's content.
func (e *Environment) Kubeconfig() []byte { return e.control.KubeConfig }

// Stop takes the API server down.
func (e *Environment) Stop() error { return e.control.Stop() }

// Namespace creates a namespace with a name of its own and these labels.
func (e *Environment) Namespace(ctx context.Context, labels map[string]string) (string, error) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Labels: labels}}
	err := e.Client.Create(ctx, namespace)
	return namespace.Name, err
}

func (e *Environment) applyFile(ctx context.Context, path string) error {
	objects, err := ReadObjects(path)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := e.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("test"), client.ForceOwnership); err != nil {
			return fmt.Errorf("applying %s of %s: %w", object.GetName(), path, err)
		}
	}
	return nil
}

// ReadObjects reads a file of YAML documents.
func ReadObjects(path string) ([]*unstructured.Unstructured, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	var objects []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(file, 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// Scheme knows the built-in types and ours.
func Scheme() *apiruntime.Scheme {
	scheme := apiruntime.NewScheme()
	for _, add := range []func(*apiruntime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err) // two of our own types of one name
		}
	}
	return scheme
}

// File is the path of a file of this repository.
func File(path string) string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..", "..", path)
}
