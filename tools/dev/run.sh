# Verbs demo, bench, sim, torture, fuzz and long of ./dev. Sourced by it.
. tools/dev/setup.sh
. tools/dev/select.sh

# torture ARGUMENTS...: the program of simulation, power cuts and kills, built first.
torture() {
    build release
    exec build/torture "$@"
}

# The four steps of a first use, timed apart: download, install, build, run.
demo() {
    phase 'install (packages)' install_packages "${build_packages[@]}"
    phase 'download (Lua source)' fetch_lua
    phase 'build' configure_and_compile release
    phase 'run' tools/dev/demo.sh build
}

# bench [ARGUMENTS]: medians over server and worker together; bench PART ...: one part alone, a
# program of host/test/bench.
bench() {
    build release
    if [[ $# -gt 0 && -x build/bench/bench_$1 ]]; then
        local part=$1
        shift
        exec "build/bench/bench_$part" "$@"
    fi
    exec bench/run.sh "$@"
}

# fuzz_one PROGRAM SECONDS: one fuzzer over its seeds and what earlier runs found; its output goes to a log in the
# build folder. Prints one line; the log's end too when something was found.
fuzz_one() {
    local program=$1 seconds=$2 name=${1##*/} corpus seeds log start status=0
    corpus="$(cache_folder)/corpus/$name"
    seeds=host/test/fuzz/corpus/$name
    log=$PWD/build-fuzz/$name.log
    mkdir -p "$corpus"
    [[ -d $seeds ]] || seeds=''
    start=$(now_ms)
    "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$corpus/" "$corpus" ${seeds:+"$seeds"} >"$log" 2>&1 || status=$?
    printf '%-20s %6s s %12s inputs %8s edges  ' "$name" "$(seconds_since "$start")" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
        "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)"
    if [[ $status -eq 0 ]]; then
        printf 'passed\n'
        return 0
    fi
    printf 'FAILED (exit status %d)\n' "$status"
    tail -n 40 "$log" | sed 's/^/    /'
    return 1
}

# fuzz [--seconds N] [NAME...]: every fuzzer, or those that a part of a name selects; a finding does not keep the
# others from their turn, and the last line is the verdict.
fuzz() {
    local seconds=60 program name ran=0 bad=()
    filters=()
    while [[ $# -gt 0 ]]; do
        case $1 in
            --seconds)
                # libFuzzer takes 0 for "without end".
                [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || die "fuzz: --seconds needs a number of 1 or more, not \"${2:-}\""
                seconds=$2
                shift 2
                ;;
            -*) die "fuzz: unknown argument \"$1\"" ;;
            *)
                compgen -G "host/test/fuzz/*$1*.c" >/dev/null ||
                    die "fuzz: no fuzzer below host/test/fuzz has \"$1\" in its name"
                filters+=("$1")
                shift
                ;;
        esac
    done
    install_packages "${fuzz_packages[@]}"
    build fuzz
    for program in build-fuzz/fuzz/fuzz_*; do
        name=${program##*/}
        # A program whose source is gone is a leftover of an earlier build.
        [[ -x $program && -f host/test/fuzz/$name.c ]] || continue
        selected "$name" || continue
        ran=$((ran + 1))
        fuzz_one "$program" "$seconds" || bad+=("$name")
    done
    [[ $ran -gt 0 ]] || die 'fuzz: no fuzzer was built'
    [[ ${#bad[@]} -eq 0 ]] || die "fuzz: ${#bad[@]} of $ran found something: ${bad[*]}"
    say "fuzz: all $ran passed, $seconds s each"
}

# Each part runs even when one before it failed; the verdict is at the end.
long() {
    local part bad=()
    local parts=('test' 'test sandbox --rows' 'asan' 'tsan' 'fuzz --seconds 300' 'lint --deep'
        'determinism' 'sim --seeds 1000' 'torture --kills 200 --power 200')
    for part in "${parts[@]}"; do
        # The words of a part are its verb and arguments.
        # shellcheck disable=SC2086
        TEMPORAL_LUA_LONG=1 TEST_TIMEOUT=${TEST_TIMEOUT:-1800} \
            phase "long: $part" ./dev $part || bad+=("$part")
    done
    [[ ${#bad[@]} -eq 0 ]] || die "failed: ${bad[*]}"
    say 'long: all parts passed'
}
