package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/plan"
	utiltesting "github.com/drain-operator/drain-operator/internal/testing"
)

// seen is a plan with its hooks decoded, and its notes without their words.
type seen struct {
	Grace, Bound int64
	Probes       []plan.ProbeGrace
	Holds        map[string]hold.Spec
	Sleeps       map[string]int64
	Notes        map[plan.NoteReason]string // the container, or "" for the pod
	Volume       *corev1.Volume
	Installer    *corev1.Container
}

func see(t *testing.T, p plan.Plan) seen {
	t.Helper()
	s := seen{
		Grace: p.GraceSeconds, Bound: p.BoundSeconds, Probes: p.ProbeGraces,
		Holds: map[string]hold.Spec{}, Sleeps: map[string]int64{}, Notes: map[plan.NoteReason]string{},
		Volume: p.Volume, Installer: p.InitContainer,
	}
	for _, hook := range p.Hooks {
		if !hook.RunsAgent() {
			s.Sleeps[hook.Container] = hook.Handler.Sleep.Seconds
			continue
		}
		spec, err := hold.ParseCommand(hook.Handler.Exec.Command)
		if err != nil {
			t.Fatal(err)
		}
		s.Holds[hook.Container] = spec
	}
	for _, n := range p.Notes {
		s.Notes[n.Reason] = n.Container
	}
	return s
}

// served is the hold of a container that serves, as most cases have it.
func served(edit func(*hold.Spec)) hold.Spec {
	spec := hold.Spec{
		Role: hold.RoleServe, ReleaseWhen: hold.ReleaseWhenDrained,
		PropagationSeconds: 5, PropagationMaxSeconds: 30, BoundSeconds: 60,
		TCP: &hold.TCP{IdleSeconds: 2}, ServePorts: []int32{8080}, TerminationLog: "/dev/termination-log",
	}
	if edit != nil {
		edit(&spec)
	}
	return spec
}

// body reads the drain status at the port on which work arrives.
func body(s *hold.Spec) {
	s.TCP, s.HTTP = nil, &hold.HTTP{Port: 8080, Path: "/drain-status", Scheme: "HTTP", TimeoutSeconds: 2, PeriodSeconds: 1, DrainedWhen: "Body"}
}

func followed(edit func(*hold.Spec)) hold.Spec {
	return served(func(s *hold.Spec) {
		s.Role = hold.RoleFollow
		if edit != nil {
			edit(s)
		}
	})
}

var imageVolume = &corev1.Volume{Name: plan.VolumeName, VolumeSource: corev1.VolumeSource{
	Image: &corev1.ImageVolumeSource{Reference: image, PullPolicy: corev1.PullIfNotPresent},
}}

