#!/bin/sh
# Installs what Bulkhead needs on Debian or Ubuntu and nothing that is there already. Safe to run again; says what it does.
set -eu
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

[ "$(uname -s)" = Linux ] || die 'Bulkhead runs on Linux only.'
command -v apt-get >/dev/null || die 'this set-up knows Debian and Ubuntu; elsewhere install the list in docs/architecture.md by hand.'
[ "$(id -u)" = 0 ] || die 'run it as root: it installs packages, and the engine makes namespaces, mounts and networks.'

# --- distribution packages -------------------------------------------------------------------------------------------
need='conmon crun runc skopeo buildah squashfs-tools erofs-utils nftables iproute2 dnsmasq-base haproxy socat catatonit
busybox-static e2fsprogs kmod xz-utils zstd cpio mmdebstrap docker-registry musl-tools gcc libc6-dev ca-certificates'
# From backports where the release is older than what a level needs (systrap in runsc, snapshots in QEMU).
newer='qemu-system-x86 runsc'
[ "$(dpkg --print-architecture)" = arm64 ] && newer='qemu-system-arm runsc'
for extra in "$@"; do
  case "$extra" in
    --bench) need="$need docker.io podman iptables" ;;
    *) die "unknown word: $extra" ;;
  esac
done

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
missing() { for p in "$@"; do installed "$p" || printf '%s ' "$p"; done; }

export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # the lists are words
lack=$(missing $need); lackNewer=$(missing $newer)
if [ -n "$lack$lackNewer" ]; then
  . /etc/os-release
  backports=''
  if [ "${ID:-}" = debian ] && [ -n "${VERSION_CODENAME:-}" ]; then
    backports="$VERSION_CODENAME-backports"
    if ! grep -rqs "$backports" /etc/apt/sources.list /etc/apt/sources.list.d; then
      # The same archive the machine uses already, one suite more.
      uri=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list.d/*.list 2>/dev/null | grep -v security | grep -m1 debian || true)
      if [ -n "$uri" ]; then
        say "adding the suite $backports of $uri (runsc with systrap, a current QEMU)"
        printf 'deb %s %s main\n' "$uri" "$backports" >/etc/apt/sources.list.d/bulkhead-backports.list
      else
        backports=''
      fi
    fi
  fi
  say 'refreshing the package lists'
  apt-get update -qq || say 'some package lists could not be refreshed; going on with what there is'
  if [ -n "$lack" ]; then
    say "installing: $lack"
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $lack >/dev/null
  fi
  for p in $lackNewer; do
    say "installing: $p"
    { [ -n "$backports" ] && apt-get install -y -qq --no-install-recommends -t "$backports" "$p" >/dev/null 2>&1; } ||
      apt-get install -y -qq --no-install-recommends "$p" >/dev/null 2>&1 ||
      say "$p cannot be installed here: its level stays unavailable, see 'bulkhead doctor'"
  done
fi

# Debian starts its registry as a service; the main job and the tests run their own on loopback.
if [ -d /run/systemd/system ] && systemctl -q is-active docker-registry 2>/dev/null && [ -n "$(printf %s "$lack" | grep docker-registry)" ]; then
  systemctl disable -q --now docker-registry || true
fi

# --- npm packages ----------------------------------------------------------------------------------------------------
command -v npm >/dev/null || die 'npm is missing: install Node 20 or later with npm.'
if [ ! -x node_modules/.bin/node ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  say 'installing the npm packages (with the pinned Node 24)'
  # Not `npm ci`: it insists on lock entries of packages for other platforms, which a registry need not have.
  npm install --no-save --no-audit --no-fund --loglevel=error >&2
  touch node_modules/.package-lock.json
fi

# --- the guest's PID 1 -----------------------------------------------------------------------------------------------
sh guest/build.sh >&2
