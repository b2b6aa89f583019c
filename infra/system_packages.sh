#!/bin/sh
# Installs the Debian packages given, where they are missing and this user may; else says the line.
set -u
command -v dpkg-query >/dev/null 2>&1 || exit 0 # not Debian: `tracker doctor` says what is missing
missing=""
for package in "$@"; do
    case "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" in
    installed) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0
line="apt-get update && apt-get install --yes --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then
    run=""
elif sudo -n true 2>/dev/null; then
    run="sudo"
else
    echo "these system packages are missing; run this once, then make again:" >&2
    echo "  sudo sh -c '$line'" >&2
    exit 1
fi
echo "installing$missing" >&2
# shellcheck disable=SC2086 # the words of $missing are the packages
$run apt-get update --quiet=2 && $run env DEBIAN_FRONTEND=noninteractive \
    apt-get install --quiet=2 --yes --no-install-recommends $missing >/dev/null && exit 0
echo "that failed; run it by hand, then make again: $line" >&2
exit 1
