#!/bin/sh
# Runs every fuzz target: ./run.sh SECONDS_PER_TARGET [SEED]
# Builds with the stable toolchain. Prints executions and coverage; fails on the first crash, whose input is then
# in artifacts/, and on a canary that stays silent. What a run finds new stays in corpus/ (not in git).
set -eu

seconds=${1:?usage: run.sh SECONDS_PER_TARGET [SEED]}
seed=${2:-1}
cd "$(dirname "$0")"

# The version that Cargo.lock's libfuzzer-sys goes with. About a minute on two cores.
command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked --version 0.13.2

# The sanitizer is an unstable option; nothing else unstable is used.
export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
triple=$(rustc -vV | sed -n 's/^host: //p')
cargo fuzz build --fuzz-dir . --target "$triple"

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# run TARGET: its exit status is the fuzzer's.
run() {
    name=$1
    mkdir -p "corpus/$name" "artifacts/$name"
    set -- "corpus/$name"
    [ ! -d "seeds/$name" ] || set -- "$@" "seeds/$name"
    "$CARGO_TARGET_DIR/$triple/release/$name" -seed="$seed" -max_total_time="$seconds" -max_len=512 -timeout=20 \
        -print_final_stats=1 -artifact_prefix="artifacts/$name/" "$@" >"$log" 2>&1
}

printf '%-10s %12s %10s\n' target executions coverage
for target in $(cargo fuzz list --fuzz-dir .); do
    [ "$target" != canary ] || continue
    if ! run "$target"; then
        cat "$log"
        echo "fuzz: $target failed (seed $seed); its input is in tests/fuzz/artifacts/$target/" >&2
        exit 1
    fi
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    printf '%-10s %12s %10s\n' "$target" "$executions" "$coverage"
done

if run canary || ! grep -q 'the canary sings' "$log"; then
    echo 'fuzz: the canary did not fail: crashes would go unseen' >&2
    exit 1
fi
rm -rf artifacts/canary corpus/canary
echo 'canary     fails, as it must'