func TestBuild(t *testing.T) {
	web := func() *utiltesting.ContainerWrapper { return utiltesting.MakeContainer("web").Port("http", 8080) }
	pod := func(containers ...*utiltesting.ContainerWrapper) *utiltesting.PodWrapper {
		p := utiltesting.MakePod("a")
		for _, c := range containers {
			p.Container(c)
		}
		return p
	}
	type holds = map[string]hold.Spec
	type sleeps = map[string]int64
	type notes = map[plan.NoteReason]string
	for name, tc := range map[string]struct {
		policy *utiltesting.PolicyWrapper // default: all defaults
		pod    *utiltesting.PodWrapper
		o      plan.Options
		want   seen
	}{
		"one container, TCP status": {
			pod:  pod(web()),
			want: seen{Grace: 90, Bound: 60, Holds: holds{"web": served(nil)}, Volume: imageVolume},
		},
		"a policy that no API server has defaulted": {
			policy: utiltesting.MakePolicy("bare").With(func(s *v1alpha1.DrainPolicySpec) { *s = v1alpha1.DrainPolicySpec{} }),
			pod:    pod(web()),
			want:   seen{Grace: 90, Bound: 60, Holds: holds{"web": served(nil)}, Volume: imageVolume},
		},
		"no ports declared: all serve, on all that is listened on": {
			pod: pod(utiltesting.MakeContainer("a"), utiltesting.MakeContainer("b")),
			want: seen{Grace: 90, Bound: 60, Volume: imageVolume, Holds: holds{
				"a": served(func(s *hold.Spec) { s.ServePorts = nil }),
				"b": served(func(s *hold.Spec) { s.ServePorts = nil }),
			}},
		},
		"UDP ports are not TCP ports": {
			pod: pod(utiltesting.MakeContainer("dns").With(func(c *corev1.Container) {
				c.Ports = []corev1.ContainerPort{{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}}
			})),
			want: seen{Grace: 90, Bound: 60, Volume: imageVolume, Holds: holds{"dns": served(func(s *hold.Spec) { s.ServePorts = nil })}},
		},
		"long-lived connections are waited for": {
			policy: utiltesting.MakePolicy("p").HTTP(intstr.FromInt32(8080)).LongLived(v1alpha1.LongLivedWait, 0),
			pod:    pod(web(), utiltesting.MakeContainer("beside").Port("b", 9000)),
			want: seen{Grace: 90, Bound: 60, Volume: imageVolume, Holds: holds{
				"web": served(func(s *hold.Spec) {
					body(s)
					s.LongLived = &hold.LongLived{Policy: "Wait", NoticeSeconds: 10}
				}),
				"beside": followed(body),
			}},
		},
		"long-lived connections get a notice": {
			policy: utiltesting.MakePolicy("p").HTTP(intstr.FromInt32(8080)).Notify(intstr.FromInt32(8080)).LongLived(v1alpha1.LongLivedCloseAfter, 40),
			pod:    pod(web()),
			want: seen{Grace: 130, Bound: 100, Volume: imageVolume, Holds: holds{
				"web": served(func(s *hold.Spec) {
					body(s)
					s.BoundSeconds = 100
					s.Notify = &hold.Notify{Port: 8080, Path: "/drain", Scheme: "HTTP"}
					s.LongLived = &hold.LongLived{Policy: "CloseAfter", NoticeSeconds: 40}
				}),
			}},
		},
		"long-lived connections are excluded: nothing that an older agent does not know": {
			policy: utiltesting.MakePolicy("p").HTTP(intstr.FromInt32(8080)).LongLived(v1alpha1.LongLivedExclude, 40),
			pod:    pod(web()),
			want:   seen{Grace: 90, Bound: 60, Volume: imageVolume, Holds: holds{"web": served(body)}},
		},
		"long-lived connections that nothing tells from requests": {
			policy: utiltesting.MakePolicy("p").HTTP(intstr.FromString("admin")).LongLived(v1alpha1.LongLivedWait, 40),
			pod:    pod(web()),
			want: seen{
				Grace: 90, Bound: 60, Volume: imageVolume, Holds: holds{"web": served(nil)},
				Notes: notes{plan.NotePortNotFound: ""},
			},
		},
		"HTTP status and notify by the port's name": {
			policy: utiltesting.MakePolicy("p").HTTP(intstr.FromString("admin")).Notify(intstr.FromString("admin")),
			pod:    pod(web().Port("admin", 9000), utiltesting.MakeContainer("exporter").Port("metrics", 9113)),
			want: seen{Grace: 90, Bound: 60, Volume: imageVolume, Holds: holds{
				"web": served(func(s *hold.Spec) {
					s.TCP, s.HTTP = nil, &hold.HTTP{Port: 9000, Path: "/drain-status", Scheme: "HTTP", TimeoutSeconds: 2, PeriodSeconds: 1, DrainedWhen: "Body"}
					s.Notify, s.ServePorts = &hold.Notify{Port: 9000, Path: "/drain", Scheme: "HTTP"}, []int32{8080, 9000}
				}),
				"exporter": followed(func(s *hold.Spec) {
					s.TCP, s.HTTP = nil, &hold.HTTP{Port: 9000, Path: "/drain-status", Scheme: "HTTP", TimeoutSeconds: 2, PeriodSeconds: 1, DrainedWhen: "Body"}
					s.ServePorts = []int32{8080, 9000}
				}),
			}},
		},
		"an endpoint on a port that nobody declares: all serve": {
			policy: utiltesting.MakePolicy("p").HTTP(intstr.FromInt32(9901)).With(func(s *v1alpha1.DrainPolicySpec) {
				s.DrainStatus.HTTP.DrainedWhen = v1alpha1.DrainedWhenMetric
				s.DrainStatus.HTTP.Metric = &v1alpha1.MetricSelector{Name: "in_flight", MatchLabels: map[string]string{"a": "b"}}
			}),
			pod: pod(web()),
			want: seen{Grace: 90, Bound: 60, Volume: imageVolume, Holds: holds{"web": served(func(s *hold.Spec) {
				s.TCP, s.HTTP = nil, &hold.HTTP{
					Port: 9901, Path: "/drain-status", Scheme: "HTTP", TimeoutSeconds: 2, PeriodSeconds: 1,
					DrainedWhen: "Metric", Metric: "in_flight", MatchLabels: map[string]string{"a": "b"},
				}
			})}},
		},
		"ports that no container knows": {
			policy: utiltesting.MakePolicy("p").HTTP(intstr.FromString("admin")).Notify(intstr.FromString("admin")),
			pod:    pod(web()),
			want: seen{
				Grace: 90, Bound: 60, Volume: imageVolume, Holds: holds{"web": served(nil)},
				Notes: notes{plan.NotePortNotFound: "", plan.NoteNotifyPortNotFound: ""},
			},
		},
		"the port of a native sidecar": {
			policy: utiltesting.MakePolicy("p").HTTP(intstr.FromString("admin")),
			pod:    pod(web()).Sidecar(utiltesting.MakeContainer("helper").Port("admin", 9000)),
			want: seen{Grace: 90, Bound: 60, Volume: imageVolume, Holds: holds{"web": served(func(s *hold.Spec) {
				s.TCP, s.HTTP = nil, &hold.HTTP{Port: 9000, Path: "/drain-status", Scheme: "HTTP", TimeoutSeconds: 2, PeriodSeconds: 1, DrainedWhen: "Body"}
			})}},
		},
		"the policy's TCP ports": {
			policy: utiltesting.MakePolicy("p").TCP(9000),
			pod:    pod(web(), utiltesting.MakeContainer("api").Port("api", 9000)),
			want: seen{Grace: 90, Bound: 60, Volume: imageVolume, Holds: holds{
				"web": followed(func(s *hold.Spec) { s.ServePorts = []int32{9000} }),
				"api": served(func(s *hold.Spec) { s.ServePorts = []int32{9000} }),
			}},
		},
		"a proxy beside the app": {
			pod: pod(web(), utiltesting.MakeContainer("linkerd-proxy").Port("linkerd-admin", 4191)),
			want: seen{
				Grace: 90, Bound: 60, Volume: imageVolume, Notes: notes{plan.NoteBlind: ""},
				Holds: holds{
					"web":           served(func(s *hold.Spec) { s.Blind = true }),
					"linkerd-proxy": followed(func(s *hold.Spec) { s.Blind = true }),
				},
			},
		},
		"a proxy beside an app that declares nothing waits for what is known": {
			pod: pod(utiltesting.MakeContainer("app").Readiness(intstr.FromInt32(3000)), utiltesting.MakeContainer("linkerd-proxy")),
			want: seen{
				Grace: 90, Bound: 60, Volume: imageVolume, Notes: notes{plan.NoteBlind: ""},
				Holds: holds{
					"app": served(func(s *hold.Spec) {
						s.Blind, s.ServePorts, s.ReadinessProbes = true, nil, []hold.Probe{readiness(3000)}
					}),
					"linkerd-proxy": followed(func(s *hold.Spec) {
						s.Blind, s.ServePorts, s.ReadinessProbes = true, []int32{3000}, []hold.Probe{readiness(3000)}
					}),
				},
			},
		},
		"a native sidecar proxy": {
			pod: pod(web()).Sidecar(utiltesting.MakeContainer("istio-proxy").Port("http-envoy-prom", 15090)),
			want: seen{
				Grace: 90, Bound: 60, Volume: imageVolume, Notes: notes{plan.NoteBlind: ""},
				Holds: holds{"web": served(func(s *hold.Spec) { s.Blind = true })},
			},
		},
		"a gateway: the proxy is the app": {
			pod: pod(utiltesting.MakeContainer("istio-proxy").Port("http", 8080)),
			want: seen{
				Grace: 90, Bound: 60, Volume: imageVolume,
				Holds: holds{"istio-proxy": served(nil)},
			},
		},
		"host network": {
			pod: pod(web()).With(func(s *corev1.PodSpec) { s.HostNetwork = true }),
			want: seen{
				Grace: 90, Bound: 60, Volume: imageVolume, Notes: notes{plan.NoteBlind: ""},
				Holds: holds{"web": served(func(s *hold.Spec) { s.Blind = true })},
			},
		},
		"probes": {
			pod: pod(web().Liveness(intstr.FromString("http")).Readiness(intstr.FromString("nope"))).Grace(7).
				Sidecar(utiltesting.MakeContainer("helper").Liveness(intstr.FromInt32(1)).Readiness(intstr.FromInt32(2)).With(func(c *corev1.Container) {
					c.StartupProbe = &corev1.Probe{TerminationGracePeriodSeconds: ptr.To[int64](3)}
				})),
			want: seen{
				Grace: 44, Bound: 37, Volume: imageVolume,
				Probes: []plan.ProbeGrace{
					{Container: "web", Kind: plan.LivenessProbe, Seconds: 7},
					{Container: "helper", Kind: plan.LivenessProbe, Seconds: 7},
				},
				Holds: holds{"web": served(func(s *hold.Spec) {
					s.BoundSeconds = 37
					s.ReadinessProbes = []hold.Probe{readiness(2)}
					s.Alive = &hold.Probe{Port: 8080, HTTPPath: "/healthz", Scheme: "HTTP", PeriodSeconds: 10, TimeoutSeconds: 1, FailureThreshold: 3}
				})},
			},
		},
		"a grace of 0 is no probe's grace": {
			pod: pod(web().Liveness(intstr.FromInt32(1)).PreStopExec("true")).Grace(0),
			want: seen{
				Grace: 30, Bound: 28, Notes: notes{plan.NoteHookKept: "web"},
				Probes: []plan.ProbeGrace{{Container: "web", Kind: plan.LivenessProbe, Seconds: 1}},
			},
		},
		"the grace stays, and so do the probes": {
			policy: utiltesting.MakePolicy("p").GraceBounds(1, 1),
			pod:    pod(web().Liveness(intstr.FromInt32(1))).Grace(30),
			want: seen{
				Grace: 30, Bound: 28, Volume: imageVolume, Notes: notes{plan.NoteGraceCapped: ""},
				Holds: holds{"web": served(func(s *hold.Spec) {
					s.BoundSeconds = 28
					s.Alive = &hold.Probe{Port: 1, HTTPPath: "/healthz", Scheme: "HTTP", PeriodSeconds: 10, TimeoutSeconds: 1, FailureThreshold: 3}
				})},
			},
		},
		"termination message": {
			pod: pod(web().With(func(c *corev1.Container) {
				c.TerminationMessagePath, c.TerminationMessagePolicy = "/tmp/end", corev1.TerminationMessageFallbackToLogsOnError
			})),
			want: seen{Grace: 90, Bound: 60, Volume: imageVolume, Holds: holds{"web": served(func(s *hold.Spec) {
				s.TerminationLog, s.LogsOnError = "/tmp/end", true
			})}},
		},
		"a small container sleeps, and the other does not": {
			pod: pod(web(), utiltesting.MakeContainer("tiny").Limit(corev1.ResourceMemory, "24Mi")),
			want: seen{
				Grace: 90, Bound: 60, Volume: imageVolume, Notes: notes{plan.NoteSmallContainer: "tiny"},
				Holds: holds{"web": served(nil)}, Sleeps: sleeps{"tiny": 30},
			},
		},
		"little cpu": {
			pod: pod(web().Limit(corev1.ResourceCPU, "49m").Limit(corev1.ResourceMemory, "64Mi")),
			want: seen{
				Grace: 90, Bound: 60, Notes: notes{plan.NoteSmallContainer: "web"}, Sleeps: sleeps{"web": 30},
			},
		},
		"just enough": {
			pod:  pod(web().Limit(corev1.ResourceCPU, "50m").Limit(corev1.ResourceMemory, "64Mi")),
			want: seen{Grace: 90, Bound: 60, Volume: imageVolume, Holds: holds{"web": served(nil)}},
		},
		"a small pod": {
			pod: pod(web()).With(func(s *corev1.PodSpec) {
				s.Resources = &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("63Mi")}}
			}),
			want: seen{Grace: 90, Bound: 60, Notes: notes{plan.NoteSmallContainer: "web"}, Sleeps: sleeps{"web": 30}},
		},
		"the policy sleeps": {
			policy: utiltesting.MakePolicy("p").Strategy(v1alpha1.StrategySleep),
			pod:    pod(web()),
			want:   seen{Grace: 90, Bound: 60, Sleeps: sleeps{"web": 30}},
		},
		"a sleep fits into the grace": {
			policy: utiltesting.MakePolicy("p").Strategy(v1alpha1.StrategySleep).GraceBounds(1, 20),
			pod:    pod(web()).Grace(15),
			want:   seen{Grace: 20, Bound: 18, Sleeps: sleeps{"web": 18}, Notes: notes{plan.NoteGraceCapped: ""}},
		},
		"no hooks, but the grace": {
			policy: utiltesting.MakePolicy("p").Strategy(v1alpha1.StrategyNone).ExistingHook(v1alpha1.ExistingHookReplace),
			pod:    pod(web(), utiltesting.MakeContainer("b").PreStopSleep(10)),
			want:   seen{Grace: 100, Bound: 70},
		},
		"the breaker": {
			o:    plan.Options{SleepOnly: true, Delivery: plan.ImageVolume},
			pod:  pod(web()),
			want: seen{Grace: 90, Bound: 60, Sleeps: sleeps{"web": 30}, Notes: notes{plan.NoteSleepOnly: ""}},
		},
		"a hook that is kept, beside a container without": {
			pod: pod(web(), utiltesting.MakeContainer("b").PreStopSleep(10)),
			want: seen{
				Grace: 100, Bound: 70, Volume: imageVolume, Notes: notes{plan.NoteHookKept: "b"},
				Holds: holds{"web": served(func(s *hold.Spec) { s.BoundSeconds = 70 })},
			},
		},
		"a hook that runs first": {
			policy: utiltesting.MakePolicy("p").ExistingHook(v1alpha1.ExistingHookRunFirst),
			pod:    pod(web().PreStopExec("sh", "-c", "sleep 5")),
			want: seen{Grace: 90, Bound: 60, Volume: imageVolume, Holds: holds{"web": served(func(s *hold.Spec) {
				s.Existing = &hold.ExistingHook{Exec: []string{"sh", "-c", "sleep 5"}}
			})}},
		},
		"an HTTP hook that runs last": {
			policy: utiltesting.MakePolicy("p").ExistingHook(v1alpha1.ExistingHookRunLast),
			pod: pod(web().PreStop(corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{
				Port: intstr.FromString("http"), Path: "/stop", Scheme: corev1.URISchemeHTTPS, HTTPHeaders: []corev1.HTTPHeader{{Name: "A", Value: "b"}},
			}})),
			want: seen{Grace: 90, Bound: 60, Volume: imageVolume, Holds: holds{"web": served(func(s *hold.Spec) {
				s.Existing = &hold.ExistingHook{Last: true, Port: 8080, HTTPPath: "/stop", Scheme: "HTTPS", Headers: []hold.Header{{Name: "A", Value: "b"}}}
			})}},
		},
		"a sleep that runs first": {
			policy: utiltesting.MakePolicy("p").ExistingHook(v1alpha1.ExistingHookRunFirst),
			pod:    pod(web().PreStopSleep(20)),
			want: seen{Grace: 110, Bound: 80, Volume: imageVolume, Holds: holds{"web": served(func(s *hold.Spec) {
				s.BoundSeconds, s.Existing = 80, &hold.ExistingHook{SleepSeconds: 20}
			})}},
		},
		"a hook that cannot run": {
			policy: utiltesting.MakePolicy("p").ExistingHook(v1alpha1.ExistingHookRunFirst),
			pod:    pod(web().PreStop(corev1.LifecycleHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(1)}})),
			want: seen{
				Grace: 90, Bound: 60, Volume: imageVolume, Holds: holds{"web": served(nil)}, Notes: notes{plan.NoteHookBroken: "web"},
			},
		},
		"a hook that cannot be combined": {
			policy: utiltesting.MakePolicy("p").ExistingHook(v1alpha1.ExistingHookRunLast),
			pod:    pod(web().PreStopExec("true").Limit(corev1.ResourceMemory, "24Mi")),
			want: seen{
				Grace: 90, Bound: 60, Notes: notes{plan.NoteSmallContainer: "web", plan.NoteHookKept: "web"},
			},
		},
		"a hook too large to be carried": {
			policy: utiltesting.MakePolicy("p").ExistingHook(v1alpha1.ExistingHookReplace),
			pod:    pod(web().PreStopExec("sh", "-c", string(make([]byte, 20<<10)))),
			want:   seen{Grace: 90, Bound: 60, Notes: notes{plan.NoteHookTooLarge: "web"}},
		},
		"a hook that is replaced": {
			policy: utiltesting.MakePolicy("p").ExistingHook(v1alpha1.ExistingHookReplace),
			pod:    pod(web().PreStopSleep(20)),
			want:   seen{Grace: 90, Bound: 60, Volume: imageVolume, Holds: holds{"web": served(nil)}},
		},
		"something is mounted where the agent goes": {
			pod: pod(web().Mount("mine", "/drain-operator/mine/"), utiltesting.MakeContainer("b").Mount("mine", "/drain-operators")).
				Volume("mine", corev1.VolumeSource{}),
			want: seen{
				Grace: 90, Bound: 60, Volume: imageVolume, Notes: notes{plan.NoteMountTaken: "web"},
				Holds: holds{"b": followed(nil)}, Sleeps: sleeps{"web": 30},
			},
		},
		"a volume of our name": {
			pod: pod(web()).Volume(plan.VolumeName, corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{}}),
			want: seen{
				Grace: 90, Bound: 60, Holds: holds{"web": served(nil)},
				Volume: &corev1.Volume{Name: plan.VolumeName + "-2", VolumeSource: imageVolume.VolumeSource},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, o := tc.policy, tc.o
			if p == nil {
				p = utiltesting.MakePolicy("p")
			}
			if o.Delivery == "" {
				o = plan.Options{AgentImage: image, Delivery: plan.ImageVolume}
			}
			got := see(t, plan.Build(p.Obj(), tc.pod.Obj(), o))
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func readiness(port int32) hold.Probe {
	return hold.Probe{Port: port, HTTPPath: "/readyz", Scheme: "HTTP", PeriodSeconds: 10, TimeoutSeconds: 1, FailureThreshold: 3}
}
