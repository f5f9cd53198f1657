package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// DrainPolicy makes the pods that it selects drain before they end: nothing
// sends them SIGTERM while they still owe a response.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=dp,categories=drain-operator
// +kubebuilder:printcolumn:name="Pods",type=integer,JSONPath=`.status.pods`
// +kubebuilder:printcolumn:name="Injected",type=integer,JSONPath=`.status.injected`
// +kubebuilder:printcolumn:name="Draining",type=integer,JSONPath=`.status.draining`
// +kubebuilder:printcolumn:name="Latency(ms)",type=integer,JSONPath=`.status.gracePeriod.latencyMilliseconds`
// +kubebuilder:printcolumn:name="Grace",type=integer,JSONPath=`.status.gracePeriod.recommendedSeconds`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type DrainPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what the owner of the workload asks for.
	// +required
	Spec DrainPolicySpec `json:"spec,omitzero"`

	// status is what the operator sees.
	// +optional
	Status DrainPolicyStatus `json:"status,omitzero"`
}

// DrainPolicyList is a list of DrainPolicies.
//
// +kubebuilder:object:root=true
type DrainPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []DrainPolicy `json:"items"`
}

// Mode says whether a policy acts.
// +kubebuilder:validation:Enum=Enforce;Observe
type Mode string

const (
	// ModeEnforce injects the pods that are created.
	ModeEnforce Mode = "Enforce"
	// ModeObserve works everything out and reports it, and changes nothing.
	ModeObserve Mode = "Observe"
)

// DrainPolicySpec is what the owner of the workload asks for.
//
// +kubebuilder:validation:XValidation:rule="!has(self.gate) || !has(self.gate.hold) || self.gate.hold != 'Deletion' || (has(self.drainStatus) && has(self.drainStatus.http))",message="gate.hold Deletion needs drainStatus.http: nobody can read a pod's sockets from outside"
// +kubebuilder:validation:XValidation:rule="!has(self.longLived) || !has(self.longLived.policy) || self.longLived.policy == 'Exclude' || (has(self.drainStatus) && has(self.drainStatus.http) && (!has(self.drainStatus.http.drainedWhen) || self.drainStatus.http.drainedWhen == 'Body'))",message="longLived.policy Wait and CloseAfter need drainStatus.http with drainedWhen Body: nothing else tells how many connections are long-lived"
// +kubebuilder:validation:XValidation:rule="!has(self.longLived) || !has(self.longLived.policy) || self.longLived.policy == 'Exclude' || !has(self.preStop) || ((!has(self.preStop.strategy) || self.preStop.strategy == 'Agent') && (!has(self.preStop.releaseWhen) || self.preStop.releaseWhen == 'Drained'))",message="longLived.policy Wait and CloseAfter need preStop.strategy Agent and preStop.releaseWhen Drained: nothing else waits for connections"
// +kubebuilder:validation:XValidation:rule="!has(self.longLived) || !has(self.longLived.policy) || self.longLived.policy != 'CloseAfter' || (has(self.preStop) && has(self.preStop.notify))",message="longLived.policy CloseAfter needs preStop.notify: it is the workload that tells its clients"
// +kubebuilder:validation:XValidation:rule="!has(self.longLived) || !has(self.longLived.policy) || self.longLived.policy != 'CloseAfter' || !has(self.longLived.noticeSeconds) || !has(self.preStop) || !has(self.preStop.maxHoldSeconds) || self.preStop.maxHoldSeconds > self.preStop.propagationSeconds + self.longLived.noticeSeconds",message="preStop.maxHoldSeconds must be greater than propagationSeconds and longLived.noticeSeconds together"
// +kubebuilder:validation:XValidation:rule="!has(self.longLived) || !has(self.longLived.policy) || self.longLived.policy != 'CloseAfter' || !has(self.longLived.noticeSeconds) || !has(self.gate) || !has(self.gate.hold) || self.gate.hold != 'Deletion' || !has(self.preStop) || !has(self.preStop.propagationSeconds) || !has(self.gate.maxHoldSeconds) || self.gate.maxHoldSeconds > self.preStop.propagationSeconds + self.longLived.noticeSeconds",message="gate.maxHoldSeconds must be greater than propagationSeconds and longLived.noticeSeconds together"
type DrainPolicySpec struct {
	// selector selects pods of this namespace, whoever owns them. The empty
	// selector {} selects all of them.
	//
	// Example: {matchLabels: {app: checkout}}
	// +required
	// +kubebuilder:validation:XValidation:rule="!has(self.matchLabels) || self.matchLabels.size() <= 32",message="selector.matchLabels must have at most 32 entries"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || (self.matchExpressions.size() <= 32 && self.matchExpressions.all(e, e.operator in ['In', 'NotIn', 'Exists', 'DoesNotExist']))",message="selector.matchExpressions must have at most 32 entries, with the operator In, NotIn, Exists or DoesNotExist"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.size() > 32 || self.matchExpressions.all(e, e.operator in ['In', 'NotIn'] ? has(e.values) && e.values.size() > 0 : !has(e.values) || e.values.size() == 0)",message="a selector expression must have values with In and NotIn, and none with Exists and DoesNotExist"
	Selector *metav1.LabelSelector `json:"selector,omitempty"`

	// mode Enforce injects the pods that are created. Observe works
	// everything out, reports it, and changes nothing. A change acts at once.
	// +optional
	// +default="Enforce"
	Mode Mode `json:"mode,omitempty"`

	// drainStatus says how it is known what a pod still owes. When none is
	// given, it is read from the pod's TCP connections.
	// +optional
	DrainStatus DrainStatus `json:"drainStatus,omitzero"`

	// preStop describes the hook that keeps a pod alive until its work is done.
	// +optional
	// +default={}
	PreStop PreStop `json:"preStop,omitzero"`

	// gracePeriod bounds the terminationGracePeriodSeconds that pods get.
	// +optional
	// +default={}
	GracePeriod GracePeriod `json:"gracePeriod,omitzero"`

	// gate says where a pod is held until it has drained.
	// +optional
	// +default={}
	Gate Gate `json:"gate,omitzero"`

	// longLived says what becomes of connections that do not end by themselves.
	// +optional
	// +default={}
	LongLived LongLived `json:"longLived,omitzero"`
}

