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

// Image has the workload at /workload and the load generator at /load.
func Image() string { return imageOf("drain-examples") }

// imageOf is an image that was built for the suite. Its name is in the list
// that `make image` writes, E2E_IMAGES, since a registry may have given it
// another.
func imageOf(name string) string {
	list := images()
	if list == nil {
		return "drain-operator.dev/" + name + ":dev"
	}
	Expect(list).To(HaveKey(name), os.Getenv("E2E_IMAGES"))
	repository := list[name].Name
	if tag := strings.LastIndex(repository, ":"); tag > strings.LastIndex(repository, "/") {
		repository = repository[:tag]
	}
	return repository + "@" + list[name].Digest
}

type image struct{ Name, Digest string }

// images is nil where there is no list.
var images = sync.OnceValue(func() (list map[string]image) {
	if path := os.Getenv("E2E_IMAGES"); path != "" {
		data, err := os.ReadFile(path)
		Expect(err).NotTo(HaveOccurred())
		Expect(json.Unmarshal(data, &list)).To(Succeed())
	}
	return list
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
