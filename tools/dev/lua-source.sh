#!/usr/bin/env bash
# Fetches Debian's source package of Lua 5.4 with apt-get, checks the pinned checksums, unpacks it
# with Debian's patches applied, and prints the folder that holds the Lua .c files.
# The private deb-src list is derived from this machine's own sources; nothing system-wide changes.
# Usage: tools/dev/lua-source.sh CACHE_FOLDER
set -euo pipefail

readonly version='5.4.4-3+deb12u1'
readonly upstream='5.4.4'
readonly orig="lua5.4_${upstream}.orig.tar.gz"
readonly patches="lua5.4_${version}.debian.tar.xz"
readonly orig_sha256='164c7849653b80ae67bec4b7473b884bf5cc8d2dca05653475ec2ed27b9ebf61'
readonly patches_sha256='2d8e0e380722c648cfeffb8d58287865619b4d035544d93d7ef3a2eaf627abe6'

die() {
    printf 'lua-source: %s\n' "$*" >&2
    exit 1
}

[[ $# -eq 1 ]] || die 'usage: tools/dev/lua-source.sh CACHE_FOLDER'
mkdir -p "$1"
cache=$(cd "$1" && pwd)
readonly cache
readonly unpacked="$cache/lua5.4-${version}"

if [[ -f "$unpacked/.complete" ]]; then
    printf '%s\n' "$unpacked/src"
    exit 0
fi

# Two builds may start at once; the second waits and then finds the work done.
exec 9>"$cache/lua-source.lock"
flock 9
if [[ -f "$unpacked/.complete" ]]; then
    printf '%s\n' "$unpacked/src"
    exit 0
fi

for tool in apt-get dpkg-source sha256sum awk flock; do
    command -v "$tool" >/dev/null || die "$tool is missing (packages: apt dpkg-dev coreutils)"
done

codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
[[ -n "$codename" ]] || die 'cannot tell the Debian release from /etc/os-release'

# Only stanzas whose suite is this Debian release (or its -updates, -security) can carry the source.
write_private_sources() {
    local file
    mkdir -p "$cache/apt/sources"
    rm -f "$cache"/apt/sources/*
    for file in /etc/apt/sources.list.d/*.sources; do
        [[ -f "$file" ]] || continue
        awk -v c="$codename" 'BEGIN { RS = ""; ORS = "\n\n" }
            $0 ~ ("(^|\n)Suites:[ \t]*" c) {
                gsub(/(^|\n)#[^\n]*/, "")
                sub(/Types:[^\n]*/, "Types: deb-src")
                sub(/^\n/, "")
                print
            }' "$file" >>"$cache/apt/sources/derived.sources"
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [[ -f "$file" ]] || continue
        awk -v c="$codename" '$1 == "deb" {
                suite = 2
                if ($2 ~ /^\[/) {
                    while (suite < NF && $suite !~ /\]$/) { suite++ }
                    suite++
                }
                if (index($(suite + 1), c) == 1) { sub(/^deb/, "deb-src"); print }
            }' "$file" >>"$cache/apt/sources/derived.list"
    done
    find "$cache/apt/sources" -type f -empty -delete
    [[ -n "$(ls -A "$cache/apt/sources")" ]] || die "no apt source of $codename found in /etc/apt"
}

fetch() {
    mkdir -p "$cache/apt/lists/partial" "$cache/apt/cache/archives/partial"
    write_private_sources
    local options=(-o Dir::Etc::sourcelist=/dev/null
        -o "Dir::Etc::sourceparts=$cache/apt/sources"
        -o "Dir::State::lists=$cache/apt/lists"
        -o "Dir::Cache=$cache/apt/cache"
        -o "APT::Sandbox::User=$(id -un)"
        -q)
    (
        cd "$cache"
        apt-get "${options[@]}" update
        apt-get "${options[@]}" source --download-only "lua5.4=${version}"
    ) >"$cache/lua-source.log" 2>&1 || {
        tail -n 20 "$cache/lua-source.log" >&2
        die "apt-get could not fetch lua5.4=${version}"
    }
    rm -rf "$cache/apt"
}

check() {
    local file="$cache/$1" want=$2 got
    [[ -f "$file" ]] || return 1
    got=$(sha256sum "$file" | cut -d' ' -f1)
    [[ "$got" == "$want" ]] || die "checksum of $1 is $got, expected $want"
}

[[ -f "$cache/$orig" && -f "$cache/$patches" && -f "$cache/lua5.4_${version}.dsc" ]] || fetch
check "$orig" "$orig_sha256"
check "$patches" "$patches_sha256"

rm -rf "$unpacked"
dpkg-source --no-check -x "$cache/lua5.4_${version}.dsc" "$unpacked" >>"$cache/lua-source.log" 2>&1 || {
    tail -n 20 "$cache/lua-source.log" >&2
    die 'dpkg-source could not unpack the package'
}
touch "$unpacked/.complete"
printf '%s\n' "$unpacked/src"
