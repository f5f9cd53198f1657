package injection

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// addPolicies makes namespaces with policies and waits until they are in
// effect. It returns the first namespace.
func (b *bench) addPolicies(ctx context.Context, scenario, namespaces, policies int) (string, error) {
	var first string
	for range namespaces {
		namespace, err := b.env.Namespace(ctx, map[string]string{"scenario": fmt.Sprint(scenario)})
		if err != nil {
			return "", err
		}
		if first == "" {
			first = namespace
		}
		for i := range policies {
			if err := b.env.Client.Create(ctx, policy(namespace, i)); err != nil {
				return "", err
			}
		}
	}
	return first, b.ready(ctx, first)
}

// policy number 0 of a namespace selects the pods, the others similar ones.
func policy(namespace string, number int) *v1alpha1.DrainPolicy {
	app := "web"
	if number > 0 {
		app = fmt.Sprintf("web-%d", number)
	}
	return &v1alpha1.DrainPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: app},
		Spec: v1alpha1.DrainPolicySpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app, "tier": "front"}},
			DrainStatus: v1alpha1.DrainStatus{HTTP: &v1alpha1.HTTPDrainStatus{
				Port: intstr.FromString("status"), Path: "/drain-status",
			}},
			PreStop: v1alpha1.PreStop{Notify: &v1alpha1.Notify{Port: intstr.FromString("status"), Path: "/drain"}},
		},
	}
}

// template is a pod of the usual size.
var template = &corev1.Pod{
	ObjectMeta: metav1.ObjectMeta{
		GenerateName: "web-7c5b4f9d8-",
		Labels:       map[string]string{"app": "web", "tier": "front", "pod-template-hash": "7c5b4f9d8"},
		Annotations:  map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "9090"},
	},
	Spec: corev1.PodSpec{
		// There is no controller that would make a ServiceAccount.
		AutomountServiceAccountToken:  ptr.To(false),
		TerminationGracePeriodSeconds: ptr.To[int64](30),
		Containers: []corev1.Container{{
			Name: "app", Image: "registry.example.com/shop/web:1.27.4",
			Args: []string{"--listen=:8080", "--metrics=:9090"},
			Ports: []corev1.ContainerPort{
				{Name: "http", ContainerPort: 8080}, {Name: "metrics", ContainerPort: 9090}, {Name: "status", ContainerPort: 8081},
			},
			Env: []corev1.EnvVar{{Name: "LOG_LEVEL", Value: "info"}, {
				Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}},
			}},
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
				Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
			},
			LivenessProbe:  probe("/healthz"),
			ReadinessProbe: probe("/readyz"),
		}},
	},
}

func probe(path string) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("http")}}, PeriodSeconds: 10,
	}
}
