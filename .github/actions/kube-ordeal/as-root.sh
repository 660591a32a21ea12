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
# What bash does not take for a variable (functions that were exported), or keeps to itself, is left out. In POSIX mode
# bash ends at a variable that can't be set.
exec sudo -n bash -c '
    mapfile -d "" -t _kept < "$0"
    rm -f "$0"
    for _each in "${_kept[@]}"; do
        case ${_each%%=*} in
            SUDO_* | POSIXLY_CORRECT | UID | EUID | PPID | BASHOPTS | SHELLOPTS) ;;
            *) export "$_each" 2> /dev/null || true ;;
        esac
    done
    exec "$@"' "$kept" "$@"
