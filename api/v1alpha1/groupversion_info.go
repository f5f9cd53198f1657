// Package v1alpha1 is the API of drain-operator: the DrainPolicy, its
// conditions, and the labels and annotations that pods and namespaces carry.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +kubebuilder:ac:output:package="applyconfiguration"
// +groupName=drain-operator.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is the API group and version of every type in this package.
	GroupVersion = schema.GroupVersion{Group: "drain-operator.dev", Version: "v1alpha1"}

	// SchemeGroupVersion is what the generated apply configurations call GroupVersion.
	SchemeGroupVersion = GroupVersion

	schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers this package's types.
	AddToScheme = schemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &DrainPolicy{}, &DrainPolicyList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
