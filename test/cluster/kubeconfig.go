package cluster

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
)

const kubeconfigTemplate = `apiVersion: v1
kind: Config
current-context: drain-operator
clusters:
- name: drain-operator
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: %s
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: drain-operator
  context:
    cluster: drain-operator
    user: %[3]s
`

// writeKubeconfig writes a kubeconfig that stands alone: the certificates that
// pki holds for user are in it.
func writeKubeconfig(path, pki, server, user string) error {
	data := make([]any, 0, 3)
	for _, file := range []string{"ca.crt", user + ".crt", user + ".key"} {
		content, err := os.ReadFile(filepath.Join(pki, file))
		if err != nil {
			return fmt.Errorf("kubeconfig of %s: %w", user, err)
		}
		data = append(data, base64.StdEncoding.EncodeToString(content))
	}
	text := fmt.Sprintf(kubeconfigTemplate, server, data[0], user, data[1], data[2])
	return os.WriteFile(path, []byte(text), 0o600)
}
