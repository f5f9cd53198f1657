# What the project promises about time and size, measured (docs/performance.md).

# One of agent, injection, gate, simulation, grace, scale, release, startup, sessions, availability and absence; all of them when empty.
BENCH ?=
BENCH_BIN := bin/bench
BENCH_ALONE = $(filter agent injection gate simulation grace scale,$(or $(BENCH),agent injection gate simulation grace scale))
BENCH_ON_CLUSTER = $(filter release startup sessions availability absence,$(or $(BENCH),release startup sessions availability absence))

.PHONY: bench
bench: cluster-bin ## Measure sizes and times and hold them to their bounds (reports/bench.json); BENCH=release for one of them.
	@test -n "$(BENCH_ALONE)$(BENCH_ON_CLUSTER)" || { echo "BENCH is none of agent, injection, gate, simulation, grace, scale, release, startup, sessions, availability and absence"; exit 2; }
	@go build -o $(BENCH_BIN) ./test/perf/cmd/bench
	@$(if $(BENCH),,rm -f reports/bench.json)
	@$(if $(BENCH_ALONE),$(if $(filter injection gate grace scale,$(BENCH_ALONE)),KUBEBUILDER_ASSETS="$$($(CLUSTER_BIN) assets)") $(BENCH_BIN) run $(BENCH_ALONE))
	@$(if $(BENCH_ON_CLUSTER),$(CLUSTER_BIN) run -- $(MAKE) --no-print-directory bench-on-cluster)
	@$(BENCH_BIN) table

# What make bench runs once a cluster is there; KUBECONFIG names it.
.PHONY: bench-on-cluster
bench-on-cluster:
	@$(MAKE) --no-print-directory e2e-deploy
	@CLUSTER_COMMAND=$(CURDIR)/$(CLUSTER_BIN) $(BENCH_BIN) run $(BENCH_ON_CLUSTER)
