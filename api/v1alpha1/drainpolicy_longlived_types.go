package v1alpha1

// LongLivedPolicy says what part long-lived connections have in a drain.
// +kubebuilder:validation:Enum=Wait;Exclude;CloseAfter
type LongLivedPolicy string

const (
	// LongLivedWait holds a pod until its long-lived connections have ended, too.
	LongLivedWait LongLivedPolicy = "Wait"
	// LongLivedExclude does not hold a pod for them.
	LongLivedExclude LongLivedPolicy = "Exclude"
	// LongLivedCloseAfter gives them noticeSeconds to end.
	LongLivedCloseAfter LongLivedPolicy = "CloseAfter"
)

// DefaultNoticeSeconds spreads a thousand clients to a hundred per second.
const DefaultNoticeSeconds = 10

// LongLived describes what becomes of connections that do not end by
// themselves: WebSockets, event streams, long polls. Only an endpoint that
// speaks the drain-status protocol tells them from requests in flight.
type LongLived struct {
	// policy Exclude does not hold a pod for them: they end with its process.
	// Wait holds it until they have ended, at most until the hold's bound.
	// CloseAfter has the workload tell their clients to connect elsewhere, and
	// holds the pod for them until noticeSeconds are over.
	// +optional
	// +default="Exclude"
	Policy LongLivedPolicy `json:"policy,omitempty"`

	// noticeSeconds is the time over which the workload tells the clients,
	// since all at once would come back at once. It begins propagationSeconds
	// after the workload was told to drain. With CloseAfter it is part of the
	// grace, and the connections count no longer once it is over. Not used
	// with Exclude.
	// +optional
	// +default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=600
	NoticeSeconds int32 `json:"noticeSeconds,omitempty"`
}
