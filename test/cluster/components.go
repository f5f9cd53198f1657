package cluster

import (
	"fmt"
	"path/filepath"
)

// component is one program that the supervisor keeps running.
type component struct {
	name string
	path string
	args []string
	// after names the components that must have been ready before this one starts.
	after []string
	// ready is asked until it returns nil.
	ready probe
}

// spec is what the supervisor needs to know besides the state directory.
type spec struct {
	// Dir and Repo are those of Cluster, Bin is the folder of the binaries.
	Dir, Repo, Bin string
	// Port on the host's loopback address; it leads to kube-apiserver inside, too.
	Port int
	// CgroupRoot is the kubelet's, with a leading slash.
	CgroupRoot string
}

func (s *spec) bin(name string) string        { return filepath.Join(s.Bin, name) }
func (s *spec) pki(file string) string        { return filepath.Join(s.Dir, "pki", file) }
func (s *spec) config(file string) string     { return filepath.Join(s.Dir, "config", file) }
func (s *spec) kubeconfig(user string) string { return filepath.Join(s.Dir, "pki", user+".kubeconfig") }

// components of the node, in the order in which they are listed for people.
func (s *spec) components() []component {
	return []component{
		s.etcd(), s.containerd(), s.apiServer(), s.controllerManager(), s.scheduler(), s.kubelet(), s.proxy(),
	}
}

// etcd does not wait for the disk: a test cluster that crashes is made anew.
func (s *spec) etcd() component {
	return component{
		name: "etcd", path: s.bin("etcd"),
		args: []string{
			"--name=" + NodeName,
			"--data-dir=" + etcdDir,
			"--listen-client-urls=http://127.0.0.1:2379",
			"--advertise-client-urls=http://127.0.0.1:2379",
			"--listen-peer-urls=http://127.0.0.1:2380",
			"--initial-advertise-peer-urls=http://127.0.0.1:2380",
			"--initial-cluster=" + NodeName + "=http://127.0.0.1:2380",
			"--unsafe-no-fsync",
			"--quota-backend-bytes=4294967296",
			"--log-level=warn",
		},
		ready: httpProbe("http://127.0.0.1:2379/readyz", ""),
	}
}

func (s *spec) containerd() component {
	return component{
		name: "containerd", path: s.bin("containerd"),
		args:  []string{"--config=" + s.config("containerd.toml")},
		ready: dialProbe("unix", containerdSocket),
	}
}

func (s *spec) apiServer() component {
	return component{
		name: "kube-apiserver", path: s.bin("kube-apiserver"), after: []string{"etcd"},
		args: []string{
			"--bind-address=0.0.0.0",
			fmt.Sprintf("--secure-port=%d", apiServerPort),
			"--advertise-address=" + NodeIP, // where pods reach it through the kubernetes Service
			"--etcd-servers=http://127.0.0.1:2379",
			"--service-cluster-ip-range=" + ServiceCIDR,
			"--authorization-mode=Node,RBAC",
			"--enable-admission-plugins=NodeRestriction",
			"--allow-privileged=true",
			"--client-ca-file=" + s.pki("ca.crt"),
			"--tls-cert-file=" + s.pki("kube-apiserver.crt"),
			"--tls-private-key-file=" + s.pki("kube-apiserver.key"),
			"--kubelet-certificate-authority=" + s.pki("ca.crt"),
			"--kubelet-client-certificate=" + s.pki("apiserver-kubelet-client.crt"),
			"--kubelet-client-key=" + s.pki("apiserver-kubelet-client.key"),
			"--kubelet-preferred-address-types=InternalIP",
			"--requestheader-client-ca-file=" + s.pki("front-proxy-ca.crt"),
			"--requestheader-allowed-names=front-proxy-client",
			"--requestheader-extra-headers-prefix=X-Remote-Extra-",
			"--requestheader-group-headers=X-Remote-Group",
			"--requestheader-username-headers=X-Remote-User",
			"--proxy-client-cert-file=" + s.pki("front-proxy-client.crt"),
			"--proxy-client-key-file=" + s.pki("front-proxy-client.key"),
			"--service-account-issuer=https://kubernetes.default.svc." + ClusterDomain,
			"--service-account-key-file=" + s.pki("sa.pub"),
			"--service-account-signing-key-file=" + s.pki("sa.key"),
			"--max-requests-inflight=1600",
			"--max-mutating-requests-inflight=800",
			"--profiling=false",
		},
		ready: httpProbe(fmt.Sprintf("https://127.0.0.1:%d/readyz", apiServerPort), s.pki("ca.crt")),
	}
}

// controllerManager runs each controller under an identity of its own, so that
// admission can tell callers apart as on real clusters.
func (s *spec) controllerManager() component {
	return component{
		name: "kube-controller-manager", path: s.bin("kube-controller-manager"), after: []string{"kube-apiserver"},
		args: []string{
			"--kubeconfig=" + s.kubeconfig("kube-controller-manager"),
			"--authentication-kubeconfig=" + s.kubeconfig("kube-controller-manager"),
			"--authorization-kubeconfig=" + s.kubeconfig("kube-controller-manager"),
			"--bind-address=127.0.0.1",
			"--use-service-account-credentials=true",
			"--service-account-private-key-file=" + s.pki("sa.key"),
			"--root-ca-file=" + s.pki("ca.crt"),
			"--cluster-signing-cert-file=" + s.pki("ca.crt"),
			"--cluster-signing-key-file=" + s.pki("ca.key"),
			"--requestheader-client-ca-file=" + s.pki("front-proxy-ca.crt"),
			"--allocate-node-cidrs=false",
			"--leader-elect=false",
			"--kube-api-qps=200",
			"--kube-api-burst=400",
			"--profiling=false",
		},
		ready: httpProbe("https://127.0.0.1:10257/healthz", insecure),
	}
}

func (s *spec) scheduler() component {
	return component{
		name: "kube-scheduler", path: s.bin("kube-scheduler"), after: []string{"kube-apiserver"},
		args: []string{
			"--kubeconfig=" + s.kubeconfig("kube-scheduler"),
			"--authentication-kubeconfig=" + s.kubeconfig("kube-scheduler"),
			"--authorization-kubeconfig=" + s.kubeconfig("kube-scheduler"),
			"--bind-address=127.0.0.1",
			"--leader-elect=false",
			"--kube-api-qps=200",
			"--kube-api-burst=400",
			"--profiling=false",
		},
		ready: httpProbe("https://127.0.0.1:10259/readyz", insecure),
	}
}

func (s *spec) kubelet() component {
	return component{
		name: "kubelet", path: s.bin("kubelet"), after: []string{"kube-apiserver", "containerd"},
		args: []string{
			"--config=" + s.config("kubelet.yaml"),
			"--kubeconfig=" + s.kubeconfig("kubelet"),
			"--root-dir=" + kubeletDir,
			"--hostname-override=" + NodeName,
			"--node-ip=" + NodeIP,
		},
		ready: httpProbe("http://127.0.0.1:10248/healthz", ""),
	}
}

// proxy is ready when a Service answers: its own health page says so before the
// first rules are in place.
func (s *spec) proxy() component {
	return component{
		name: "kube-proxy", path: s.bin("kube-proxy"), after: []string{"kube-apiserver"},
		args:  []string{"--config=" + s.config("kube-proxy.yaml"), "--hostname-override=" + NodeName},
		ready: dialProbe("tcp", APIServiceIP+":443"),
	}
}
