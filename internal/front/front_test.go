package front

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
)

// notes are annotations, key and value in turn.
func notes(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

func service(name string, annotations map[string]string, change ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Port: 80}}},
	}
	for _, c := range change {
		c(s)
	}
	return s
}

func nodePort(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort }

func class(name string) func(*corev1.Service) {
	return func(s *corev1.Service) {
		s.Spec.Type, s.Spec.LoadBalancerClass = corev1.ServiceTypeLoadBalancer, ptr.To(name)
	}
}

func ports(ports ...int32) func(*corev1.Service) {
	return func(s *corev1.Service) {
		s.Spec.Ports = nil
		for _, p := range ports {
			s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Port: p})
		}
	}
}

func backend(service, port string) networkingv1.IngressBackend {
	return networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: service, Port: networkingv1.ServiceBackendPort{Name: port}}}
}

// ingress sends a path to each Service.
func ingress(class string, annotations map[string]string, services ...string) *networkingv1.Ingress {
	i := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: "shop", Annotations: annotations}}
	if class != "" {
		i.Spec.IngressClassName = &class
	}
	rule := networkingv1.IngressRule{IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{}}}
	for _, s := range services {
		rule.HTTP.Paths = append(rule.HTTP.Paths, networkingv1.HTTPIngressPath{Backend: backend(s, "http")})
	}
	i.Spec.Rules = []networkingv1.IngressRule{rule, {}}
	return i
}

func binding(name, service string, spec, labels, annotations map[string]string) *unstructured.Unstructured {
	fields := map[string]any{"serviceRef": map[string]any{"name": service, "port": int64(80)}}
	for key, value := range spec {
		fields[key] = value
	}
	u := &unstructured.Unstructured{Object: map[string]any{"spec": fields}}
	u.SetName(name)
	u.SetLabels(labels)
	u.SetAnnotations(annotations)
	return u
}

func ingressClass(name, controller string) *networkingv1.IngressClass {
	return &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.IngressClassSpec{Controller: controller}}
}

// objects reduces what it gets, as the controllers do with what they list.
func objects(all ...any) (o Objects) {
	for _, object := range all {
		switch object := object.(type) {
		case *corev1.Service:
			if s, ok := ServiceOf(object); ok {
				o.Services = append(o.Services, s)
			}
		case *networkingv1.Ingress:
			o.Ingresses = append(o.Ingresses, IngressOf(object))
		case *networkingv1.IngressClass:
			o.Classes = append(o.Classes, ClassOf(object))
		case *unstructured.Unstructured:
			o.Bindings = append(o.Bindings, BindingOf(object))
		}
	}
	return o
}

// line renders a front: Ingress shop → web: ALB to Pods, 30 s.
func line(f Front) string {
	by := " by default"
	if f.Declared {
		by = ""
	}
	return strings.Join(strings.Fields(fmt.Sprintf("%s %s → %s: %s to %s, %d s%s",
		f.Kind, f.Name, f.Service, f.LoadBalancer, f.Targets, f.DeregistrationDelaySeconds, by)), " ")
}

const (
	delay30  = "deregistration_delay.timeout_seconds=30"
	delay45  = "stickiness.enabled=true, deregistration_delay.timeout_seconds = 45 "
	delayNot = "slow_start.duration_seconds=30"
)

