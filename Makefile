PORT ?= $(or $(MASKSEMBLES_PORT),8000)
VENV := .venv
PYTHON := $(VENV)/bin/python
# Compiling every module of every package takes a fifth of the installation, and most are never imported.
PIP := PIP_NO_COMPILE=1 $(PYTHON) -m pip --quiet --disable-pip-version-check
PYTEST := $(PYTHON) -m pytest
PARALLEL := -n $(or $(WORKERS),2) --dist worksteal
LOCK := requirements.lock
SERVICE := $(VENV)/.service-installed
ALL := $(VENV)/.all-installed
DEV := $(VENV)/.dev-installed
CLIENTS := $(VENV)/clients/.installed
KSERVE := $(VENV)/kserve/.installed
TYPESCRIPT := tests/clients/typescript
NODE_MODULES := $(TYPESCRIPT)/node_modules/.installed
PAGE := tests/page
PAGE_MODULES := $(PAGE)/node_modules/.installed
PROTO := app/api/grpc/proto
SWAGGER := app/web/swagger
VENDOR := app/web/page/vendor
VENDOR_FILES := preact/dist/preact.mjs preact/hooks/dist/hooks.mjs htm/dist/htm.mjs uplot/dist/uPlot.esm.js uplot/dist/uPlot.min.css
VENDOR_PACKAGES := preact htm uplot
SWAGGER_FILES := LICENSE NOTICE favicon-32x32.png swagger-ui-bundle.js swagger-ui-bundle.js.LICENSE.txt swagger-ui.css

.DEFAULT_GOAL := help
.PHONY: help install lock serve test test-service test-slow test-clients test-page test-docker test-scale coverage fuzz check \
  openapi proto vendor chromium prometheus kubernetes-client models benchmark benchmark-quick bench bench-model bench-formats \
  bench-overload bench-transports bench-sizes bench-drift bench-receipts bench-gpu bench-hostile bench-profile bench-proxy \
  bench-footprint bench-workers \
  soak soak-connections soak-reloads soak-shapes endurance clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z -]*:.*## / {printf "  %-16s %s\n", $$1, $$2}' Makefile

install: $(ALL) ## Install everything into .venv: service, workshop, tests

lock: | $(PYTHON) ## Refresh requirements.lock within pyproject.toml's ranges (Python 3.11)
	$(PYTHON) .ci/lock.py

serve: $(SERVICE) ## Serve models/repository (PORT=8000)
	MASKSEMBLES_PORT=$(PORT) $(PYTHON) -m app

test: $(ALL) ## Run the tests but the slow ones (WORKERS=2)
	$(PYTEST) $(PARALLEL) -m "not slow"

test-service: $(DEV) ## Run the tests of the service, for which it installs no torch
	$(PYTEST) $(PARALLEL) -m "not slow" tests/app

coverage: $(ALL) ## Run all tests, and measure the branches of app and models; fail below the floor
	$(PYTEST) $(PARALLEL) --cov --cov-report=term:skip-covered

test-slow: $(ALL) ## Run the slow tests
	$(PYTEST) $(PARALLEL) -m slow

test-clients: $(ALL) $(CLIENTS) $(KSERVE) $(NODE_MODULES) ## Generate clients in Python and TypeScript and run them (Node.js 20)
	$(PYTEST) tests/clients

test-page: $(SERVICE) $(PAGE_MODULES) ## Use the pages in a browser (Node.js 20, Debian's chromium; SCREENSHOTS=folder)
	cd $(PAGE) && npm test

chromium prometheus kubernetes-client: ## Install this Debian package for tests, where there is none (root, or sudo without a password)
	command -v $(patsubst kubernetes-client,kubectl,$@) >/dev/null || \
	  { as_root=$$(test $$(id -u) = 0 || echo sudo -n); \
	    $$as_root apt-get update -qq && $$as_root apt-get install -y -qq --no-install-recommends $@; }

test-docker: $(ALL) ## Build the image, start it with docker compose and look around inside
	$(PYTEST) tests/docker

test-scale: $(ALL) ## Replicas under load while they go, come and fail, and pods for real (Docker; Debian's podman, runc, catatonit)
	$(PYTEST) -s tests/scale

fuzz: $(ALL) ## Send generated requests (EXAMPLES=20000, JSON=file)
	FUZZ_EXAMPLES=$(or $(EXAMPLES),20000) FUZZ_JSON=$(JSON) $(PYTEST) -s tests/fuzz

