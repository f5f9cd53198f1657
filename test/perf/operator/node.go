package operator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Kill ends the processes of replicas at once, by SIGKILL from outside.
func (o Operator) Kill(ctx context.Context, pods ...corev1.Pod) error {
	return onNode(ctx, `for f in $(grep -lE "$0" /proc/[0-9]*/cgroup); do kill -9 "$(basename "$(dirname "$f")")"; done`, pods)
}

// BlackHole makes the network drop whatever comes for the webhook of replicas
// from outside their pods, which otherwise are as they were, for so long: the
// kernel forgets it by itself, whatever becomes of this process.
func (o Operator) BlackHole(ctx context.Context, lasts time.Duration, pods ...corev1.Pod) error {
	rules := fmt.Sprintf(`
		add table inet bench
		add chain inet bench in { type filter hook input priority 0 ; }
		add set inet bench ports { type inet_service ; flags timeout ; }
		add element inet bench ports { %d timeout %ds }
		add rule inet bench in iifname != "lo" tcp dport @ports drop`, webhookPort, int(lasts.Seconds()))
	return o.inNetworks(ctx, "nft -f - <<'END'"+rules+"\nEND\n", pods)
}

// EndBlackHole takes it back.
func (o Operator) EndBlackHole(ctx context.Context, pods ...corev1.Pod) error {
	return o.inNetworks(ctx, "nft delete table inet bench", pods)
}

// inNetworks runs a script in the network of each replica.
func (o Operator) inNetworks(ctx context.Context, script string, pods []corev1.Pod) error {
	for _, pod := range pods {
		err := onNode(ctx, `f=$(grep -lE "$0" /proc/[0-9]*/cgroup | head -n1)
			nsenter --net --target "$(basename "$(dirname "$f")")" sh -e <<'SCRIPT'
`+script+"\nSCRIPT", []corev1.Pod{pod})
		if err != nil {
			return err
		}
	}
	return nil
}

// onNode runs a shell script on the node of the harness's cluster. Its $0 is an
// expression that the cgroups of the pods' containers match.
func onNode(ctx context.Context, script string, pods []corev1.Pod) error {
	harness := os.Getenv("CLUSTER_COMMAND")
	if harness == "" {
		return errors.New("CLUSTER_COMMAND must name the harness of a cluster of ours: this is done from its node")
	}
	var ids []string
	for _, pod := range pods {
		for _, s := range pod.Status.ContainerStatuses {
			if _, id, ok := strings.Cut(s.ContainerID, "://"); ok && s.State.Running != nil {
				ids = append(ids, id)
			}
		}
	}
	if len(ids) < len(pods) {
		return fmt.Errorf("of %d replicas, %d run", len(pods), len(ids))
	}
	out, err := exec.CommandContext(ctx, harness, "exec", "--", "sh", "-ec", script, strings.Join(ids, "|")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("on the node: %w: %s", err, out)
	}
	return nil
}