func TestFind(t *testing.T) {
	ip := notes(ingressTargetType, "ip")
	tests := map[string]struct {
		objects []any
		want    []string
	}{
		"nothing":                  {nil, nil},
		"a Service of the cluster": {[]any{service("web", nil), service("api", nil, nodePort)}, nil},

		"an Ingress that declares it": {
			[]any{service("web", nil), ingress("alb", notes(ingressAttributes, delay30), "web")},
			[]string{"Ingress shop → web: ALB to Pods, 30 s"},
		},
		"an Ingress that declares other attributes": {
			[]any{service("web", nil), ingress("alb", notes(ingressAttributes, delayNot), "web")},
			[]string{"Ingress shop → web: ALB to Pods, 300 s by default"},
		},
		"the Service comes before the Ingress": {
			[]any{service("web", notes(ingressAttributes, delay45)), ingress("alb", notes(ingressAttributes, delay30), "web")},
			[]string{"Ingress shop → web: ALB to Pods, 45 s"},
		},
		"with its whole annotation": {
			[]any{service("web", notes(ingressAttributes, delayNot)), ingress("alb", notes(ingressAttributes, delay30), "web")},
			[]string{"Ingress shop → web: ALB to Pods, 300 s by default"},
		},
		"an Ingress of two Services, one of them twice, and of one that there is not": {
			[]any{service("web", nil), service("api", notes(ingressAttributes, delay45)), ingress("alb", nil, "web", "api", "web", "gone")},
			[]string{"Ingress shop → api: ALB to Pods, 45 s", "Ingress shop → web: ALB to Pods, 300 s by default"},
		},
		"a default backend": {
			[]any{service("web", nil), func() *networkingv1.Ingress {
				i := ingress("alb", nil)
				i.Spec.DefaultBackend = ptr.To(backend("web", "http"))
				return i
			}()},
			[]string{"Ingress shop → web: ALB to Pods, 300 s by default"},
		},
		"an action that sends to two Services": {
			[]any{service("blue", nil), service("green", nil), func() *networkingv1.Ingress {
				i := ingress("alb", notes(ingressActions+"both",
					`{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"blue","weight":20},{"serviceName":"green"},{"targetGroupARN":"x"}]}}`))
				i.Spec.DefaultBackend = ptr.To(backend("both", "use-annotation"))
				return i
			}()},
			[]string{"Ingress shop → blue: ALB to Pods, 300 s by default", "Ingress shop → green: ALB to Pods, 300 s by default"},
		},
		"actions that send to none": {
			[]any{service("web", nil), func() *networkingv1.Ingress {
				i := ingress("alb", notes(ingressActions+"away", `{"type":"redirect"}`, ingressActions+"broken", `{"type":`))
				for _, name := range []string{"away", "broken", "missing"} {
					i.Spec.Rules[0].HTTP.Paths = append(i.Spec.Rules[0].HTTP.Paths, networkingv1.HTTPIngressPath{Backend: backend(name, "use-annotation")})
				}
				return i
			}()},
			nil,
		},
		"a resource for a backend": {
			[]any{service("web", nil), func() *networkingv1.Ingress {
				i := ingress("alb", nil)
				i.Spec.DefaultBackend = &networkingv1.IngressBackend{Resource: &corev1.TypedLocalObjectReference{Kind: "Bucket", Name: "web"}}
				return i
			}()},
			nil,
		},

		"a class of another controller": {
			[]any{ingressClass("alb", "k8s.io/ingress-nginx"), service("web", nil), ingress("alb", notes(ingressAttributes, delay30), "web")}, nil,
		},
		"a class of another name": {
			[]any{ingressClass("outside", "ingress.k8s.aws/alb"), service("web", nil), ingress("outside", nil, "web")},
			[]string{"Ingress shop → web: ALB to Pods, 300 s by default"},
		},
		"a class of EKS Auto Mode": {
			[]any{ingressClass("alb", "eks.amazonaws.com/alb"), service("web", nil, nodePort), ingress("alb", nil, "web")},
			[]string{"Ingress shop → web: ALB to Pods, 300 s by default"},
		},
		"a class in the old annotation": {
			[]any{service("web", nil), ingress("", notes("kubernetes.io/ingress.class", "alb"), "web")},
			[]string{"Ingress shop → web: ALB to Pods, 300 s by default"},
		},
		"the field before the old annotation": {
			[]any{service("web", nil), ingress("nginx", notes("kubernetes.io/ingress.class", "alb"), "web")}, nil,
		},
		"no class": {[]any{service("web", nil), ingress("", notes(ingressAttributes, delay30), "web")}, nil},

		"an Ingress to the nodes, as is the default": {
			[]any{service("web", nil, nodePort), ingress("alb", notes(ingressAttributes, delay30), "web")},
			[]string{"Ingress shop → web: ALB to Nodes, 30 s"},
		},
		"an Ingress to the pods of a Service with node ports": {
			[]any{service("web", nil, nodePort), ingress("alb", ip, "web")},
			[]string{"Ingress shop → web: ALB to Pods, 300 s by default"},
		},
		"a Service that wants its pods for targets": {
			[]any{service("web", ip, nodePort), ingress("alb", notes(ingressTargetType, "instance"), "web")},
			[]string{"Ingress shop → web: ALB to Pods, 300 s by default"},
		},
		"an Ingress whose targets the controller tells": {
			[]any{service("web", nil, nodePort), ingress("alb", nil, "web"),
				binding("k8s-1", "web", notes("targetType", "ip"), notes("ingress.k8s.aws/stack-name", "shop", "ingress.k8s.aws/stack-namespace", "default"), nil)},
			[]string{"Ingress shop → web: ALB to Pods, 300 s by default"},
		},

		"a Service of class NLB": {
			[]any{service("web", nil, class("service.k8s.aws/nlb"))},
			[]string{"Service web → web: NLB to Nodes, 300 s by default"},
		},
		"a Service of class NLB whose targets the controller tells": {
			[]any{service("web", nil, class("service.k8s.aws/nlb")), binding("k8s-2", "web", notes("targetType", "ip"), notes("service.k8s.aws/stack-name", "web"), nil)},
			[]string{"Service web → web: NLB to Pods, 300 s by default"},
		},
		"a Service of class NLB, to the pods": {
			[]any{service("web", notes(serviceTargetType, "ip", serviceAttributes, delay45), class("service.k8s.aws/nlb"))},
			[]string{"Service web → web: NLB to Pods, 45 s"},
		},
		"a Service of EKS Auto Mode": {
			[]any{service("web", nil, class("eks.amazonaws.com/nlb"))},
			[]string{"Service web → web: NLB to Pods, 300 s by default"},
		},
		"a Service of another class": {
			[]any{service("web", notes(serviceType, "external", serviceTargetType, "ip"), class("example.com/lb"))}, nil,
		},
		"a Service of type nlb-ip": {
			[]any{service("web", notes(serviceType, "nlb-ip", serviceAttributes, delay30))},
			[]string{"Service web → web: NLB to Pods, 30 s"},
		},
		"a Service of type external": {
			[]any{service("web", notes(serviceType, "external", serviceTargetType, "instance"), nodePort)},
			[]string{"Service web → web: NLB to Nodes, 300 s by default"},
		},
		"a Service of type external, without a target type": {[]any{service("web", notes(serviceType, "external"))}, nil},
		"a Service of the old in-tree controller":           {[]any{service("web", notes(serviceType, "nlb", serviceAttributes, delay30))}, nil},
		"ports with attributes of their own: the longest": {
			[]any{service("web", notes(serviceType, "nlb-ip", serviceAttributes, delay30, serviceAttributes+".443", delay45, serviceAttributes+".8443", "deregistration_delay.timeout_seconds="), ports(80, 443, 8443))},
			[]string{"Service web → web: NLB to Pods, 45 s"},
		},
		"a port without attributes has the default": {
			[]any{service("web", notes(serviceType, "nlb-ip", serviceAttributes+".443", delay45), ports(80, 443))},
			[]string{"Service web → web: NLB to Pods, 300 s by default"},
		},
		"no selector": {
			[]any{service("web", notes(serviceType, "nlb-ip"), func(s *corev1.Service) { s.Spec.Selector = nil }), ingress("alb", nil, "web")}, nil,
		},
		"a Service that goes": {
			[]any{service("web", notes(serviceType, "nlb-ip"), func(s *corev1.Service) { s.DeletionTimestamp = &metav1.Time{} })}, nil,
		},
		"an Ingress and an NLB at once": {
			[]any{service("web", notes(serviceType, "nlb-ip")), ingress("alb", notes(ingressAttributes, delay30), "web")},
			[]string{"Ingress shop → web: ALB to Pods, 30 s", "Service web → web: NLB to Pods, 300 s by default"},
		},

		"a TargetGroupBinding of somebody's": {
			[]any{service("web", nil), binding("mine", "web", notes("targetType", "ip"), nil, nil)},
			[]string{"TargetGroupBinding mine → web: to Pods, 300 s by default"},
		},
		"one that says what its target group has": {
			[]any{service("web", nil), binding("mine", "web", notes("targetType", "ip", "targetGroupProtocol", "HTTP"), nil, notes(ingressAttributes, delay30))},
			[]string{"TargetGroupBinding mine → web: ALB to Pods, 30 s"},
		},
		"one of an NLB": {
			[]any{service("web", nil), binding("mine", "web", notes("targetGroupProtocol", "TLS"), nil, notes(serviceAttributes, delay45))},
			[]string{"TargetGroupBinding mine → web: NLB to Pods, 45 s"},
		},
		"one to the nodes": {
			[]any{service("web", nil), binding("mine", "web", notes("targetType", "instance"), nil, nil)},
			[]string{"TargetGroupBinding mine → web: to Nodes, 300 s by default"},
		},
		"one that the controller made for a Gateway": {
			[]any{service("web", nil), binding("k8s-3", "web", nil, notes("gateway.k8s.aws.alb/stack-name", "gw"), nil)}, nil,
		},
		"one without its Service": {[]any{binding("mine", "web", nil, nil, nil)}, nil},
		"one whose spec is something else": {
			[]any{service("web", nil), &unstructured.Unstructured{Object: map[string]any{"spec": "nothing"}}}, nil,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, f := range Find(objects(tc.objects...)) {
				got = append(got, line(f))
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("fronts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDelayIn(t *testing.T) {
	fallback := delay{DefaultDelaySeconds, false}
	tests := map[string]struct {
		attributes string
		want       delay
	}{
		"nothing":                     {"", fallback},
		"among others":                {delay45, delay{45, true}},
		"none":                        {"deregistration_delay.timeout_seconds=0", delay{0, true}},
		"the longest":                 {"deregistration_delay.timeout_seconds=3600", delay{3600, true}},
		"twice: the last":             {delay30 + "," + delay45, delay{45, true}},
		"longer than AWS takes":       {"deregistration_delay.timeout_seconds=3601", fallback},
		"negative":                    {"deregistration_delay.timeout_seconds=-1", fallback},
		"no number":                   {"deregistration_delay.timeout_seconds=30s", fallback},
		"no value":                    {"deregistration_delay.timeout_seconds", fallback},
		"of another name":             {"deregistration_delay.connection_termination.enabled=true", fallback},
		"an escaped comma in another": {`a=b\,c,` + delay30, delay{30, true}},
		"beyond any integer":          {"deregistration_delay.timeout_seconds=99999999999999999999", fallback},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := delayIn(tc.attributes); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestSelects(t *testing.T) {
	f := Front{Selector: map[string]string{"app": "web", "tier": "front"}}
	for name, tc := range map[string]struct {
		front  Front
		labels map[string]string
		want   bool
	}{
		"all":         {f, map[string]string{"app": "web", "tier": "front", "more": "x"}, true},
		"some":        {f, map[string]string{"app": "web"}, false},
		"another":     {f, map[string]string{"app": "web", "tier": "back"}, false},
		"no selector": {Front{}, map[string]string{"app": "web"}, false},
	} {
		if got := tc.front.Selects(tc.labels); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
