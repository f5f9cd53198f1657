package grace

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// query is the one that the documentation has.
const query = `sum by (le) (increase(` + histogram + `_bucket{pod=~"{{ pods }}"}[{{ window }}]))`

// answers is a Prometheus that has the answer to one query.
type answers struct{ served atomic.Int64 }

// ServeHTTP implements http.Handler.
func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.URL.Path != "/api/v1/query" || !strings.Contains(r.Form.Get("query"), histogram) {
		http.Error(w, "no such query", http.StatusBadRequest)
		return
	}
	a.served.Add(1)
	w.Header().Set("Content-Type", "application/json")
	const requests = 12_000.0
	now := float64(time.Now().UnixMilli()) / 1000
	var series []string
	for _, bound := range append(prometheus.DefBuckets, math.Inf(1)) {
		le := strconv.FormatFloat(bound, 'g', -1, 64)
		series = append(series, fmt.Sprintf(`{"metric":{"le":%q},"value":[%.3f,"%g"]}`, le, now, requests*faster(bound)))
	}
	_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[%s]}}`, strings.Join(series, ","))
}
