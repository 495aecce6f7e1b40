#!/usr/bin/env bash
# Makes a tool available for a CI step: `scripts/ci-extra.sh gcc|chromium` prints its path.
# Installs with apt only what is missing; exit 1, with the reason on stderr, when it cannot be had.
set -u

find_tool() {
  case "$1" in
    gcc) command -v gcc || command -v cc ;;
    chromium)
      [ -x "${CHROME_PATH:-}" ] && { echo "$CHROME_PATH"; return 0; }
      command -v chromium || command -v chromium-browser || command -v google-chrome || command -v google-chrome-stable ;;
    *) echo "ci-extra: unknown tool $1" >&2; return 2 ;;
  esac
}

install_tool() {
  local packages=$1
  [ "$1" = gcc ] && packages="gcc libc6-dev"
  local as_root=""
  if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then echo "ci-extra: $1 is absent and we are not root" >&2; return 1; fi
    as_root="sudo -n"
  fi
  if ! command -v apt-get >/dev/null; then echo "ci-extra: $1 is absent and there is no apt-get" >&2; return 1; fi
  echo "ci-extra: installing $packages" >&2
  # shellcheck disable=SC2086
  { $as_root apt-get -qq update && DEBIAN_FRONTEND=noninteractive timeout 240 $as_root apt-get -qq install -y --no-install-recommends $packages; } >&2
}

find_tool "$1" && exit 0
install_tool "$1" && find_tool "$1" && exit 0
echo "ci-extra: $1 is absent and could not be installed" >&2
exit 1
