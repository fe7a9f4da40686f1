#!/bin/sh
# Builds PID 1 of the microVM, once: static, so that the initramfs needs nothing else. Output: guest/build/init.
set -eu
cd "$(dirname "$0")"
out=build/init
newest=$(ls -t ./*.c ./*.h build.sh | head -n 1)
if [ -x "$out" ] && [ "$out" -nt "$newest" ]; then exit 0; fi
mkdir -p build
compiler=gcc
headers=''
# musl's wrapper leaves out the kernel's headers; they come after its own.
if command -v musl-gcc >/dev/null; then
  compiler=musl-gcc
  headers="-idirafter /usr/include -idirafter /usr/include/$(gcc -print-multiarch)"
fi
echo "guest: building PID 1 with $compiler"
# shellcheck disable=SC2086 # the header flags are words
"$compiler" -std=gnu11 -static $headers -Os -Wall -Wextra -Wno-unused-result -Wno-format-truncation -o "$out.partial" init.c setup.c process.c account.c frame.c
strip "$out.partial"
mv "$out.partial" "$out"
