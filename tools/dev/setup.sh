# Verbs setup, build and format of ./dev. Sourced by it.

# Debian packages, by what needs them. See docs/dependencies.md.
readonly build_packages=(
    gcc libc6-dev cmake ninja-build pkg-config dpkg-dev
    libgrpc-dev libstdc++-12-dev libmicrohttpd-dev
    lua5.4 liblua5.4-dev libuv1-dev libsqlite3-dev libmbedtls-dev zlib1g-dev libmpfr-dev libgmp-dev
    libyaml-dev libcurl4-gnutls-dev
    protobuf-compiler protobuf-c-compiler libprotobuf-dev libprotobuf-c-dev
)
readonly test_packages=(git binutils libcmocka-dev lua-busted lua-check lua-luv clang-format g++ locales
    openssl)
readonly fuzz_packages=(clang libclang-rt-14-dev)

as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    else
        command -v sudo >/dev/null || die "not root and no sudo: install by hand: ${missing[*]}"
        sudo "$@"
    fi
}

# install_packages NAME...: those of them that are missing.
install_packages() {
    local package missing=()
    for package in "$@"; do
        if [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
            missing+=("$package")
        fi
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    say "installing ${missing[*]}"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends)
    # The lists may be absent or old: they are refreshed when the first attempt fails.
    as_root "${apt[@]}" install "${missing[@]}" && return 0
    as_root apt-get -q update
    as_root "${apt[@]}" install "${missing[@]}"
}

fetch_lua() {
    tools/dev/lua-source.sh "$(cache_folder)" >/dev/null
}

setup() {
    command -v apt-get >/dev/null || die 'this needs a Debian system (apt-get)'
    phase 'packages' install_packages "${build_packages[@]}"
    phase 'Lua source' fetch_lua
}

configure_and_compile() {
    local preset=$1 folder
    folder=$(build_folder "$preset")
    cmake --preset "$preset" -DTL_LUA_CACHE="$(cache_folder)" >"$folder.configure.log" 2>&1 || {
        cat "$folder.configure.log" >&2
        die "cmake --preset $preset failed"
    }
    mv "$folder.configure.log" "$folder/configure.log"
    ninja -C "$folder" -j "$(jobs_count)" --quiet
}

# build PRESET
build() {
    setup
    phase "build ($1)" configure_and_compile "$1"
}

c_sources() {
    local path
    git ls-files -co --exclude-standard -- 'host/*.c' 'host/*.h' 'samples/*.c' 'samples/*.h' |
        while read -r path; do
            [[ ! -f $path ]] || printf '%s\n' "$path"
        done
}

format() {
    install_packages "${test_packages[@]}"
    c_sources | xargs -r clang-format -i
}
