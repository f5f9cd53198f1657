package chart

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/drain-operator/drain-operator/test/integration/framework"
)

// foreignCRDs are folders of CustomResourceDefinitions of those whose objects the
// chart makes behind switches, by the module that has them and where it is pinned.
var foreignCRDs = []struct{ pinnedIn, module, folder string }{
	{"hack/monitoring", "github.com/prometheus-operator/prometheus-operator", "example/prometheus-operator-crd"},
	{"hack/cert-manager", "github.com/cert-manager/cert-manager", "deploy/crds"},
}

// Ordered: the CRDs of others are installed once.
var _ = Describe("What the chart renders", Ordered, func() {
	BeforeAll(func(ctx context.Context) {
		for _, crds := range foreignCRDs {
			folder, err := framework.ModuleDir(ctx, crds.pinnedIn, crds.module)
			Expect(err).NotTo(HaveOccurred())
			_, err = envtest.InstallCRDs(env.Config, envtest.CRDInstallOptions{
				Paths: []string{filepath.Join(folder, crds.folder)}, ErrorIfPathMissing: true, MaxTime: time.Minute,
			})
			Expect(err).NotTo(HaveOccurred())
		}
	})

	files, err := filepath.Glob(filepath.Join(chart, "ci", "*-values.yaml"))
	if err != nil || len(files) < 5 {
		panic("there are no values to try")
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), "-values.yaml")
		It("is accepted by an API server under restricted Pod Security: "+name, func(ctx context.Context) {
			objects := rendered(ctx, name)
			Expect(len(objects)).To(BeNumerically(">=", 12))
			for _, object := range objects {
				Expect(dryRun(ctx, object)).To(Succeed(), "%s %s", object.GetKind(), object.GetName())
			}
			Expect(dryRun(ctx, podOf(objects))).To(Succeed())
		})
	}

	It("has something for every API of others", func(ctx context.Context) {
		groups := map[string]int{}
		for _, name := range []string{"everything", "cert-manager"} {
			for _, object := range rendered(ctx, name) {
				groups[object.GroupVersionKind().Group+" "+object.GetKind()]++
			}
		}
		Expect(groups).To(And(
			HaveKeyWithValue("monitoring.coreos.com ServiceMonitor", 1), HaveKeyWithValue("monitoring.coreos.com PrometheusRule", 1),
			HaveKeyWithValue("cert-manager.io Certificate", 3), HaveKeyWithValue("cert-manager.io Issuer", 2),
		))
	})

	It("would be refused if a field of another's API were wrong", func(ctx context.Context) {
		for _, object := range rendered(ctx, "everything") {
			switch object.GetKind() {
			case "ServiceMonitor", "PrometheusRule", "Certificate":
				Expect(unstructured.SetNestedField(object.Object, "x", "spec", "noSuchField")).To(Succeed())
				Expect(dryRun(ctx, object)).To(MatchError(ContainSubstring(`unknown field "spec.noSuchField"`)))
			}
		}
	})

	It("would be refused if its pods were less restricted", func(ctx context.Context) {
		pod := podOf(rendered(ctx, "default"))
		pod.Spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = ptr.To(true)
		Expect(dryRun(ctx, pod)).To(MatchError(ContainSubstring(`violates PodSecurity "restricted`)))
	})
})

func dryRun(ctx context.Context, object client.Object) error {
	return env.Client.Create(ctx, object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
}

// rendered are the chart's objects with a file of values, hooks included.
func rendered(ctx context.Context, name string) []*unstructured.Unstructured {
	GinkgoHelper()
	var objects []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(helm(ctx, "template", release, chart, values(name))), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		Expect(err).NotTo(HaveOccurred())
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// podOf is a pod as the Deployment would make it.
func podOf(objects []*unstructured.Unstructured) *corev1.Pod {
	GinkgoHelper()
	for _, object := range objects {
		if object.GetKind() != "Deployment" {
			continue
		}
		var deployment appsv1.Deployment
		Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(jsonOf(object), &deployment)).To(Succeed())
		template := deployment.Spec.Template
		template.Namespace, template.GenerateName = namespace, "drain-operator-"
		return &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	}
	Fail("there is no Deployment")
	return nil
}

// jsonOf is the object with the number types that the converter knows.
func jsonOf(object *unstructured.Unstructured) map[string]any {
	GinkgoHelper()
	encoded, err := json.Marshal(object.Object)
	Expect(err).NotTo(HaveOccurred())
	copied := &unstructured.Unstructured{}
	Expect(copied.UnmarshalJSON(encoded)).To(Succeed())
	return copied.Object
}
