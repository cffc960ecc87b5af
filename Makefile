# make demo   install, audit two shipped checkpoints, print the table, say where the report is
# make test   install, run the tests          make check  ruff, mypy, pyright
# make bench  the ratios against peers        make results  docs/results.md from the shipped seeds
# make studies  docs/studies.md, the full runs  make cards  a card for each shipped checkpoint
# make tutorial  docs/tutorial.ipynb, run again     make layer-rates  the pairs of flennerhag2023
PYTHON ?= python3
BIN := .venv/bin
# a process for each core, a file's tests in one process, one thread in each
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-slow test-browser test-zoo check bench results studies cards layer-rates tutorial docs clean

.venv/.base: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (torch is large; this can take minutes the first time) ..."
	@$(PIP) torch
	@$(PIP) --editable .
	@touch $@

.venv/.dev: .venv/.base
	@$(PIP) --editable '.[dev]'
	@touch $@

demo: .venv/.base
	$(BIN)/metaprobe audit maml-glyphs-s0 meta-sgd-glyphs-s0 --episodes 300 --out report
	@echo "Open report/report.html in a browser."

test: .venv/.dev
	$(PYTEST)

test-slow: .venv/.dev
	$(PYTEST) --dist load -m slow

test-browser: .venv/.dev
	$(BIN)/python -m pytest -m browser

# timm and Lightning need torchvision, and that the full build of torch: an environment apart
.venv-zoo/.zoo: pyproject.toml
	@test -x .venv-zoo/bin/python || $(PYTHON) -m venv .venv-zoo
	@echo "Installing timm, torchvision and Lightning into .venv-zoo (about 5 GB) ..."
	@.venv-zoo/bin/python -m pip install --quiet --disable-pip-version-check torch==2.14.1 torchvision==0.29.1
	@.venv-zoo/bin/python -m pip install --quiet --disable-pip-version-check timm==1.0.31 lightning==2.6.6
	@.venv-zoo/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

test-zoo: .venv-zoo/.zoo
	.venv-zoo/bin/python -m pytest tests/zoo

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright

bench: .venv/.dev
	$(BIN)/python -m benchmarks

results: .venv/.base
	$(BIN)/python docs/generate.py results

studies: .venv/.base
	$(BIN)/python docs/generate.py studies

cards: .venv/.base
	$(BIN)/python docs/generate.py cards

# goes on where it was stopped; an encoder that is there is kept
layer-rates: .venv/.base
	@for seed in 0 1 2 3 4; do for learner in lslr bmg; do \
	  out=checkpoints/layer_rates/$$learner-glyphs-s$$seed.safetensors; \
	  test -f $$out || $(BIN)/metaprobe train checkpoints/layer_rates/$$learner.toml \
	    --seed $$seed --out $$out || exit 1; \
	done; done
	$(BIN)/python docs/generate.py pairs

tutorial: .venv/.dev
	$(BIN)/python docs/notebook.py

docs: .venv/.base
	$(BIN)/python docs/generate.py cli measures

clean:
	rm -rf .venv build dist *.egg-info report
