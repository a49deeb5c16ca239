# What every verb of ./dev shares. Sourced by it; the working directory is the top of the tree.

die() {
    printf 'dev: %s\n' "$*" >&2
    exit 1
}

say() {
    printf '== %s\n' "$*"
}

# Milliseconds since the epoch.
now_ms() {
    local t=${EPOCHREALTIME/[.,]/}
    printf '%s' "$((t / 1000))"
}

# seconds_since MS: elapsed time as "12.3".
seconds_since() {
    local ms=$(($(now_ms) - $1))
    printf '%d.%d' "$((ms / 1000))" "$((ms % 1000 / 100))"
}

# phase NAME COMMAND...: runs the command and prints how long it took.
phase() {
    local name=$1 start status=0
    shift
    start=$(now_ms)
    "$@" || status=$?
    say "$name: $(seconds_since "$start") s"
    return "$status"
}

jobs_count() {
    nproc 2>/dev/null || printf '2'
}

# Where things fetched from outside are kept.
cache_folder() {
    printf '%s' "${TEMPORAL_LUA_CACHE:-$PWD/.cache}"
}

# The build folder of a preset.
build_folder() {
    case $1 in
        release) printf 'build' ;;
        *) printf 'build-%s' "$1" ;;
    esac
}
