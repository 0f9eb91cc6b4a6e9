"""Pages of docs/ that are made from the code of services. `python -m scripts.documents [--check]` writes or compares them."""
