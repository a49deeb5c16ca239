#!/usr/bin/env bash
# Runs the benchmark of the binary several times and prints the median of each figure.
#   bench/run.sh [--runs N] [--json] [options of temporal-lua bench]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec lua5.4 bench/median.lua "$@"
