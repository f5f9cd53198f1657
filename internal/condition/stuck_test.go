package condition

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/internal/plan"
	testobjects "github.com/drain-operator/drain-operator/internal/testing"
)

const agentImage = "example.com/agent@sha256:0123456789abcdef"

// injected is a pod as the plan makes it, created now and taken by a kubelet
// two seconds later.
func injected(t *testing.T, delivery plan.Delivery) *corev1.Pod {
	t.Helper()
	pod := testobjects.MakePod("web-1").Container(testobjects.MakeContainer("app").Port("http", 8080)).Grace(30).Obj()
	pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
	o := plan.Options{AgentImage: agentImage, Delivery: delivery}
	pod = plan.Apply(plan.Build(testobjects.MakePolicy("web").Obj(), pod, o), pod)
	pod.CreationTimestamp = metav1.NewTime(now)
	pod.Status.StartTime = ptr.To(metav1.NewTime(now.Add(2 * time.Second)))
	return pod
}

func waiting(container, reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: container, State: corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
}

func TestAgentIn(t *testing.T) {
	found := func(edit func(*AgentPod)) *AgentPod {
		a := &AgentPod{Name: "web-1", Created: now, Since: now.Add(2 * time.Second), Image: agentImage}
		if edit != nil {
			edit(a)
		}
		return a
	}
	trouble := func(reason string) *AgentPod { return found(func(a *AgentPod) { a.Trouble = reason }) }
	running := corev1.ContainerStatus{Name: "app", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	tests := map[string]struct {
		delivery plan.Delivery
		init     []corev1.ContainerStatus
		app      []corev1.ContainerStatus
		edit     func(*corev1.Pod)
		want     *AgentPod
	}{
		"not seen by a kubelet yet": {
			delivery: plan.ImageVolume,
			edit:     func(p *corev1.Pod) { p.Status.StartTime = nil },
			want:     found(func(a *AgentPod) { a.Since = now }),
		},
		"image volume: runs": {
			delivery: plan.ImageVolume, app: []corev1.ContainerStatus{running},
			want: found(func(a *AgentPod) { a.Started = true }),
		},
		"image volume: starting": {
			delivery: plan.ImageVolume, app: []corev1.ContainerStatus{waiting("app", "ContainerCreating", "")},
			want: found(nil),
		},
		"image volume: our image cannot be pulled": {
			delivery: plan.ImageVolume,
			app:      []corev1.ContainerStatus{waiting("app", "ErrImagePull", `failed to pull and unpack image "`+agentImage+`": not found`)},
			want:     trouble("ErrImagePull"),
		},
		"image volume: back-off": {
			delivery: plan.ImageVolume,
			app:      []corev1.ContainerStatus{waiting("app", "ImagePullBackOff", `Back-off pulling image "`+agentImage+`": ErrImagePull: not found`)},
			want:     trouble("ImagePullBackOff"),
		},
		"image volume: from a mirror of the registry": {
			delivery: plan.ImageVolume,
			app:      []corev1.ContainerStatus{waiting("app", "ErrImagePull", `mirror.local/agent@sha256:0123456789abcdef: not found`)},
			want:     trouble("ErrImagePull"),
		},
		"image volume: the runtime knows none": {
			delivery: plan.ImageVolume,
			app:      []corev1.ContainerStatus{waiting("app", "CreateContainerError", `failed to generate container spec: failed to mkdir "": mkdir : no such file or directory`)},
			want:     trouble("CreateContainerError"),
		},
		"image volume: the app's own image cannot be pulled": {
			delivery: plan.ImageVolume,
			app:      []corev1.ContainerStatus{waiting("app", "ImagePullBackOff", `Back-off pulling image "example.com/app:v2"`)},
			want:     found(nil),
		},
		"image volume: the app crashes": {
			delivery: plan.ImageVolume,
			app: []corev1.ContainerStatus{func() corev1.ContainerStatus {
				s := waiting("app", "CrashLoopBackOff", "")
				s.RestartCount = 3
				return s
			}()},
			want: found(func(a *AgentPod) { a.Started = true }),
		},
		"init container: our image cannot be pulled": {
			delivery: plan.InitContainer,
			init:     []corev1.ContainerStatus{waiting(plan.InitContainerName, "ImagePullBackOff", "")},
			app:      []corev1.ContainerStatus{waiting("app", "PodInitializing", "")},
			want:     trouble("ImagePullBackOff"),
		},
		"init container: crashes": {
			delivery: plan.InitContainer,
			init:     []corev1.ContainerStatus{waiting(plan.InitContainerName, "CrashLoopBackOff", "")},
			want:     trouble("CrashLoopBackOff"),
		},
		"init container: starting": {
			delivery: plan.InitContainer,
			init:     []corev1.ContainerStatus{waiting(plan.InitContainerName, "PodInitializing", "")},
			want:     found(nil),
		},
		"init container: done": {
			delivery: plan.InitContainer, app: []corev1.ContainerStatus{running},
			want: found(func(a *AgentPod) { a.Started = true }),
		},
		"terminating": {delivery: plan.ImageVolume, edit: terminating},
		"ended":       {delivery: plan.ImageVolume, edit: func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }},
		"no agent":    {delivery: plan.ImageVolume, edit: func(p *corev1.Pod) { p.Spec.Containers[0].Lifecycle = nil }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			pod := injected(t, tc.delivery)
			pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses = tc.init, tc.app
			if tc.edit != nil {
				tc.edit(pod)
			}
			var got *AgentPod
			if a, ok := AgentIn(pod); ok {
				got = &a
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("agent (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAgentPodsKeepsWhatTells(t *testing.T) {
	pods := []*corev1.Pod{injected(t, plan.ImageVolume), injected(t, plan.ImageVolume), injected(t, plan.ImageVolume), injected(t, plan.ImageVolume)}
	for i, p := range pods[:2] {
		p.Name = []string{"older", "newer"}[i]
		p.CreationTimestamp = metav1.NewTime(now.Add(time.Duration(i) * time.Minute))
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	}
	pods[2].Name = "stuck"
	pods[2].Status.ContainerStatuses = []corev1.ContainerStatus{waiting("app", "ImagePullBackOff", agentImage)}
	pods[3].Name = "starting"
	var names []string
	for _, a := range AgentPods(pods) {
		names = append(names, a.Name)
	}
	if diff := cmp.Diff([]string{"stuck", "newer"}, names); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
}