check: $(ALL) ## Lint, formatting, types and imports
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

openapi: $(SERVICE) ## Rewrite app/openapi.json
	$(PYTHON) -m app --openapi > app/openapi.json

proto: $(DEV) ## Compile the protocol of gRPC
	$(PYTHON) -m grpc_tools.protoc -I$(PROTO) --descriptor_set_out=$(PROTO)/inference.binpb inference.proto

vendor: ## Fetch the files of / and /docs at the versions of their package-lock.json (npm)
	cd $(SWAGGER) && npm ci --ignore-scripts --loglevel=error
	cd $(SWAGGER) && cp $(addprefix node_modules/swagger-ui-dist/,$(SWAGGER_FILES)) . && sha256sum $(SWAGGER_FILES) > SHA256SUMS
	cd $(VENDOR) && npm ci --ignore-scripts --loglevel=error
	cd $(VENDOR) && cp $(addprefix node_modules/,$(VENDOR_FILES)) . && sha256sum $(notdir $(VENDOR_FILES)) > SHA256SUMS
	cd $(VENDOR) && for name in $(VENDOR_PACKAGES); do cp node_modules/$$name/LICENSE LICENSE.$$name; done
	rm -r $(SWAGGER)/node_modules $(VENDOR)/node_modules

models: $(ALL) ## Train and export the shipped models anew
	for data in digits fashion-mnist diabetes scenes languages; do \
	  case $$data in \
	    digits) policy="reject energy>c99, defer entropy>c95" ;; \
	    fashion-mnist) policy="reject energy>c99, defer entropy>r5" ;; \
	    diabetes) policy="defer entropy>c95" ;; \
	    scenes) policy="reject mutual_information>c99, defer entropy>c95" ;; \
	    languages) policy="reject mutual_information>c99, defer entropy>r10" ;; \
	  esac; \
	  rm -f models/checkpoints/$$data.pt; \
	  $(PYTHON) -m models train $$data && $(PYTHON) -m models export $$data --policy "$$policy" || exit 1; \
	done

benchmark: $(ALL) ## Train and compare all methods on Fashion-MNIST; hours (DATA=folder)
	$(PYTHON) -m models benchmark fashion-mnist --page docs/results.md $(if $(DATA),--data $(DATA))

benchmark-quick: $(ALL) ## The same in minutes, for its code rather than its numbers
	$(PYTHON) -m models benchmark fashion-mnist --quick $(if $(DATA),--data $(DATA))

bench: $(ALL) ## Service beside bare onnxruntime and a plain FastAPI service, and REST beside gRPC (ONLY=…, BEFORE=checkout, JSON=file)
	$(PYTHON) -m tests.bench.serving $(if $(JSON),--json $(JSON)) $(if $(ONLY),--only $(ONLY)) $(if $(BEFORE),--before $(BEFORE))
	$(if $(ONLY),,$(PYTHON) -m tests.bench.transports)

bench-profile: $(ALL) ## Where the processor time of a request goes, for 1, 32 and 128 clients (ONLY=part of a name)
	$(PYTHON) -m tests.bench.profile $(if $(ONLY),--only "$(ONLY)")

bench-workers: $(ALL) ## The service with one process and with two on the same cores (ONLY=…, JSON=file)
	$(PYTHON) -m tests.bench.workers $(if $(JSON),--json $(JSON)) $(if $(ONLY),--only $(ONLY))

bench-overload: $(ALL) ## Good answers and refusals above the best rate (ONLY=…, BEFORE=another checkout)
	$(PYTHON) -m tests.bench.overload $(if $(BEFORE),--before $(BEFORE)) $(if $(ONLY),--only $(ONLY))

bench-model: $(ALL) ## N submodels beside one dense pass, without HTTP (ONLY=…, JSON=file)
	$(PYTHON) -m tests.bench.model $(if $(JSON),--json $(JSON)) $(if $(ONLY),--only $(ONLY))

bench-formats: $(ALL) ## What each format of a request costs, and of a map in an answer (JSON=file)
	$(PYTHON) -m tests.bench.formats $(if $(JSON),--json $(JSON))

bench-transports: $(ALL) ## Rows a second over REST and over gRPC (JSON=file)
	$(PYTHON) -m tests.bench.transports $(if $(JSON),--json $(JSON))

