#!/bin/sh
# What every change of content must pass: ci/check.sh [REF]
#
# With REF (a commit or branch) only what differs from it is looked at; without, everything of ours. EVENTS may
# name a file or folder of recorded events to match the rules against. The results are in report.xml (JUnit).
set -eu
cd "$(dirname "$0")/.."

status=0
run() {
    echo "+ $*"
    "$@" || status=1
}

some() { [ -n "$(find "$1" -name '*.yml' -print -quit 2>/dev/null)" ]; }

if some collectors; then
    run soc collector lint collectors
    run soc collector test collectors
fi
if some playbooks; then
    run soc playbook lint playbooks
fi

set -- ${1:+--changed-since "$1"} --junit report.xml
if [ -n "${EVENTS:-}" ]; then
    set -- "$@" --events "$EVENTS"
fi
run soc rule check "$@"

exit "$status"
