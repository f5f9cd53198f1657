package balancer

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

const (
	servicePort = 80
	proxyPort   = 8080
	readyPort   = 8081

	// files is the folder of the proxy's files.
	files = "/run/follow"
)

func (b balancer) meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: b.name, Labels: map[string]string{"app.kubernetes.io/name": "balancer"}}
}

func (b balancer) service() *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: b.meta(),
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": b.app},
			Ports:    []corev1.ServicePort{{Port: servicePort, TargetPort: intstr.FromString("http")}},
		},
	}
	if b.kind == NodePort {
		s.Spec.Type = corev1.ServiceTypeNodePort
	}
	return s
}

func (b balancer) rights() (*corev1.ServiceAccount, *rbacv1.Role, *rbacv1.RoleBinding) {
	account := &corev1.ServiceAccount{ObjectMeta: b.meta()}
	role := &rbacv1.Role{ObjectMeta: b.meta(), Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"get", "list", "watch"},
	}}}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: b.meta(),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: b.name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: b.name, Namespace: b.namespace}},
	}
	return account, role, binding
}

// asker is a pod that succeeds when something answers at the address.
func (b balancer) asker(address string) *corev1.Pod {
	pod := b.pod("await", address)
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	pod.Spec.AutomountServiceAccountToken = ptr.To(false)
	return pod
}

// proxy is the pod of the proxy and what leads it.
func (b balancer) proxy() *corev1.Pod {
	pod := b.pod(b.args()...)
	pod.Spec.ServiceAccountName = b.name
	pod.Spec.Volumes = []corev1.Volume{{Name: "files", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	c := &pod.Spec.Containers[0]
	c.VolumeMounts = []corev1.VolumeMount{{Name: "files", MountPath: files}}
	c.Ports = []corev1.ContainerPort{{Name: "balanced", ContainerPort: proxyPort}}
	c.ReadinessProbe = &corev1.Probe{
		PeriodSeconds: 1,
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/readyz", Port: intstr.FromInt32(readyPort)}},
	}
	return pod
}

func (b balancer) args() []string {
	args := []string{
		"-service=" + b.name, "-namespace=" + b.namespace, "-dir=" + files,
		fmt.Sprintf("-listen=0.0.0.0:%d", proxyPort), fmt.Sprintf("-ready=:%d", readyPort),
	}
	switch b.kind {
	case Nginx:
		return append(args, "-proxy=nginx")
	case Slow:
		return append(args, "-proxy=haproxy", fmt.Sprintf("-delay-seconds=%d", SlowDelay/time.Second))
	case Checking:
		return append(args, "-proxy=haproxy", "-checks")
	}
	return append(args, "-proxy=haproxy")
}

// pod runs /follow. It is valid under the restricted Pod Security Standard.
func (b balancer) pod(args ...string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: b.meta(),
		Spec: corev1.PodSpec{
			EnableServiceLinks:            ptr.To(false),
			TerminationGracePeriodSeconds: ptr.To[int64](1),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](65532), RunAsGroup: ptr.To[int64](65532), FSGroup: ptr.To[int64](65532),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "follow", Image: b.image, ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{"/follow"}, Args: args,
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
					Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
				},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}
