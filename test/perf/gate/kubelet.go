package gate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

const statusPort = "8081"

// kubelet does of a kubelet's part what the operator looks at: pods run, are
// Ready when their gate says so, and say what they owe.
type kubelet struct {
	client   client.Client
	listener net.Listener
	end      context.CancelFunc
	working  sync.WaitGroup
	number   atomic.Uint32

	mu   sync.Mutex
	busy map[string]bool // by the pod's address
	seen map[types.UID]seen
}

// seen is what was seen of a pod.
type seen struct {
	pod *corev1.Pod
	// deleted is when its deletion was seen to be accepted.
	deleted time.Time
}

func startKubelet(ctx context.Context, c client.WithWatch) (*kubelet, error) {
	ctx, end := context.WithCancel(ctx)
	k := &kubelet{client: c, busy: map[string]bool{}, seen: map[types.UID]seen{}, end: end}
	var err error
	if k.listener, err = net.Listen("tcp", ":"+statusPort); err != nil {
		return nil, err
	}
	server := &http.Server{Handler: http.HandlerFunc(k.status), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(k.listener) }() // until the listener is closed
	pods := toolscache.NewSharedInformer(&toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list := &corev1.PodList{}
			return list, c.List(ctx, list, &client.ListOptions{Raw: &o})
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return c.Watch(ctx, &corev1.PodList{}, &client.ListOptions{Raw: &o})
		},
	}, &corev1.Pod{}, 0)
	if _, err := pods.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { k.saw(ctx, object) },
		UpdateFunc: func(_, object any) { k.saw(ctx, object) },
	}); err != nil {
		return nil, errors.Join(err, k.listener.Close())
	}
	k.working.Go(func() { pods.RunWithContext(ctx) })
	return k, nil
}

func (k *kubelet) stop() error {
	k.end()
	k.working.Wait()
	return k.listener.Close()
}

// status answers for the pod at whose address it was asked.
func (k *kubelet) status(rw http.ResponseWriter, r *http.Request) {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	host, _, _ := net.SplitHostPort(local.String()) // always host and port
	k.mu.Lock()
	busy := k.busy[host]
	k.mu.Unlock()
	s := drainstatus.Status{Draining: true}
	if busy {
		s.InFlight = 1
	}
	body, err := drainstatus.Encode(s)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = rw.Write(body) // who asked sees whether it came
}

// saw keeps readiness in step with the gate. It does not keep the informer waiting.
func (k *kubelet) saw(ctx context.Context, object any) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	k.note(pod)
	if ready := isReady(pod); pod.Status.PodIP != "" && pod.DeletionTimestamp == nil && ready == isOut(pod) {
		k.working.Go(func() { _ = k.setReady(ctx, pod, !ready) }) // who waits for it says what is missing
	}
}

func (k *kubelet) note(pod *corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	known := k.seen[pod.UID]
	known.pod = pod
	if pod.DeletionTimestamp != nil && known.deleted.IsZero() {
		known.deleted = time.Now()
	}
	k.seen[pod.UID] = known
}

func (k *kubelet) of(pod types.UID) seen {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.seen[pod]
}

func isReady(pod *corev1.Pod) bool { return conditionIs(pod, corev1.PodReady, corev1.ConditionTrue) }
func isOut(pod *corev1.Pod) bool {
	return conditionIs(pod, v1alpha1.PodInRotation, corev1.ConditionFalse)
}

func conditionIs(pod *corev1.Pod, of corev1.PodConditionType, status corev1.ConditionStatus) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == of {
			return c.Status == status
		}
	}
	return false
}

func (k *kubelet) setReady(ctx context.Context, pod *corev1.Pod, ready bool) error {
	status := "False"
	if ready {
		status = "True"
	}
	patch := fmt.Sprintf(`{"status":{"conditions":[{"type":"Ready","status":%q,"lastTransitionTime":%q}]}}`, status, time.Now().UTC().Format(time.RFC3339))
	return k.client.Status().Patch(ctx, pod.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, []byte(patch)))
}

// run makes a pod run, at an address of its own, owing something.
func (k *kubelet) run(ctx context.Context, pod *corev1.Pod) error {
	n := k.number.Add(1)
	address := strings.Replace(podNetwork.Addr().String(), ".0.0", fmt.Sprintf(".%d.%d", 1+n/250, 1+n%250), 1)
	k.setBusy(address, true)
	now := time.Now().UTC().Format(time.RFC3339)
	patch := fmt.Sprintf(`{"status":{"phase":"Running","podIP":%[1]q,"podIPs":[{"ip":%[1]q}],"hostIP":"192.0.2.1","startTime":%[2]q,
		"conditions":[{"type":"Ready","status":"True","lastTransitionTime":%[2]q},{"type":"ContainersReady","status":"True","lastTransitionTime":%[2]q}],
		"containerStatuses":[{"name":"app","ready":true,"started":true,"image":"i","imageID":"i","restartCount":0,"state":{"running":{"startedAt":%[2]q}}}]}}`, address, now)
	return k.client.Status().Patch(ctx, pod, client.RawPatch(types.StrategicMergePatchType, []byte(patch)))
}

func (k *kubelet) setBusy(address string, busy bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.busy[address] = busy
}

// remove ends a pod for good.
func (k *kubelet) remove(ctx context.Context, pod *corev1.Pod) error {
	return client.IgnoreNotFound(k.client.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID}))
}
