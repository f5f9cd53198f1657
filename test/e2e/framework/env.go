// Package framework is what the journeys on a real cluster are written in:
// verbs that wait for conditions, and fail the spec where one does not come.
package framework

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// Env is the cluster under test.
type Env struct {
	Config *rest.Config
	Client client.WithWatch
	Kube   kubernetes.Interface
}

// Image has the workload at /workload and the load generator at /load. Its name
// is in the list that `make image` writes, E2E_IMAGES, since a registry may have
// given it another.
func Image() string { return image() }

var image = sync.OnceValue(func() string {
	list := os.Getenv("E2E_IMAGES")
	if list == "" {
		return "drain-operator.dev/drain-examples:dev"
	}
	data, err := os.ReadFile(list)
	Expect(err).NotTo(HaveOccurred())
	var images map[string]struct{ Name, Digest string }
	Expect(json.Unmarshal(data, &images)).To(Succeed())
	Expect(images).To(HaveKey("drain-examples"), list)
	name := images["drain-examples"].Name
	if tag := strings.LastIndex(name, ":"); tag > strings.LastIndex(name, "/") {
		name = name[:tag]
	}
	return name + "@" + images["drain-examples"].Digest
})

// Connect reaches the cluster that KUBECONFIG names.
func Connect() (*Env, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("no cluster to test on (set KUBECONFIG): %w", err)
	}
	config.QPS, config.Burst = 200, 400
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Env{Config: config, Client: c, Kube: kube}, nil
}

// Ready says whether a pod's Ready condition is True.
func Ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
