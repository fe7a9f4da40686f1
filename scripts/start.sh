#!/bin/sh
# The main job: set up, start the engine, run one image at every level this host has, print what it costs.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
sh "$here/scripts/setup.sh"
exec "$here/node_modules/.bin/node" "$here/scripts/start.ts" "$@"
