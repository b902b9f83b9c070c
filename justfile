# What one types while working on Athanor. `just` lists it; each line can be typed by hand too.

python := ".venv/bin/python"

_list:
    @just --list --unsorted

# The binary: target/release/athanor
build:
    cargo build --release

# All tests, as the README says
test:
    cargo test --workspace --release

# Format and lints, as .ci/run checks them
lint:
    cargo fmt --all --check
    cargo clippy --release --workspace --all-targets -- -D warnings

# Write the tables of docs/contracts.md that are made from code anew
contracts:
    ATHANOR_WRITE_DOCS=1 cargo test --release -p athanor --test documents contracts

# All stages on the embedded data; `just demo --short` takes a few steps of each
demo *options:
    cargo run --release -- demo {{options}}

# Everything that must pass before a change is taken
ci:
    .ci/run

# The Python environment that fixtures and peers need
venv:
    python3 -m venv .venv
    .venv/bin/pip install -r tests/fixtures/requirements.txt

# Write tests/fixtures/hf and parquet anew; `just fixtures --check` compares only
fixtures *options:
    {{python}} tests/fixtures/make_hf.py {{options}}
    {{python}} tests/fixtures/make_parquet.py {{options}}

# Measure anew by how much float32 misses the fixtures' tensors: tests/fixtures/hf/report.json
fixtures-report:
    {{python}} tests/fixtures/make_hf.py --report

# The job files of recipes/cluster against Kubernetes's schema, and run on this machine
cluster: build
    {{python}} tests/python/check_cluster.py --athanor target/release/athanor

# Hold a finished run (such as runs/demo) against PyTorch, transformers and scikit-learn
peers run: build
    {{python}} tests/python/check_model.py {{run}}/pretrain/model --athanor target/release/athanor
    {{python}} tests/python/check_model.py {{run}}/finetune/model --athanor target/release/athanor
    {{python}} tests/python/check_model.py {{run}}/reward/model --athanor target/release/athanor
    {{python}} tests/python/check_model.py {{run}}/reinforce/model --athanor target/release/athanor
    {{python}} bench/peers/tfidf_reward.py evaluate {{run}}/reward --json {{run}}/tfidf.json
    {{python}} bench/peers/pretrain_torch.py train {{run}} --csv {{run}}/torch.csv
    {{python}} bench/peers/pretrain_torch.py compare {{run}} {{run}}/torch.csv
