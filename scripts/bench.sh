#!/bin/sh
# The benchmarks, with the peers they are compared to.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
sh "$here/scripts/setup.sh" --bench
exec "$here/node_modules/.bin/node" --no-warnings "$here/bench/speed.ts" "$@"
