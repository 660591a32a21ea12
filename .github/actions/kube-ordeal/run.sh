#!/usr/bin/env bash
# Sets the machine up, runs the gate (with FROM) or the suites alone, and puts a summary on the job's page.
# Exit code: 0 no worse, or safe; 1 regressed, or not safe; 2 can't tell, or an error that a user can mend.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
export PATH="${KUBE_ORDEAL_BIN:-$root/.venv/bin}:$PATH"

work=$(mktemp -d "$RUNNER_TEMP/kube-ordeal-XXXXXX")
results=$work/results
summary=$results/summary.md
log=$results/log.txt
mkdir "$results"
echo "results=$results" >> "$GITHUB_OUTPUT"
# Of a cluster that is not made for the job it is kept where that is asked for.
[ -n "$EVIDENCE" ] || [ "$CLUSTER" = existing ] || EVIDENCE=true
kept="Results and histories"
[ "$EVIDENCE" != true ] || kept="Results, report.html, histories and evidence"
echo "evidence=$EVIDENCE" >> "$GITHUB_OUTPUT"

# A command as root, its words in the log too. A job that is cancelled sends a signal to this script alone: it is handed
# on once, and then waited for, since faults and clusters are taken back.
set -m
run() {
    local child reader handed_on="" code=0
    mkfifo "$work/words"
    tee -i -a "$log" < "$work/words" &
    reader=$!
    "$here/as-root.sh" "$@" > "$work/words" 2>&1 &
    child=$!
    # Of two signals at once both are pending when the first one's trap begins, so that ignoring the other is not enough.
    trap 'trap "" INT TERM; [ -n "$handed_on" ] || { handed_on=1; "$here/as-root.sh" kill -INT "$child"; }' INT TERM
    until wait "$child"; do
        code=$?
        [ -d "/proc/$child" ] || break # else the wait was broken off by the signal
    done
    trap - INT TERM
    wait "$reader" || true
    rm "$work/words"
    return "$code"
}

versions=() tested=() for_suites=(--ordeal-cluster "$CLUSTER" --ordeal-profile "$PROFILE")
for version in "$FROM" "$TO"; do
    [ -z "$version" ] || versions+=(--kubernetes "$version") tested+=(--ordeal-kubernetes "$version")
done
# Side by side as far as the runner's cores and memory allow; not in the gate, which compares figures.
[ -n "$FROM" ] || [ "$CLUSTER" = existing ] || for_suites+=(-n auto)
read -r -a more <<< "$ARGUMENTS"
for_suites+=("${more[@]}")

code=0
if [ -n "$FROM" ] && [ -z "$TO" ]; then
    echo "from is $FROM, and to is empty: say which version is to be as good" | tee -a "$log"
    code=2
elif [ "$CLUSTER" != existing ]; then
    run kube-ordeal setup --yes "${versions[@]}" --for "${CLUSTER/auto/all}" || code=2
fi
if [ "$code" != 0 ]; then
    : # the log says why
elif [ -n "$FROM" ]; then
    run kube-ordeal gate --from "$FROM" --to "$TO" --repeat "$REPEAT" --results "$results" --markdown "$summary" \
        ${ALLOW:+--allow "$ALLOW"} ${SELECT:+-k "$SELECT"} -- "${for_suites[@]}" || code=$?
else
    run pytest "$root/suites" --ordeal-results "$results" "${tested[@]}" ${SELECT:+-k "$SELECT"} "${for_suites[@]}" ||
        code=$?
    if [ -e "$results/latest" ]; then
        # pytest ends with 1 where something failed; whether that is a promise or something unknown is in the results.
        answered=0
        run kube-ordeal report --results "$results" --markdown "$summary" --exit-code || answered=$?
        [ "$code" -gt 1 ] || code=$answered
    fi
fi
[ "$code" -le 1 ] || code=2

# The command hands back what it made in this user's folders; the words of a log are this script's.
"$here/as-root.sh" chown -R "$(id -u):$(id -g)" "$work" 2> /dev/null || true
if [ -s "$summary" ]; then
    echo "answer=$(sed -n '1s/^## kube-ordeal: //p' "$summary")" >> "$GITHUB_OUTPUT"
    # A job page takes 1 MiB, and nothing of more.
    head -c 900000 "$summary" >> "$GITHUB_STEP_SUMMARY"
else
    printf '## kube-ordeal: nothing to judge\n\nThe last lines of the log:\n\n' >> "$GITHUB_STEP_SUMMARY"
    tail -n 20 "$log" | cut -c 1-500 | sed 's/^/    /' >> "$GITHUB_STEP_SUMMARY"
fi
printf '\n\n%s are in the artifact %s.\n' "$kept" "$ARTIFACT" >> "$GITHUB_STEP_SUMMARY"
echo "exit-code=$code" >> "$GITHUB_OUTPUT"
exit "$code"
