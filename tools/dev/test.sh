# Verbs test, lint, asan, tsan and coverage of ./dev. Sourced by it.
# Every suite speaks TAP; the cases are counted one by one and a suite that dies counts as failed.
. tools/dev/setup.sh
. tools/dev/select.sh

passed=0
failed=0
skipped=0
failures=()
work=''

open_work() {
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
}

# count SUITE SECONDS TAP_FILE STDERR_FILE STATUS: adds a suite's cases and prints one line for it.
count() {
    local suite=$1 seconds=$2 tap=$3 errors=$4 status=$5
    local plan ok bad skip
    plan=$(awk '/^1\.\.[0-9]+/ { sub(/^1\.\./, ""); n += $1; seen = 1 }
        END { print seen ? n + 0 : -1 }' "$tap")
    skip=$(grep -cE '^(not )?ok [0-9]+.*# SKIP' "$tap" || true)
    ok=$(grep -E '^ok [0-9]+' "$tap" | grep -vc '# SKIP' || true)
    bad=$(grep -E '^not ok [0-9]+' "$tap" | grep -vc '# SKIP' || true)
    # Cases announced and never reported died with their process.
    if [[ $plan -ge 0 && $((ok + bad + skip)) -lt $plan ]]; then
        bad=$((plan - ok - skip))
    fi
    if [[ $bad -eq 0 && ($plan -lt 0 || $status -ne 0) ]]; then
        bad=1
    fi
    passed=$((passed + ok))
    failed=$((failed + bad))
    skipped=$((skipped + skip))
    printf '%-40s %5d passed' "$suite" "$ok"
    [[ $bad -eq 0 ]] || printf ', %d failed' "$bad"
    [[ $skip -eq 0 ]] || printf ', %d skipped' "$skip"
    printf '  (%s s)\n' "$seconds"
    grep '^# figures: ' "$tap" | sed 's/^# /    /' || true
    if [[ $bad -gt 0 ]]; then
        failures+=("$suite")
        grep -vE '^ok |^1\.\.' "$tap" | tail -n 60 | sed 's/^/    /'
        tail -n 60 "$errors" | sed 's/^/    /'
        [[ $status -eq 0 ]] || printf '    exit status %d\n' "$status"
    fi
}

# run_tap NAME COMMAND...: runs one suite; its results wait in $work/NAME.* for `count`.
run_tap() {
    local name=$1 start status=0
    shift
    start=$(now_ms)
    timeout -k 5 "${TEST_TIMEOUT:-600}" "$@" >"$work/$name.tap" 2>"$work/$name.err" || status=$?
    seconds_since "$start" >"$work/$name.seconds"
    printf '%d' "$status" >"$work/$name.status"
}

count_tap() {
    count "$1" "$(<"$work/$1.seconds")" "$work/$1.tap" "$work/$1.err" "$(<"$work/$1.status")"
}

# run_case NAME COMMAND...: a command that is one case by itself: exit status 0 passes.
run_case() {
    local name=$1 start status=0 seconds
    shift
    start=$(now_ms)
    timeout -k 5 "${TEST_TIMEOUT:-600}" "$@" >"$work/case.out" 2>&1 || status=$?
    seconds=$(seconds_since "$start")
    {
        printf '1..1\n'
        [[ $status -eq 0 ]] && printf 'ok 1 - %s\n' "$name" || printf 'not ok 1 - %s\n' "$name"
    } >"$work/case.tap"
    count "$name" "$seconds" "$work/case.tap" "$work/case.out" "$status"
}

# Names the files that ./dev format would change.
format_check() {
    local files
    files=$(c_sources | xargs -r clang-format --dry-run 2>&1 |
        sed -n 's/^\([^: ]*\):.*clang-formatted.*/\1/p' | sort -u)
    [[ -z $files ]] && return 0
    printf '%s: ./dev format would change it\n' $files
    return 1
}

run_lint() {
    selected lint || return 0
    run_case 'lint deps' lua5.4 tools/lint/deps.lua
    run_case 'lint tidy' lua5.4 tools/lint/tidy.lua
    run_case 'lint docs/rpc.md' lua5.4 tools/gen/rpc.lua --check
    run_case 'lint docs/worker_options.md' lua5.4 tools/gen/worker_options.lua --check
    run_case 'lint docs/metrics.md' lua5.4 tools/gen/metrics.lua --check
    run_case 'lint docs/parity.md' lua5.4 tools/gen/parity.lua --check
    run_case 'lint docs/cli.md' lua5.4 tools/gen/cli_page.lua --check
    run_case 'lint docs/cli_coverage.md' lua5.4 tools/gen/cli_coverage.lua --check
    local folder lua_folders=()
    for folder in lua samples spec tools proto bench host; do
        [[ -d $folder ]] && lua_folders+=("$folder")
    done
    run_case 'lint luacheck' luacheck --no-color -q "${lua_folders[@]}"
    run_case 'lint format' bash -c '. tools/dev/common.sh; . tools/dev/test.sh; format_check'
    run_case 'lint shell' bash -c 'for f in dev .ci/run tools/dev/*.sh; do bash -n "$f" || exit 1; done'
    run_case 'lint abi' lua5.4 tools/lint/abi.lua
    if [[ -f build/temporal/core.so || -f build/temporal-lua ]]; then
        run_case 'lint symbols' lua5.4 tools/lint/symbols.lua build
    fi
}

# run_units FOLDER [WRAPPER...]: every unit test executable, as many at once as there are CPUs.
run_units() {
    local folder=$1 program name running=0 names=()
    shift
    for program in "$folder"/unit/test_*; do
        [[ -x $program && -f $program ]] || continue
        name=${program##*/}
        # A program whose source is gone is a leftover of an earlier build.
        [[ -f host/test/unit/$name.c ]] || continue
        selected "$name" || continue
        names+=("$name")
        CMOCKA_MESSAGE_OUTPUT=TAP run_tap "$name" "$@" "$program" &
        running=$((running + 1))
        if [[ $running -ge $(jobs_count) ]]; then
            wait -n || true
            running=$((running - 1))
        fi
    done
    wait
    for name in "${names[@]}"; do
        count_tap "$name"
    done
}

# The spec files that the filters name, one a line: folders, files, or all of spec and samples.
spec_files() {
    local filter roots=()
    if [[ ${#filters[@]} -eq 0 ]]; then
        roots=(spec samples)
    else
        for filter in "${filters[@]}"; do
            [[ $filter == spec || $filter == spec/* || $filter == samples/* ]] && roots+=("$filter")
        done
    fi
    for filter in "${roots[@]}"; do
        # A name without its ending will do: spec/client/client, spec/workflow/primitives.
        if [[ -d $filter ]]; then
            find "$filter" -name '*_spec.lua'
        elif compgen -G "$filter*_spec.lua" >/dev/null; then
            printf '%s\n' "$filter"*_spec.lua
        elif [[ -f $filter.lua ]]; then
            printf '%s\n' "$filter.lua"
        elif [[ -f $filter ]]; then
            printf '%s\n' "$filter"
        fi
    done | sort -u
}

# run_specs FOLDER: busted on the stock Lua, against the C module in FOLDER; each file is a process of its
# own (--ignore-lua: this one, without another interpreter behind it, whom no preloaded sanitizer would reach).
# They mostly wait for servers and clocks, so three run at once for each CPU.
run_specs() {
    local folder=$1 file name running=0 names=()
    [[ -d spec ]] || return 0
    while read -r file; do
        name=${file%_spec.lua}
        names+=("$name")
        mkdir -p "$work/${name%/*}"
        TEMPORAL_LUA_BIN="$PWD/$folder/temporal-lua" run_tap "$name" \
            "${spec_wrapper[@]}" env "${spec_environment[@]}" \
            lua5.4 /usr/bin/busted --ignore-lua -o TAP "--cpath=./$folder/?.so" "$file" &
        running=$((running + 1))
        if [[ $running -ge $((3 * $(jobs_count))) ]]; then
            wait -n || true
            running=$((running - 1))
        fi
    done < <(spec_files)
    wait
    for name in "${names[@]}"; do
        count_tap "$name"
    done
}
# Histories are not only replayed at the end of each environment, but run again with caches of several sizes.
spec_environment=(TEMPORAL_LUA_TEST_REPLAY=caches)
spec_wrapper=()

run_short_machines() {
    if selected sim; then
        run_case 'simulation (50 seeds)' build/torture sim --seeds 50
    fi
    if selected torture; then
        run_case 'torture (20 kills, 20 power cuts)' build/torture --kills 20 --power 20
    fi
    if selected mutants; then
        run_case 'mutants' build/torture mutants
    fi
}

# run_python_suite NAME SCRIPT [ARGUMENTS...]: a check in the Python that TEMPORAL_LUA_PYTHON names; without temporalio
# its cases count as skipped, and a run of which nothing passed fails.
run_python_suite() {
    local name=$1 python=${TEMPORAL_LUA_PYTHON:-python3}
    shift
    if command -v "$python" >/dev/null; then
        run_tap "$name" "$python" "$@"
    else
        skip_tap "$name" "there is no $python"
    fi
    count_tap "$name"
}

# skip_tap NAME REASON: one case, skipped, for a suite whose program is not there.
skip_tap() {
    printf '1..1\nok 1 - %s # SKIP %s\n' "$1" "$2" >"$work/skipped"
    run_tap "$1" cat "$work/skipped"
}

# The Go SDK, built by `go` with its modules outside of the tree. Without go or its modules it is skipped; a program
# that does not compile fails.
run_go_suite() {
    local folder=spec/interop/go reason=''
    export GOTOOLCHAIN=local GOFLAGS='-mod=readonly -buildvcs=false'
    if ! command -v go >/dev/null; then
        reason='go is not installed'
    elif ! timeout 300 go -C "$folder" mod download >"$work/modules" 2>&1; then
        reason="its modules cannot be had: $(tail -n 1 "$work/modules")"
    fi
    if [[ -n $reason ]]; then
        skip_tap go_sdk "$reason"
    elif go -C "$folder" vet ./... >"$work/vet" 2>&1 &&
        go -C "$folder" build -o "$work/go_sdk" . >>"$work/vet" 2>&1; then
        run_tap go_sdk "$work/go_sdk" check build/temporal-lua
    else
        run_tap go_sdk cat "$work/vet"
    fi
    count_tap go_sdk
}

# The real Temporal server beside ours: TEMPORAL_REAL_SERVER names its executable, else all is skipped.
run_real_server_suite() {
    ORDER_SHIPPING=build/samples/libshipping.so \
        run_tap real_server lua5.4 spec/interop/real_server.lua build/temporal-lua
    count_tap real_server
}

# Every peer, one after the other: what is not installed counts as skipped, what is and does not start as failed.
run_peers() {
    selected interop || return 0
    local ours=build/temporal-lua
    # The Python SDK as client, worker and replayer.
    run_python_suite interop spec/interop/python_check.py $ours
    # Payloads that one side encrypted or compressed, and the other reads.
    run_python_suite codecs spec/interop/python_codec_check.py $ours
    # Nexus operations and activities without a workflow, of both languages.
    run_python_suite nexus spec/interop/python_nexus_check.py $ours
    run_python_suite activities spec/interop/python_activities_check.py $ours
    # Commands of the server to a Python worker.
    run_python_suite commands spec/interop/python_commands_check.py $ours
    # Workflows that skip time by themselves.
    run_python_suite time_skipping spec/interop/python_time_skipping_check.py $ours
    # What a Python worker and ours measure at the same work.
    run_python_suite metrics spec/interop/python_metrics_check.py $ours
    # Reflection and health checking, API keys and headers, as grpcio sees them.
    run_python_suite reflection spec/interop/reflection_check.py $ours
    run_python_suite api_key spec/interop/api_key_check.py $ours
    # docs/parity.md beside the names that the Python SDK has.
    run_python_suite parity spec/interop/parity_check.py
    run_go_suite
    run_real_server_suite
    # The same requests to both servers, answers compared; the page of results goes to the build folder.
    run_python_suite answers spec/interop/answers.py $ours --page build/COMPARISON.md
    # The official command line beside ours, on both servers.
    run_python_suite official_cli spec/interop/cli_check.py $ours
}

run_interop() {
    build release
    open_work
    phase 'peers' run_peers
    report
}

# The closing line; the exit status says whether all is well.
report() {
    if [[ ${#failures[@]} -gt 0 ]]; then
        printf 'failed: %s\n' "${failures[@]}"
    fi
    printf '%d passed, %d failed' "$passed" "$failed"
    [[ $skipped -eq 0 ]] || printf ', %d skipped' "$skipped"
    printf '\n'
    [[ $failed -eq 0 && $passed -gt 0 ]]
}

run_tests() {
    filters=("$@")
    install_packages "${test_packages[@]}"
    build release
    open_work
    phase 'lint' run_lint
    phase 'unit tests' run_units build
    phase 'specs' run_specs build
    phase 'simulation and torture' run_short_machines
    phase 'peers' run_peers
    report
}

# --- the determinism table ---

# Rows of docs/determinism.md that have no mitigation: Lua's own rules, which the tests pin down.
rows_without_mitigation=' 32 '
row_count=40

sandbox_rows=build-sandbox/unit/test_luart_rows

build_switch() {
    install_packages "${test_packages[@]}"
    build sandbox
}

# --without ROW: the tests with this row's mitigation taken away. They must fail.
run_without() {
    local row=${1:-}
    [[ $row =~ ^[0-9]+$ && $row -ge 1 && $row -le $row_count ]] ||
        die "--without takes a row of docs/determinism.md, 1 to $row_count"
    [[ $rows_without_mitigation != *" $row "* ]] ||
        die "row $row has no mitigation: its rules are Lua's own"
    build_switch
    TEMPORAL_LUA_WITHOUT=$row timeout -k 5 120 "$sandbox_rows"
}

# --rows: each mitigation taken away in turn; a row that nobody notices is a failure.
run_rows() {
    local row
    build_switch
    open_work
    run_case 'sandbox rows' "$sandbox_rows"
    for ((row = 1; row <= row_count; row++)); do
        [[ $rows_without_mitigation != *" $row "* ]] || continue
        run_case "sandbox without row $row fails" bash -c '
            TEMPORAL_LUA_WITHOUT=$2 timeout -k 5 120 "$1" 2>&1 | grep "FAILED.*row_"' - "$sandbox_rows" "$row"
    done
    report
}

test_verb() {
    if [[ ${1:-} != sandbox ]]; then
        run_tests "$@"
        return
    fi
    case ${2:-} in
        --without) run_without "${3:-}" ;;
        --rows) run_rows ;;
        '') run_tests test_luart_rows test_luart_sandbox test_vm spec/sandbox ;;
        *) die "test sandbox takes --without ROW or --rows, not $2" ;;
    esac
}

# The proof of determinism in its long form: the spec with other numbers.
run_determinism() {
    local processes=20 runs=1000 programs=4000
    while [[ $# -gt 0 ]]; do
        [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || die "$1 needs a number"
        case $1 in
            --processes) processes=$2 ;;
            --runs) runs=$2 ;;
            --programs) programs=$2 ;;
            *) die "determinism: unknown argument \"$1\"" ;;
        esac
        shift 2
    done
    filters=(spec/replay/determinism)
    install_packages "${test_packages[@]}"
    build release
    open_work
    export TEMPORAL_LUA_DETERMINISM_PROCESSES=$processes TEMPORAL_LUA_DETERMINISM_RUNS=$runs
    export TEMPORAL_LUA_DETERMINISM_PROGRAMS=$programs TEST_TIMEOUT=3600
    phase "$processes processes" run_specs build
    report
}

clang_tidy() {
    local folder=build
    [[ -f $folder/compile_commands.json ]] || die 'build first: clang-tidy reads compile_commands.json'
    command -v clang-tidy >/dev/null || die 'clang-tidy is not installed'
    git ls-files -- 'host/*.c' | grep -v '^host/luart/vm/lua_all.c$' |
        xargs -r -P "$(jobs_count)" -n 8 clang-tidy --quiet -p "$folder"
}

run_lint_verb() {
    install_packages "${test_packages[@]}"
    open_work
    run_lint
    if [[ ${1:-} == --deep ]]; then
        run_case 'lint clang-tidy' bash -c '. tools/dev/common.sh; . tools/dev/test.sh; clang_tidy'
    fi
    report
}

run_asan() {
    filters=("$@")
    install_packages "${test_packages[@]}"
    build asan
    open_work
    export ASAN_OPTIONS="detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=1"
    export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"
    export LSAN_OPTIONS="suppressions=$PWD/tools/dev/lsan.supp:print_suppressions=0"
    phase 'unit tests (asan)' run_units build-asan
    # The interpreter is not instrumented: the runtime has to be there before the module.
    spec_environment+=("LD_PRELOAD=$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)")
    phase 'specs (asan)' run_specs build-asan
    report
}

# Those that filters name; without filters those in which threads meet. What starts interpreters of its own
# (activities in processes) or wants its time (stacks that overflow) cannot be had here.
run_tsan_specs() {
    [[ ${#filters[@]} -gt 0 ]] || filters=("${tsan_specs[@]}")
    run_specs build-tsan
}
tsan_specs=(spec/client/activities spec/client/nexus_operations spec/data spec/server spec/testing
    spec/worker/activity spec/worker/async spec/worker/build_sets spec/worker/connection spec/worker/coroutine
    spec/worker/discovery spec/worker/eager spec/worker/executors spec/worker/heartbeat spec/worker/interceptors
    spec/worker/logs spec/worker/metrics spec/worker/native spec/worker/nexus spec/worker/passthrough
    spec/worker/plugins spec/worker/priority spec/worker/rate spec/worker/reload spec/worker/shutdown spec/worker/slot
    spec/worker/tracing spec/worker/tuner spec/worker/version spec/workflow/local_activity spec/workflow/nexus
    spec/workflow/sessions spec/workflow/updates)

run_tsan() {
    filters=("$@")
    install_packages "${test_packages[@]}"
    build tsan
    open_work
    export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1"
    # Address-space randomisation beyond what the runtime maps makes it refuse to start.
    # gRPC is not instrumented: what it hands from thread to thread would look like races.
    phase 'unit tests (tsan)' run_units build-tsan bash -c '
        [[ $0 != */test_grpc* && $0 != */test_embed ]] || TSAN_OPTIONS+=":ignore_noninstrumented_modules=1"
        exec setarch -R "$0"'
    # The interpreter and busted are not instrumented either: the runtime has to be there before the module.
    spec_wrapper=(setarch -R)
    spec_environment+=("LD_PRELOAD=$(gcc -print-file-name=libtsan.so) $PWD/build-tsan/test/libnot_inherited.so"
        "TSAN_OPTIONS=$TSAN_OPTIONS:ignore_noninstrumented_modules=1")
    phase 'specs (tsan)' run_tsan_specs
    report
}

run_coverage() {
    filters=("$@")
    install_packages "${test_packages[@]}"
    build coverage
    open_work
    phase 'unit tests (coverage)' run_units build-coverage
    phase 'specs (coverage)' run_specs build-coverage
    command -v lcov >/dev/null || die 'lcov is not installed: the counters are in build-coverage'
    lcov -q -c -d build-coverage -o build-coverage/all.info
    lcov -q -e build-coverage/all.info "$PWD/host/*" -o build-coverage/host.info
    lcov --list build-coverage/host.info
    report
}
