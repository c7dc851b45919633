# make demo   search the neutral Cd vacancy of CdTe
# make serve  the service of a group: dashboard, campaigns, reports; until Ctrl-C
# make test   every check and every test
# make lint   the checks alone
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1
export DO_NOT_TRACK ?= 1

.PHONY: demo serve test lint environment benchmark bench-relaxation clean

environment: $(VENV)/.installed

# torch comes first and alone: any other order can pull gigabytes of CUDA packages on a machine without a GPU.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25"
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@

demo: environment
	$(BIN)/defect-surrogate search examples/CdTe.cif --settings examples/cdte.yaml --out demo-run

serve: environment
	$(BIN)/defect-surrogate serve --service service

lint: environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Three processes, each with whole files, since the searches that services tests share are made once for a file; some
# wait for clocks and databases, and leave the processors to others.
test: lint
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

benchmark: environment
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/training.py

# Two hours on two quiet cores; continued where it was interrupted. OMP_NUM_THREADS is unset, since ASE's way has torch's default.
bench-relaxation: environment
	env -u OMP_NUM_THREADS $(BIN)/python benchmarks/relaxation/cpu.py
	$(BIN)/python benchmarks/relaxation/growth.py
	$(BIN)/python benchmarks/relaxation/shortcuts.py
	$(BIN)/python benchmarks/relaxation/page.py

clean:
	rm -rf $(VENV) demo-run
