#!/usr/bin/env bash
# Makes /usr/bin/chromium exist for the browser tests: Debian's package, as the project's own test dependency.
set -euo pipefail
command -v chromium >/dev/null && exit 0
as_root() { if [[ $(id -u) -eq 0 ]]; then "$@"; else sudo "$@"; fi; }
echo "installing chromium for the browser tests" >&2
as_root apt-get update -qq
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
