#!/bin/sh
# All checks and all tests with the real tools; ends with one line `N passed, N failed, N skipped`.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here"
sh scripts/setup.sh
exec node_modules/.bin/node scripts/test.ts "$@"