// DrainStatus says where the drain status is read. At most one field is set.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.http) && has(self.tcp))",message="drainStatus must have at most one of http and tcp"
type DrainStatus struct {
	// http reads it from an endpoint of the workload.
	// +optional
	HTTP *HTTPDrainStatus `json:"http,omitempty"`

	// tcp reads it from the connections in the pod's network namespace. It is
	// a heuristic: streams that pause and protocols without responses need
	// an endpoint.
	// +optional
	TCP *TCPDrainStatus `json:"tcp,omitempty"`
}

// DrainedWhen says which part of an answer is the drain status.
// +kubebuilder:validation:Enum=Body;StatusCode;Metric
type DrainedWhen string

const (
	// DrainedWhenBody reads the JSON body of the drain-status protocol.
	DrainedWhenBody DrainedWhen = "Body"
	// DrainedWhenStatusCode takes 2xx for drained and 503 for not yet.
	DrainedWhenStatusCode DrainedWhen = "StatusCode"
	// DrainedWhenMetric takes a sample of a Prometheus page that must be 0.
	DrainedWhenMetric DrainedWhen = "Metric"
)

// Scheme of an HTTP request, as in the kubelet's probes.
// +kubebuilder:validation:Enum=HTTP;HTTPS
type Scheme string

const (
	// SchemeHTTP is plain HTTP.
	SchemeHTTP Scheme = "HTTP"
	// SchemeHTTPS is HTTP over TLS whose certificate is not verified, as the kubelet does it.
	SchemeHTTPS Scheme = "HTTPS"
)

