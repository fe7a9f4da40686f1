#!/bin/sh
# Builds the microVMs' own kernel from Debian's linux-source with guest/kernel.config: smaller and faster to boot than
# the distribution's, with everything built in. It installs nothing but the tools it needs, and only when they miss.
set -eu
repository=$(cd "$(dirname "$0")/.." && pwd)
data=/var/lib/bulkhead
jobs=$(nproc)
package=
usage() {
  echo "usage: npm run guest-kernel -- [--data DIR] [--source PACKAGE] [--jobs N]" >&2
  exit 2
}
while [ $# -gt 0 ]; do
  case $1 in
    --data) [ $# -ge 2 ] || usage; data=$2; shift 2 ;;
    --source) [ $# -ge 2 ] || usage; package=$2; shift 2 ;;
    --jobs) [ $# -ge 2 ] || usage; jobs=$2; shift 2 ;;
    *) usage ;;
  esac
done
[ "$(uname -m)" = x86_64 ] || { echo 'guest-kernel: the configuration is for x86_64 only' >&2; exit 1; }

missing=
for tool in gcc:gcc make:make bc:bc flex:flex bison:bison lz4:lz4 xz:xz-utils perl:perl; do
  command -v "${tool%%:*}" >/dev/null 2>&1 || missing="$missing ${tool#*:}"
done
[ -e /usr/include/gelf.h ] || missing="$missing libelf-dev"
if [ -n "$missing" ]; then
  echo "installing$missing"
  # shellcheck disable=SC2086 -- a list of package names
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing >/dev/null ||
    { echo "guest-kernel: install these first:$missing" >&2; exit 1; }
fi

# 6.12 where the distribution or its backports have it: the kernel with the longest support that knows all we use.
if [ -z "$package" ]; then
  for candidate in linux-source-6.12 linux-source; do
    if apt-cache show "$candidate" >/dev/null 2>&1; then package=$candidate; break; fi
  done
fi
[ -n "$package" ] || { echo 'guest-kernel: apt knows no linux-source; run apt-get update' >&2; exit 1; }
# The metapackage names the real one.
real=$(apt-cache depends "$package" | sed -n 's/.*Depends: \(linux-source-[0-9.]*\)$/\1/p' | head -n 1)
package=${real:-$package}
version=$(apt-cache policy "$package" | sed -n 's/.*Candidate: //p')
own=$data/kernels/own
identity="$package $version $(sha256sum <"$repository/guest/kernel.config" | cut -c 1-16)"
if [ "$(cat "$own/identity" 2>/dev/null)" = "$identity" ]; then
  echo "$own is current: $(cat "$own/version")"
  exit 0
fi

mkdir -p "$data/kernels"
work=$(mktemp -d "$data/kernels/build-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
echo "fetching $package $version"
(cd "$work" && apt-get download -q -o APT::Sandbox::User=root "$package=$version" >/dev/null)
echo 'unpacking'
mkdir "$work/source"
dpkg-deb --fsys-tarfile "$work/$package"_*.deb | tar -xO "./usr/src/$package.tar.xz" |
  tar -xJ -C "$work/source" --strip-components=1
rm -f "$work/$package"_*.deb

cd "$work/source"
build() { make -s -j"$jobs" KBUILD_BUILD_USER=bulkhead KBUILD_BUILD_HOST=guest KBUILD_BUILD_TIMESTAMP='1970-01-01' "$@"; }
build KCONFIG_ALLCONFIG="$repository/guest/kernel.config" allnoconfig >/dev/null
lost=$(grep '^CONFIG_' "$repository/guest/kernel.config" | grep -vxFf .config || true)
[ -z "$lost" ] || { printf 'guest-kernel: this source does not take:\n%s\n' "$lost" >&2; exit 1; }
echo "building with $jobs jobs; this takes some minutes"
build bzImage

mkdir "$work/ready"
cp arch/x86/boot/bzImage "$work/ready/vmlinuz"
make -s kernelrelease >"$work/ready/version"
printf '%s\n' "$identity" >"$work/ready/identity"
chmod 755 "$work/ready"
# Away with the old one in one step; machines that run from it have its file open.
if [ -e "$own" ]; then mv "$own" "$work/old"; fi
mv "$work/ready" "$own"
echo "built $(cat "$own/version"): $(du -k "$own/vmlinuz" | cut -f 1) KiB; the next microVM starts with it"
