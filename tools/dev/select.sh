# Filters of the verbs that run many things. Sourced by tools/dev/test.sh and tools/dev/run.sh.
filters=()

# selected NAME: whether a filter names it (or none was given).
selected() {
    local filter
    [[ ${#filters[@]} -gt 0 ]] || return 0
    for filter in "${filters[@]}"; do
        [[ $1 == *"$filter"* || $filter == "$1"* ]] && return 0
    done
    return 1
}