// HTTPDrainStatus is an endpoint that says what the workload still owes.
//
// +kubebuilder:validation:XValidation:rule="(self.drainedWhen == 'Metric') == has(self.metric)",message="metric must be set when drainedWhen is Metric, and only then"
type HTTPDrainStatus struct {
	// port is the number of a port that the workload listens on, or the name
	// of a container port.
	// +required
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 && self <= 65535 : self.matches('^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$') && self.matches('[a-z]')",message="port must be a number from 1 to 65535 or the name of a container port (at most 15 of a-z, 0-9 and -, with at least one letter)"
	Port intstr.IntOrString `json:"port"`

	// path of the endpoint; it may carry a query.
	// +optional
	// +default="/drain-status"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/') && !self.matches('[[:space:][:cntrl:]#]')",message="path must start with / and have no white space, control character or fragment"
	Path string `json:"path,omitempty"`

	// scheme of the request. The certificate is not verified under HTTPS, as
	// the kubelet does it with probes.
	// +optional
	// +default="HTTP"
	Scheme Scheme `json:"scheme,omitempty"`

	// timeoutSeconds is how long one answer may take before it counts as a failure.
	// +optional
	// +default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=30
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`

	// periodSeconds is the time between two looks at an endpoint that answers
	// at once; one that holds its answer until drained is asked again at once.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=60
	PeriodSeconds int32 `json:"periodSeconds,omitempty"`

	// drainedWhen says which part of the answer counts: Body is the
	// drain-status protocol, StatusCode takes 2xx for drained and 503 for not
	// yet, Metric a sample of a Prometheus page that must be 0.
	// +optional
	// +default="Body"
	DrainedWhen DrainedWhen `json:"drainedWhen,omitempty"`

	// metric names the samples whose sum must be 0. Only with drainedWhen: Metric.
	// +optional
	Metric *MetricSelector `json:"metric,omitempty"`
}

// MetricSelector selects samples of a Prometheus page.
type MetricSelector struct {
	// name of the metric.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[a-zA-Z_:][a-zA-Z0-9_:]*$`
	Name string `json:"name"`

	// matchLabels that a sample must carry to count.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 128 && k.matches('^[a-zA-Z_][a-zA-Z0-9_]*$') && self[k].size() <= 256)",message="metric.matchLabels must have names of at most 128 letters, digits and _, and values of at most 256 characters"
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
}

// TCPDrainStatus reads the drain status from TCP connections.
type TCPDrainStatus struct {
	// ports whose accepted connections count. When none is given, the TCP
	// ports that the pod declares, but for one that is there for metrics only;
	// when it declares none, all it listens on.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:Minimum=1
	// +kubebuilder:validation:items:Maximum=65535
	Ports []int32 `json:"ports,omitempty"`

	// idleSeconds is how long a connection on which the pod sent last still
	// counts as busy: longer than the longest pause within a response.
	// +optional
	// +default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=300
	IdleSeconds int32 `json:"idleSeconds,omitempty"`
}

// HookStrategy says what the hook does.
// +kubebuilder:validation:Enum=Agent;Sleep;None
type HookStrategy string

const (
	// StrategyAgent runs the drain agent, which waits until the pod has drained.
	StrategyAgent HookStrategy = "Agent"
	// StrategySleep uses the native sleep hook for propagationMaxSeconds.
	StrategySleep HookStrategy = "Sleep"
	// StrategyNone injects no hook; the grace period is still set.
	StrategyNone HookStrategy = "None"
)

// ExistingHook says what becomes of a preStop hook that a container has already.
// +kubebuilder:validation:Enum=Keep;RunFirst;RunLast;Replace
type ExistingHook string

const (
	// ExistingHookKeep leaves a container that has a hook as it is.
	ExistingHookKeep ExistingHook = "Keep"
	// ExistingHookRunFirst runs it, then waits.
	ExistingHookRunFirst ExistingHook = "RunFirst"
	// ExistingHookRunLast waits, then runs it.
	ExistingHookRunLast ExistingHook = "RunLast"
	// ExistingHookReplace drops it.
	ExistingHookReplace ExistingHook = "Replace"
)

// ReleaseWhen says what the hook waits for.
// +kubebuilder:validation:Enum=Drained;OutOfRotation
type ReleaseWhen string

const (
	// ReleaseWhenDrained waits until nothing is in flight.
	ReleaseWhenDrained ReleaseWhen = "Drained"
	// ReleaseWhenOutOfRotation waits only until nothing sends new work: for
	// servers that finish their requests themselves on SIGTERM.
	ReleaseWhenOutOfRotation ReleaseWhen = "OutOfRotation"
)

// StopSignal is a signal on which servers end softly.
// +kubebuilder:validation:Enum=SIGINT;SIGQUIT;SIGUSR1;SIGWINCH
type StopSignal string