bench-sizes: $(ALL) ## 32 clients with inputs of many sizes beside the session alone (JSON=file)
	$(PYTHON) -m tests.bench.mixed_sizes $(if $(JSON),--json $(JSON))

bench-gpu: $(ALL) ## Every plan on a GPU (JSON=file)
	$(PYTHON) -m tests.bench.gpu $(if $(JSON),--json $(JSON))

bench-hostile: $(ALL) ## What files that mean harm cost before they are rejected
	$(PYTHON) -m tests.bench.hostile

bench-proxy: $(ALL) ## What the proxy before replicas costs (Docker, JSON=file)
	$(PYTHON) -m tests.bench.proxy $(if $(JSON),--json $(JSON))

bench-drift: $(ALL) ## False and true alarms of the test for drift (WEEKS=1000)
	$(PYTHON) -m tests.bench.drift $(if $(WEEKS),--weeks $(WEEKS))

bench-receipts: $(ALL) ## What receipts cost of a request (BEFORE=another checkout)
	$(PYTHON) -m tests.bench.receipts $(if $(BEFORE),--before $(BEFORE))

bench-footprint: $(ALL) ## What each shipped model takes of memory and processor in a service
	$(PYTHON) -m tests.bench.footprint

soak: $(ALL) ## Mixed load beside clients that do all sorts of things (SECONDS=600, JSON=file)
	$(PYTHON) -m tests.bench.soak $(if $(SECONDS),--seconds $(SECONDS)) $(if $(JSON),--json $(JSON))

soak-connections: $(ALL) ## A client beside 1000 silent connections and 300 that drip (SECONDS=120, JSON=file)
	$(PYTHON) -m tests.bench.slow_clients $(if $(SECONDS),--seconds $(SECONDS)) $(if $(JSON),--json $(JSON))

soak-shapes: $(ALL) ## Memory of the service while clients send pictures of 1000 sizes (SCENES=1 to the shipped model)
	$(PYTHON) -m tests.bench.shapes $(if $(SCENES),--scenes)

soak-reloads: $(ALL) ## 64 clients of models whose versions come and go (RELOADS=50, JSON=file)
	$(PYTHON) -m tests.bench.reloads $(if $(RELOADS),--reloads $(RELOADS)) $(if $(JSON),--json $(JSON))

endurance: $(ALL) ## Rewrite the tables of docs/endurance.md from the records in tests/bench/results
	$(PYTHON) -m tests.bench.endurance

clean: ## Remove what was installed and made
	rm -rf $(VENV) models/checkpoints .*_cache .coverage* .hypothesis build *.egg-info $(TYPESCRIPT)/node_modules $(TYPESCRIPT)/build \
	  $(PAGE)/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PYTHON):
	$(or $(PYTHON3),python3) -m venv $(VENV)

$(SERVICE): pyproject.toml $(LOCK) | $(PYTHON)
	$(PIP) install -c $(LOCK) .
	touch $@

$(DEV): pyproject.toml $(LOCK) | $(PYTHON)
	$(PIP) install -c $(LOCK) '.[dev]'
	touch $(SERVICE) $@

$(ALL): pyproject.toml $(LOCK) | $(PYTHON)
	$(PIP) install -c $(LOCK) '.[workshop,dev]'
	touch $(SERVICE) $(DEV) $@

$(CLIENTS): tests/clients/python/requirements.txt | $(PYTHON)
	$(PYTHON) -m venv $(VENV)/clients
	$(VENV)/clients/bin/python -m pip --quiet --disable-pip-version-check install -r $<
	touch $@

$(KSERVE): tests/clients/kserve/requirements.txt | $(PYTHON)
	$(PYTHON) -m venv $(VENV)/kserve
	$(VENV)/kserve/bin/python -m pip --quiet --disable-pip-version-check install --no-deps --no-compile -r $<
	touch $@

$(NODE_MODULES) $(PAGE_MODULES): tests/%/node_modules/.installed: $(addprefix tests/%/,package.json package-lock.json .npmrc)
	@command -v node >/dev/null && command -v npm >/dev/null || \
	  { echo "There is no node or no npm: make test-clients and make test-page need Node.js 20 or newer and npm." >&2; exit 1; }
	cd tests/$* && npm ci --loglevel=error
	touch $@
