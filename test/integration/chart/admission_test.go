package chart

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"strings"

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
)

var _ = Describe("What the chart renders", func() {
	files, err := filepath.Glob(filepath.Join(chart, "ci", "*-values.yaml"))
	if err != nil || len(files) < 4 {
		panic("there are no values to try")
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), "-values.yaml")
		It("is accepted by an API server under restricted Pod Security: "+name, func(ctx context.Context) {
			objects := rendered(ctx, name)
			Expect(len(objects)).To(BeNumerically(">=", 12))
			for _, object := range objects {
				if group := object.GroupVersionKind().Group; group == "monitoring.coreos.com" || group == "cert-manager.io" {
					continue // of an API that is not there
				}
				Expect(dryRun(ctx, object)).To(Succeed(), "%s %s", object.GetKind(), object.GetName())
			}
			Expect(dryRun(ctx, podOf(objects))).To(Succeed())
		})
	}

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
