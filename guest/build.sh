#!/bin/sh
# Builds build/init, PID 1 of a microVM: static, with musl where it is, else with the system's C library.
set -eu
cd "$(dirname "$0")"
compiler=${CC:-}
[ -n "$compiler" ] || for candidate in musl-gcc gcc cc; do
  if command -v "$candidate" >/dev/null 2>&1; then compiler=$candidate; break; fi
done
[ -n "$compiler" ] || { echo 'guest/build.sh: no C compiler; install musl-tools' >&2; exit 1; }
mkdir -p build
# Only what is older than a source is built again; the new file appears in one step.
if [ -x build/init ] && [ -z "$(find agent build.sh \( -name '*.c' -o -name '*.h' -o -name build.sh \) -newer build/init)" ]; then
  exit 0
fi
new=build/init.$$
trap 'rm -f "$new"' EXIT
"$compiler" -std=gnu11 -static -Os -Wall -Wextra -Wno-override-init -ffunction-sections -fdata-sections \
  -Wl,--gc-sections -s -o "$new" agent/*.c
mv "$new" build/init
