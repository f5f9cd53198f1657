package v1alpha1

import "k8s.io/apimachinery/pkg/util/intstr"

// GracePeriod bounds terminationGracePeriodSeconds, and says from what it is
// worked out.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minSeconds) || !has(self.maxSeconds) || self.minSeconds <= self.maxSeconds",message="minSeconds must not be greater than maxSeconds"
// +kubebuilder:validation:XValidation:rule="!has(self.shutdownSeconds) || self.shutdownSeconds < self.maxSeconds",message="shutdownSeconds must be less than maxSeconds"
type GracePeriod struct {
	// minSeconds is the least that a pod gets.
	// +optional
	// +default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	MinSeconds int32 `json:"minSeconds,omitempty"`

	// maxSeconds is the most that a pod gets, unless its owner gave it more.
	// +optional
	// +default=600
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	MaxSeconds int32 `json:"maxSeconds,omitempty"`

	// percentile of the request latency that a pod must have time for: from
	// 50 to 99.99.
	// +optional
	// +default="99"
	// +kubebuilder:validation:MaxLength=5
	// +kubebuilder:validation:Pattern=`^[5-9][0-9](\.[0-9]{1,2})?$`
	Percentile string `json:"percentile,omitempty"`

	// marginPercent is added to that latency.
	// +optional
	// +default=50
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=400
	MarginPercent *int32 `json:"marginPercent,omitempty"`

	// shutdownSeconds is what the process needs after SIGTERM to flush, close
	// and exit. When unset, it is learned from drains; until then, and where
	// processes were killed, it is the pod's own grace.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=600
	ShutdownSeconds *int32 `json:"shutdownSeconds,omitempty"`

	// windowSeconds is how far back requests and drains are looked at.
	// +optional
	// +default=3600
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=86400
	WindowSeconds int32 `json:"windowSeconds,omitempty"`

	// stabilizationWindowSeconds is for how long a shorter grace must have
	// been enough before it is applied. A longer one is applied at once.
	// +optional
	// +default=3600
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	StabilizationWindowSeconds *int32 `json:"stabilizationWindowSeconds,omitempty"`

	// serverTimeout Report says in the condition ServerStopsInTime where a
	// server's own graceful timeout is too short. Align also lengthens it, in
	// new pods, to what the grace leaves after SIGTERM: that of Gunicorn, by
	// GUNICORN_CMD_ARGS in containers that set neither that variable, nor
	// envFrom, the flag or a configuration file. A GUNICORN_CMD_ARGS of the
	// image is replaced, which the operator cannot see, and a graceful_timeout
	// in the image's gunicorn.conf.py has no effect any more.
	// +optional
	// +default="Report"
	ServerTimeout ServerTimeout `json:"serverTimeout,omitempty"`

	// latency says where the latency of requests is seen. When unset, the
	// pod's own grace stands for it.
	// +optional
	Latency *Latency `json:"latency,omitempty"`
}

// ServerTimeout says what becomes of a server's own graceful timeout.
// +kubebuilder:validation:Enum=Report;Align
type ServerTimeout string

const (
	// ServerTimeoutReport only says where it is too short.
	ServerTimeoutReport ServerTimeout = "Report"
	// ServerTimeoutAlign lengthens it where that can be done from outside.
	ServerTimeoutAlign ServerTimeout = "Align"
)

// LatencyUnit is the unit of a histogram's buckets.
// +kubebuilder:validation:Enum=Seconds;Milliseconds
type LatencyUnit string

const (
	// UnitSeconds is the convention of Prometheus.
	UnitSeconds LatencyUnit = "Seconds"
	// UnitMilliseconds is what some proxies export.
	UnitMilliseconds LatencyUnit = "Milliseconds"
)

// Latency says where the latency of requests is seen. Exactly one of
// prometheus and podMetrics is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.prometheus) != has(self.podMetrics)",message="latency must have exactly one of prometheus and podMetrics"
type Latency struct {
	// unit of the values.
	// +optional
	// +default="Seconds"
	Unit LatencyUnit `json:"unit,omitempty"`

	// prometheus asks a Prometheus that the operator's owner has configured.
	// +optional
	Prometheus *PrometheusLatency `json:"prometheus,omitempty"`

	// podMetrics reads the pods' own metrics pages.
	// +optional
	PodMetrics *PodMetricsLatency `json:"podMetrics,omitempty"`
}