const (
	// StopSignalINT ends lighttpd softly.
	StopSignalINT StopSignal = "SIGINT"
	// StopSignalQUIT ends nginx and PHP-FPM softly.
	StopSignalQUIT StopSignal = "SIGQUIT"
	// StopSignalUSR1 ends HAProxy softly.
	StopSignalUSR1 StopSignal = "SIGUSR1"
	// StopSignalWINCH ends Apache httpd softly.
	StopSignalWINCH StopSignal = "SIGWINCH"
)

// The API server checks a default {} by the rules below before it fills in the
// defaults within it: hence has() for fields that are always there otherwise.

// PreStop describes the injected hook.
//
// +kubebuilder:validation:XValidation:rule="!has(self.propagationSeconds) || !has(self.propagationMaxSeconds) || self.propagationSeconds <= self.propagationMaxSeconds",message="propagationSeconds must not be greater than propagationMaxSeconds"
// +kubebuilder:validation:XValidation:rule="!has(self.maxHoldSeconds) || self.maxHoldSeconds > self.propagationSeconds",message="maxHoldSeconds must be greater than propagationSeconds"
// +kubebuilder:validation:XValidation:rule="!has(self.notify) || self.strategy == 'Agent'",message="notify needs strategy Agent"
// +kubebuilder:validation:XValidation:rule="!has(self.stopSignal) || self.strategy == 'Agent'",message="stopSignal needs strategy Agent"
// +kubebuilder:validation:XValidation:rule="!has(self.strategy) || !has(self.existingHook) || self.strategy == 'Agent' || self.existingHook in ['Keep', 'Replace']",message="existingHook RunFirst and RunLast need strategy Agent"
type PreStop struct {
	// strategy Agent waits until the pod has drained, Sleep uses the native
	// sleep hook for propagationMaxSeconds, None injects no hook.
	// +optional
	// +default="Agent"
	Strategy HookStrategy `json:"strategy,omitempty"`

	// existingHook says what becomes of a preStop hook that a container has.
	// +optional
	// +default="Keep"
	ExistingHook ExistingHook `json:"existingHook,omitempty"`

	// releaseWhen Drained waits until nothing is in flight; OutOfRotation
	// only until nothing sends new work, for servers that finish their
	// requests themselves on SIGTERM.
	// +optional
	// +default="Drained"
	ReleaseWhen ReleaseWhen `json:"releaseWhen,omitempty"`

	// propagationSeconds is how long the pod serves on at least.
	// +optional
	// +default=5
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=600
	PropagationSeconds *int32 `json:"propagationSeconds,omitempty"`

	// propagationMaxSeconds is how long new work is waited for at most.
	// +optional
	// +default=30
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=600
	PropagationMaxSeconds int32 `json:"propagationMaxSeconds,omitempty"`

	// maxHoldSeconds bounds the hold. When unset: the grace at admission less
	// shutdown. On spot nodes: below the notice.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	MaxHoldSeconds *int32 `json:"maxHoldSeconds,omitempty"`

	// notify tells the workload that it starts to drain: POST {"draining": true}.
	// +optional
	Notify *Notify `json:"notify,omitempty"`

	// stopSignal is sent to the first process of the containers that serve
	// when the hold ends, for servers that end at once on SIGTERM and softly
	// on another signal: SIGQUIT for nginx, SIGUSR1 for HAProxy. SIGTERM
	// follows where that is not enough within the grace. When unset: SIGTERM
	// alone, or the container's own lifecycle.stopSignal.
	// +optional
	StopSignal StopSignal `json:"stopSignal,omitempty"`
}

// Notify is where the workload wants to be told that it starts to drain.
type Notify struct {
	// port is the number of a port that the workload listens on, or the name
	// of a container port.
	// +required
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 && self <= 65535 : self.matches('^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$') && self.matches('[a-z]')",message="port must be a number from 1 to 65535 or the name of a container port (at most 15 of a-z, 0-9 and -, with at least one letter)"
	Port intstr.IntOrString `json:"port"`

	// path of the endpoint.
	// +optional
	// +default="/drain"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/') && !self.matches('[[:space:][:cntrl:]#]')",message="path must start with / and have no white space, control character or fragment"
	Path string `json:"path,omitempty"`
}
