package main

import (
	"context"
	"fmt"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/demo"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
	"github.com/drain-operator/drain-operator/test/guarantees"
	"github.com/drain-operator/drain-operator/test/guarantees/runner"
)

var thoroughServers = []string{"sdk"}

const controlServer = "sdk"

func serverNames() []string   { return []string{"sdk", "shutdown", "abrupt", "stream"} }
func balancerNames() []string { return []string{"ClusterIP"} }

func workload(list images) func(string, guarantees.Variant, string, int32) (runner.Workload, error) {
	return func(server string, variant guarantees.Variant, namespace string, replicas int32) (w runner.Workload, err error) {
		m, err := demo.ReadManifests(filepath.Join("examples", server))
		if err != nil {
			return w, err
		}
		cfg := demo.Default()
		cfg.Replicas = replicas
		if cfg.Image, err = list.reference("drain-examples"); err != nil {
			return w, err
		}
		m = m.Adapt(namespace, demo.Policy, cfg)
		w = runner.Workload{App: server, Objects: []client.Object{m.Deployment}, WebSocket: server == "stream", EventStream: server == "stream"}
		if variant == guarantees.None {
			return w, nil
		}
		w.Policy = &v1alpha1.DrainPolicy{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(m.Policy.Object, w.Policy); err != nil {
			return w, err
		}
		if variant == guarantees.Bare {
			w.Policy.Spec.DrainStatus = v1alpha1.DrainStatus{TCP: &v1alpha1.TCPDrainStatus{IdleSeconds: 2}}
			w.Policy.Spec.PreStop.Notify = nil
		}
		return w, nil
	}
}

func front(env *framework.Env, _ images) func(context.Context, string, string, string) (string, error) {
	return func(ctx context.Context, namespace, app, _ string) (string, error) {
		s := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: app},
			Spec: corev1.ServiceSpec{
				Selector: map[string]string{"app": app},
				Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}},
			},
		}
		if err := env.Client.Create(ctx, s); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s:80", s.Spec.ClusterIP), nil
	}
}
