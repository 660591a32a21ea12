#!/usr/bin/env bash
# A command as root: faults enter the network namespaces of nodes. The environment stays: HOME, so that cache and state
# are this user's, and whatever a job has set (proxies, credentials). sudo drops it, and words of a command can be read
# by all of a machine, so it goes through a file that only this user and root can read.
set -euo pipefail
if [ "$(id -u)" = 0 ]; then
    exec "$@"
fi
sudo -n true || {
    echo "kube-ordeal needs root for faults, and sudo asks for a password here" >&2
    exit 1
}
kept=$(umask 077 && mktemp "${RUNNER_TEMP:-${TMPDIR:-/tmp}}/kube-ordeal-env-XXXXXX")
env -0 > "$kept"
# What bash does not take for a variable (functions that were exported), or keeps to itself, is left out.
exec sudo -n bash -c '
    while IFS= read -r -d "" each; do
        case $each in SUDO_*) ;; *) export "$each" 2> /dev/null || true ;; esac
    done < "$0"
    rm -f "$0"
    exec "$@"' "$kept" "$@"
