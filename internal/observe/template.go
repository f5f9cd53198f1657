package observe

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

const (
	defaultPercentile    = "99"
	defaultWindowSeconds = 3600
)

// harmless is what a value may be made of that is put into a query: it ends no
// quotes, whichever they are, and has no backslash that one kind of quotes
// takes for itself.
var harmless = regexp.MustCompile(`^[a-zA-Z0-9._+*?|()\[\]{},-]*$`)

// filled returns the query with its variables replaced. Values are made of
// names and numbers that the API server has checked; they are checked again.
func filled(query string, target Target) (string, error) {
	percentile, _, err := percentileOf(target.Policy)
	if err != nil {
		return "", err
	}
	values := map[string]string{
		"{{ namespace }}":  target.Policy.Namespace,
		"{{ policy }}":     target.Policy.Name,
		"{{ percentile }}": percentile,
		"{{ quantile }}":   quantileText(percentile),
		"{{ window }}":     strconv.Itoa(int(windowSeconds(target.Policy))) + "s",
	}
	if strings.Contains(query, "{{ pods }}") {
		if values["{{ pods }}"], err = podsPattern(target.Pods); err != nil {
			return "", err
		}
	}
	var pairs []string
	for variable, value := range values {
		if !harmless.MatchString(value) {
			return "", fmt.Errorf("%s is %q, which cannot be put into a query", variable, value)
		}
		pairs = append(pairs, variable, value)
	}
	return strings.NewReplacer(pairs...).Replace(query), nil
}

// percentileOf returns the percentile as it is written, and as a quantile.
func percentileOf(p *v1alpha1.DrainPolicy) (text string, quantile float64, err error) {
	if text = p.Spec.GracePeriod.Percentile; text == "" {
		text = defaultPercentile
	}
	percent, err := strconv.ParseFloat(text, 64)
	if err != nil || !(percent > 0 && percent < 100) {
		return "", 0, fmt.Errorf("percentile %q is not between 0 and 100", text)
	}
	quantile, err = strconv.ParseFloat(quantileText(text), 64)
	return text, quantile, err
}

// quantileText moves the point two places, without rounding: 99.95 is 0.9995.
func quantileText(percentile string) string {
	whole, fraction, _ := strings.Cut(percentile, ".")
	for len(whole) < 2 {
		whole = "0" + whole
	}
	return "0." + strings.TrimRight(whole+fraction, "0")
}

func windowSeconds(p *v1alpha1.DrainPolicy) int32 {
	if s := p.Spec.GracePeriod.WindowSeconds; s > 0 {
		return s
	}
	return defaultWindowSeconds
}
