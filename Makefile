PORT ?= $(or $(MASKSEMBLES_PORT),8000)
VENV := .venv
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip --quiet --disable-pip-version-check
SERVICE := $(VENV)/.service-installed
ALL := $(VENV)/.all-installed
CLIENTS := $(VENV)/clients/.installed
KSERVE := $(VENV)/kserve/.installed
TYPESCRIPT := tests/clients/typescript
NODE_MODULES := $(TYPESCRIPT)/node_modules/.installed

.PHONY: install serve test test-slow test-clients fuzz check bench bench-gpu bench-model bench-formats soak openapi models benchmark benchmark-quick docker-test clean

install: $(ALL)

serve: $(SERVICE)
	MASKSEMBLES_PORT=$(PORT) $(PYTHON) -m app

test: $(ALL)
	$(PYTHON) -m pytest -m "not slow"

test-slow: $(ALL)
	$(PYTHON) -m pytest -m slow

test-clients: $(ALL) $(CLIENTS) $(KSERVE) $(NODE_MODULES)
	$(PYTHON) -m pytest tests/clients

fuzz: $(ALL)
	FUZZ_EXAMPLES=$(or $(EXAMPLES),20000) $(PYTHON) -m pytest -s tests/fuzz

check: $(ALL)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(ALL)
	$(PYTHON) -m tests.bench.serving $(if $(JSON),--json $(JSON)) $(if $(ONLY),--only $(ONLY))

bench-formats: $(ALL)
	$(PYTHON) -m tests.bench.formats $(if $(JSON),--json $(JSON))

soak: $(ALL)
	$(PYTHON) -m tests.bench.soak

bench-gpu: $(ALL)
	$(PYTHON) -m tests.bench.gpu $(if $(JSON),--json $(JSON))

bench-model: $(ALL)
	$(PYTHON) -m tests.bench.model $(if $(JSON),--json $(JSON)) $(if $(ONLY),--only $(ONLY))

openapi: $(SERVICE)
	$(PYTHON) -m app --openapi > app/openapi.json

models: $(ALL)
	for data in digits fashion-mnist diabetes; do \
	  case $$data in \
	    digits) policy="reject energy>c99, defer entropy>c95" ;; \
	    fashion-mnist) policy="reject energy>c99, defer entropy>r5" ;; \
	    diabetes) policy="defer entropy>c95" ;; \
	  esac; \
	  rm -f models/checkpoints/$$data.pt; \
	  $(PYTHON) -m models train $$data && $(PYTHON) -m models export $$data --policy "$$policy" || exit 1; \
	done

benchmark: $(ALL)
	$(PYTHON) -m models benchmark fashion-mnist --readme README.md $(if $(DATA),--data $(DATA))

benchmark-quick: $(ALL)
	$(PYTHON) -m models benchmark fashion-mnist --quick $(if $(DATA),--data $(DATA))

docker-test: $(ALL)
	$(PYTHON) -m pytest tests/docker

clean:
	rm -rf $(VENV) models/checkpoints .*_cache .hypothesis build *.egg-info $(TYPESCRIPT)/node_modules $(TYPESCRIPT)/build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PYTHON):
	$(or $(PYTHON3),python3) -m venv $(VENV)

$(SERVICE): pyproject.toml | $(PYTHON)
	$(PIP) install .
	touch $@

$(ALL): pyproject.toml | $(PYTHON)
	$(PIP) install '.[workshop,dev]'
	touch $(SERVICE) $@

$(CLIENTS): tests/clients/python/requirements.txt | $(PYTHON)
	$(PYTHON) -m venv $(VENV)/clients
	$(VENV)/clients/bin/python -m pip --quiet --disable-pip-version-check install -r $<
	touch $@

$(KSERVE): tests/clients/kserve/requirements.txt | $(PYTHON)
	$(PYTHON) -m venv $(VENV)/kserve
	$(VENV)/kserve/bin/python -m pip --quiet --disable-pip-version-check install --no-deps --no-compile -r $<
	touch $@

$(NODE_MODULES): $(addprefix $(TYPESCRIPT)/,package.json package-lock.json .npmrc)
	@command -v node >/dev/null && command -v npm >/dev/null || \
	  { echo "There is no node or no npm: make test-clients needs Node.js 20 or newer and npm." >&2; exit 1; }
	cd $(TYPESCRIPT) && npm ci --loglevel=error
	touch $@
