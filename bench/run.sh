#!/usr/bin/env bash
# Medians of our figures, beside those of peers in the same run.
#   bench/run.sh --help
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec lua5.4 bench/compare.lua "$@"
