package observe

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/config"
	"go.yaml.in/yaml/v2"
)

const (
	maxSourcesBytes   = 1 << 20
	defaultNamespace  = "namespace"
	defaultTimeout    = 10
	maxTimeoutSeconds = 60
)

var (
	sourceName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	labelName  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

// Sources are the Prometheus servers that the operator's owner has configured,
// by name. The zero value has none.
type Sources map[string]Source

// Names of the sources, sorted.
func (s Sources) Names() []string { return slices.Sorted(maps.Keys(s)) }

// Source is one Prometheus, or what answers like one.
type Source struct {
	Name    string
	Address string
	// NamespaceLabel is the label that every selector of a query gets, with the
	// policy's namespace as its value.
	NamespaceLabel string
	// Timeout of one query.
	Timeout time.Duration

	client *http.Client
	reach  *reach
}

// sourceFile is the configuration file.
type sourceFile struct {
	Sources []sourceEntry `yaml:"sources"`
}

type sourceEntry struct {
	Name             string                  `yaml:"name"`
	Address          string                  `yaml:"address"`
	NamespaceLabel   string                  `yaml:"namespaceLabel"`
	TimeoutSeconds   *int                    `yaml:"timeoutSeconds"`
	HTTPClientConfig config.HTTPClientConfig `yaml:"httpClientConfig"`
}

// LoadSources reads a configuration file (docs/latency-sources.md). Files that
// it names lie in its directory, or below.
func LoadSources(path string) (Sources, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("latency sources: %w", err)
	}
	if info.Size() > maxSourcesBytes {
		return nil, fmt.Errorf("latency sources: %s has over %d bytes", path, maxSourcesBytes)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("latency sources: %w", err)
	}
	sources, err := parseSources(data, filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("latency sources: %s: %w", path, err)
	}
	return sources, nil
}

// ParseSources reads the text of a configuration file. Files that it names lie
// in the working directory, or below. Errors name the source and the field, and
// no credentials.
func ParseSources(data []byte) (Sources, error) { return parseSources(data, ".") }

func parseSources(data []byte, dir string) (Sources, error) {
	var file sourceFile
	if err := yaml.UnmarshalStrict(data, &file); err != nil {
		return nil, withoutValues(err)
	}
	sources := Sources{}
	for i, entry := range file.Sources {
		source, err := entry.source(dir)
		if err != nil {
			return nil, fmt.Errorf("sources[%d] %q: %w", i, entry.Name, err)
		}
		if _, twice := sources[source.Name]; twice {
			return nil, fmt.Errorf("sources[%d] %q: name: there is another source of that name", i, entry.Name)
		}
		sources[source.Name] = source
	}
	return sources, nil
}

var quotedValue = regexp.MustCompile("`[^`]*`?")

// withoutValues takes the values out of a YAML error: it quotes what it could
// not decode, which may be a password in the wrong place.
func withoutValues(err error) error {
	return errors.New(quotedValue.ReplaceAllString(err.Error(), "(a value)"))
}

func (e sourceEntry) source(dir string) (Source, error) {
	s := Source{Name: e.Name, Address: e.Address, NamespaceLabel: e.NamespaceLabel, Timeout: defaultTimeout * time.Second}
	if s.NamespaceLabel == "" {
		s.NamespaceLabel = defaultNamespace
	}
	if e.TimeoutSeconds != nil {
		s.Timeout = time.Duration(*e.TimeoutSeconds) * time.Second
	}
	if err := s.check(); err != nil {
		return Source{}, err
	}
	client, err := newSourceClient(s, e.HTTPClientConfig, dir)
	if err != nil {
		return Source{}, fmt.Errorf("httpClientConfig: %w", err)
	}
	s.client, s.reach = client, &reach{}
	return s, nil
}

func (s Source) check() error {
	switch {
	case len(s.Name) > 63 || !sourceName.MatchString(s.Name):
		return errors.New("name: must be at most 63 of a-z, 0-9 and -, and neither begin nor end with -")
	case !labelName.MatchString(s.NamespaceLabel) || s.NamespaceLabel == "__name__":
		return errors.New("namespaceLabel: must be the name of a label")
	case s.Timeout < time.Second || s.Timeout > maxTimeoutSeconds*time.Second:
		return fmt.Errorf("timeoutSeconds: must be from 1 to %d", maxTimeoutSeconds)
	}
	return checkAddress(s.Address)
}

// checkAddress never quotes the address: what is wrong with it may be a password in it.
func checkAddress(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("address: is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("address: must begin with http:// or https://")
	case u.Hostname() == "":
		return errors.New("address: has no host")
	case u.User != nil:
		return errors.New("address: must have no user and password; put them under httpClientConfig.basic_auth")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return errors.New("address: must have no query and no fragment")
	}
	return nil
}

// checkClientConfig refuses what would send queries or credentials elsewhere,
// and files outside of the configuration's directory.
func checkClientConfig(c config.HTTPClientConfig) error {
	switch {
	case c.ProxyFromEnvironment:
		return errors.New("proxy_from_environment: is not supported")
	case c.OAuth2 != nil:
		return errors.New("oauth2: is not supported")
	}
	for field, name := range clientFiles(c) {
		if name != "" && !filepath.IsLocal(name) {
			return fmt.Errorf("%s: must be a path relative to the configuration file, in its directory or below", field)
		}
	}
	return nil
}

// clientFiles are the files that a client configuration names, by field.
func clientFiles(c config.HTTPClientConfig) map[string]string {
	files := map[string]string{
		"tls_config.ca_file":   c.TLSConfig.CAFile,
		"tls_config.cert_file": c.TLSConfig.CertFile,
		"tls_config.key_file":  c.TLSConfig.KeyFile,
	}
	if b := c.BasicAuth; b != nil {
		files["basic_auth.username_file"] = b.UsernameFile
		files["basic_auth.password_file"] = b.PasswordFile
	}
	if a := c.Authorization; a != nil {
		files["authorization.credentials_file"] = a.CredentialsFile
	}
	if h := c.HTTPHeaders; h != nil {
		for name, header := range h.Headers {
			for i, file := range header.Files {
				files[fmt.Sprintf("http_headers.%s.files[%d]", strings.ToLower(name), i)] = file
			}
		}
	}
	return files
}
