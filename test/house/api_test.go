package house

import (
	"regexp"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/drain-operator/drain-operator/config/crd"
)

// reaching are names of fields by which a policy could make the operator use
// something that its author has no right to. There is none: no Secret, no
// address, no header, no other namespace.
var reaching = regexp.MustCompile(`(?i)namespace|secret|config_?map|url|host|address|header|token|credential|password|proxy|ref$|command|image`)

// unbounded are subtrees whose bounds are CEL rules: test/integration/api
// breaks them on a real API server.
var unbounded = map[string]bool{".spec.selector": true}

func TestWhatAPolicyCanSay(t *testing.T) {
	definition := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(crd.DrainPolicies, definition); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, version := range definition.Spec.Versions {
		walk(version.Schema.OpenAPIV3Schema.Properties["spec"], ".spec", func(path, name string, s apiextensionsv1.JSONSchemaProps) {
			seen++
			if reaching.MatchString(name) {
				t.Errorf("%s could reach what its author cannot", path)
			}
			if !bounded(s) {
				t.Errorf("%s has no bound", path)
			}
		})
	}
	if seen < 40 {
		t.Errorf("only %d fields were looked at", seen)
	}
}

func walk(s apiextensionsv1.JSONSchemaProps, path string, visit func(path, name string, s apiextensionsv1.JSONSchemaProps)) {
	if unbounded[path] {
		return
	}
	for name, property := range s.Properties {
		if !unbounded[path+"."+name] {
			visit(path+"."+name, name, property)
		}
		walk(property, path+"."+name, visit)
	}
	if s.Items != nil {
		visit(path+"[]", "", *s.Items.Schema)
		walk(*s.Items.Schema, path+"[]", visit)
	}
}

// bounded says whether a value cannot be made large.
func bounded(s apiextensionsv1.JSONSchemaProps) bool {
	switch s.Type {
	case "string":
		return s.MaxLength != nil || len(s.Enum) > 0
	case "array":
		return s.MaxItems != nil
	case "integer":
		return s.Minimum != nil && s.Maximum != nil
	case "object":
		// A map's keys and values are bounded by a rule of its own.
		return s.AdditionalProperties == nil || s.MaxProperties != nil && len(s.XValidations) > 0
	case "boolean":
		return true
	default:
		return s.XIntOrString && len(s.XValidations) > 0
	}
}
