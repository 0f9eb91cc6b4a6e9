"""House rules that ruff, mypy and import-linter cannot state. `python -m scripts.linters` checks the whole checkout."""