// PrometheusLatency is a PromQL query.
type PrometheusLatency struct {
	// source is the name under which the operator's owner has configured a Prometheus.
	// +optional
	// +default="default"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	Source string `json:"source,omitempty"`

	// query in PromQL. It returns how many requests fell into each bucket of a
	// histogram within the window, as one series per le or as one native
	// histogram; or one value, the percentile. {{ namespace }}, {{ policy }},
	// {{ percentile }}, {{ quantile }}, {{ window }} and {{ pods }} are
	// replaced, and every selector gets the policy's namespace.
	//
	// Example: sum by (le) (increase(http_request_duration_seconds_bucket{pod=~"{{ pods }}"}[{{ window }}]))
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule="self.replace('{{ namespace }}', '').replace('{{ policy }}', '').replace('{{ percentile }}', '').replace('{{ quantile }}', '').replace('{{ window }}', '').replace('{{ pods }}', '').indexOf('{{') < 0",message="query must have no variables but {{ namespace }}, {{ policy }}, {{ percentile }}, {{ quantile }}, {{ window }} and {{ pods }}, written like this"
	Query string `json:"query"`

	// countQuery returns how many requests the value stands for, where query
	// returns one value. Without it, that value can only make the grace longer.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule="self.replace('{{ namespace }}', '').replace('{{ policy }}', '').replace('{{ percentile }}', '').replace('{{ quantile }}', '').replace('{{ window }}', '').replace('{{ pods }}', '').indexOf('{{') < 0",message="countQuery must have no variables but {{ namespace }}, {{ policy }}, {{ percentile }}, {{ quantile }}, {{ window }} and {{ pods }}, written like this"
	CountQuery string `json:"countQuery,omitempty"`
}

// PodMetricsLatency is a histogram on the pods' own metrics pages.
type PodMetricsLatency struct {
	// port is the number of a port that the workload listens on, or the name
	// of a container port.
	// +required
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 && self <= 65535 : self.matches('^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$') && self.matches('[a-z]')",message="port must be a number from 1 to 65535 or the name of a container port (at most 15 of a-z, 0-9 and -, with at least one letter)"
	Port intstr.IntOrString `json:"port"`

	// path of the metrics page; it may carry a query.
	// +optional
	// +default="/metrics"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/') && !self.matches('[[:space:][:cntrl:]#]')",message="path must start with / and have no white space, control character or fragment"
	Path string `json:"path,omitempty"`

	// scheme of the request. The certificate is not verified under HTTPS, as
	// the kubelet does it with probes.
	// +optional
	// +default="HTTP"
	Scheme Scheme `json:"scheme,omitempty"`

	// histogram is the name of the histogram of request latencies, classic or
	// native, without _bucket.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[a-zA-Z_:][a-zA-Z0-9_:]*$`
	Histogram string `json:"histogram"`

	// matchLabels that a series must carry to count.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 128 && k.matches('^[a-zA-Z_][a-zA-Z0-9_]*$') && self[k].size() <= 256)",message="podMetrics.matchLabels must have names of at most 128 letters, digits and _, and values of at most 256 characters"
	MatchLabels map[string]string `json:"matchLabels,omitempty"`

	// exclude leaves out series that carry one of these values: routes that
	// are handled separately, such as uploads, reports and streams.
	// +optional
	// +listType=map
	// +listMapKey=label
	// +kubebuilder:validation:MaxItems=8
	Exclude []LabelValues `json:"exclude,omitempty"`
}

// LabelValues are values of one label of a metric.
type LabelValues struct {
	// label of the metric.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[a-zA-Z_][a-zA-Z0-9_]*$`
	Label string `json:"label"`

	// values of the label.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=256
	Values []string `json:"values"`
}
