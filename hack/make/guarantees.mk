# The table of guarantees (docs/guarantees/table.md), measured on a real cluster:
# every server behind every load balancer, with every event. It takes long, and
# goes on where it was stopped; parts of it:
#
#   make guarantees SERVERS=go,nginx BALANCERS=ClusterIP EVENTS=rollout
#   make guarantees VARIANTS=covered OPERATOR=down
#   make guarantees-plan                 what is left to do, and how long it takes

# Lists with commas; all where empty. VARIANTS are covered, bare and none.
SERVERS ?=
BALANCERS ?=
EVENTS ?=
VARIANTS ?=
# Whether the operator runs while pods end: up or down.
OPERATOR ?= up
# Requests that each client sends at least where nothing may fail.
REQUESTS ?= 10000
# Workloads at a time.
PARALLEL ?= 3
# false begins anew instead of going on.
RESUME ?= true
# More flags of test/guarantees/cmd/guarantees.
GUARANTEES_FLAGS ?=

GUARANTEES_BIN := bin/guarantees
GUARANTEES = $(GUARANTEES_BIN) -servers='$(SERVERS)' -balancers='$(BALANCERS)' -events='$(EVENTS)' -variants='$(VARIANTS)' \
  -operator=$(OPERATOR) -requests=$(REQUESTS) -parallel=$(PARALLEL) -resume=$(RESUME) $(GUARANTEES_FLAGS)

## Guarantees

.PHONY: guarantees
guarantees: cluster-bin guarantees-bin ## Measure what clients see: server x balancer x event (docs/guarantees/table.md); SERVERS= BALANCERS= EVENTS= VARIANTS= OPERATOR=up|down REQUESTS= PARALLEL= RESUME= for a part.
	@$(CLUSTER_BIN) run -- $(MAKE) --no-print-directory guarantees-on-cluster

.PHONY: guarantees-plan
guarantees-plan: guarantees-bin ## Say which cells of that are left to do, and how long they take.
	@$(GUARANTEES) plan

.PHONY: guarantees-page
guarantees-page: guarantees-bin ## Write the page anew from the results, and from what runs have logged.
	@$(GUARANTEES) render

.PHONY: guarantees-bin
guarantees-bin:
	@go build -o $(GUARANTEES_BIN) ./test/guarantees/cmd/guarantees

# What make guarantees runs once a cluster is there; KUBECONFIG names it.
.PHONY: guarantees-on-cluster
guarantees-on-cluster:
	@$(MAKE) --no-print-directory e2e-deploy
	@$(GUARANTEES) run
