package cluster

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

// Paths inside the node's mount namespace.
const (
	kubeletDir       = "/var/lib/kubelet"
	containerdDir    = "/var/lib/containerd"
	etcdDir          = "/var/lib/etcd"
	containerdSocket = "/run/containerd/containerd.sock"
)

// pauseImage holds every pod's namespaces open. It exists on the node only.
const pauseImage = "drain-operator.test/pause:1"

// containerd writes only below the folders that the node has for itself.
const containerdConfig = `version = 3
root = "` + containerdDir + `"
state = "/run/containerd"
oom_score = 0

[grpc]
  address = "` + containerdSocket + `"

[plugins.'io.containerd.internal.v1.opt']
  path = "` + containerdDir + `/opt"

[plugins.'io.containerd.nri.v1.nri']
  disable = true

[plugins.'io.containerd.cri.v1.images']
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "` + pauseImage + `"

[plugins.'io.containerd.cri.v1.runtime']
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "{{.Dir}}/config/cni"
`

// Every pod is a point-to-point link that is routed, so that replies to a
// Service's traffic pass the node again whether or not bridges call nftables.
const cniConfig = `{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {
      "type": "ptp",
      "ipMasq": false,
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "` + PodCIDR + `", "rangeStart": "10.88.1.0", "gateway": "` + NodeIP + `"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`

const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 0.0.0.0
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: {{.Dir}}/pki/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: {{.Dir}}/pki/kubelet-server.crt
tlsPrivateKeyFile: {{.Dir}}/pki/kubelet-server.key
containerRuntimeEndpoint: unix://` + containerdSocket + `
cgroupDriver: cgroupfs
cgroupRoot: {{.CgroupRoot}}
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
makeIPTablesUtilChains: false
volumePluginDir: ` + kubeletDir + `/plugins
resolvConf: {{.Dir}}/config/resolv.conf
clusterDomain: ` + ClusterDomain + `
maxPods: 250
serializeImagePulls: false
imageMaximumGCAge: 0s
imageGCHighThresholdPercent: 100
evictionHard:
  memory.available: 50Mi
  nodefs.available: 1%
  nodefs.inodesFree: 1%
  imagefs.available: 1%
containerLogMaxSize: 50Mi
eventRecordQPS: 0
kubeAPIQPS: 200
kubeAPIBurst: 400
nodeStatusUpdateFrequency: 4s
syncFrequency: 10s
`

// conntrack limits belong to the whole machine: 0 leaves them alone.
const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: 0.0.0.0
clientConnection: {kubeconfig: {{.Dir}}/pki/kube-proxy.kubeconfig, qps: 50, burst: 100}
clusterCIDR: ` + PodCIDR + `
mode: nftables
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
oomScoreAdj: 0
`

// No name server can be reached from the node.
const resolvConf = "options timeout:1 attempts:1\n"

// writeConfigs fills <dir>/config.
func writeConfigs(s *spec) error {
	files := map[string]string{
		"containerd.toml":      containerdConfig,
		"cni/10-pods.conflist": cniConfig,
		"kubelet.yaml":         kubeletConfig,
		"kube-proxy.yaml":      proxyConfig,
		"resolv.conf":          resolvConf,
	}
	for name, text := range files {
		t, err := template.New(name).Parse(text)
		if err != nil {
			return fmt.Errorf("config %s: %w", name, err)
		}
		var out bytes.Buffer
		if err := t.Execute(&out, s); err != nil {
			return fmt.Errorf("config %s: %w", name, err)
		}
		path := s.config(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}
