# Verbs demo, bench, sim, torture, fuzz and long of ./dev. Sourced by it.
. tools/dev/setup.sh

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

fuzz() {
    local seconds=60 program name corpus seeds
    while [[ $# -gt 0 ]]; do
        case $1 in
            --seconds)
                [[ ${2:-} =~ ^[0-9]+$ ]] || die '--seconds needs a number'
                seconds=$2
                shift 2
                ;;
            *) die "fuzz: unknown argument \"$1\"" ;;
        esac
    done
    install_packages "${fuzz_packages[@]}"
    build fuzz
    local found=0
    for program in build-fuzz/fuzz/fuzz_*; do
        [[ -x $program ]] || continue
        found=1
        name=${program##*/}
        corpus="$(cache_folder)/corpus/$name"
        seeds=host/test/fuzz/corpus/$name
        mkdir -p "$corpus"
        [[ -d $seeds ]] || seeds=''
        phase "$name" "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
            -print_final_stats=1 -artifact_prefix="$corpus/" "$corpus" ${seeds:+"$seeds"}
    done
    [[ $found -eq 1 ]] || die 'this tree has no fuzzers below host/test/fuzz'
}

# Each part runs even when one before it failed; the verdict is at the end.
long() {
    local part bad=()
    local parts=('test' 'test sandbox --rows' 'asan' 'tsan' 'fuzz --seconds 300' 'lint --deep'
        'sim --seeds 1000' 'torture --kills 200 --power 200')
    for part in "${parts[@]}"; do
        # The words of a part are its verb and arguments.
        # shellcheck disable=SC2086
        phase "long: $part" ./dev $part || bad+=("$part")
    done
    [[ ${#bad[@]} -eq 0 ]] || die "failed: ${bad[*]}"
    say 'long: all parts passed'
}
