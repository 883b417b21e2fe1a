# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2154 # host.sh sets $state
# Long commands that no connection holds. A job is a directory:
#   command  what runs          out, err  what it printed, by way of the pipes out.pipe and err.pipe
#   unit     its systemd unit, or empty      group       its processes
#   alive    locked while it runs
#   lease    changed by who wants the job to go on        status  how it ended
#   room     what the status takes, so that a full host can say it
#   sh       the shell that began it
# The status is three words: systemd's SERVICE_RESULT, EXIT_CODE and EXIT_STATUS.

# job_start NAME UNIT LEASE COMMAND: starts COMMAND detached: as a unit of systemd when UNIT is
# given and we may ask systemd for one, else in a session of its own. With a LEASE in seconds the
# job ends itself when nobody has asked after it for that long. What came with the call (`taking`) is its
# own, and it has to remove that.
job_start() {
    job="$state/jobs/$1" unit=$2
    { [ -d /run/systemd/system ] && [ "$uid" -eq 0 ]; } || unit=
    if job_runs "$job"; then die "$1 is already running on this host" 75; fi
    rm -rf "$job"
    # Machines that went down have left them. Each poll of a job that goes on changes its directory.
    if [ -d "$state/jobs" ]; then
        find "$state/jobs" -mindepth 1 -maxdepth 1 ! -name activation -mtime +0 -exec rm -rf {} +
        keep_newest "$state/jobs"
    fi
    limit=$(job_limit "$3") || exit
    job_files "$job" "$4" "$unit" || {
        rm -rf "$job"
        die "cannot write $job on this host: make room there and run the task again" 75
    }
    [ -z "${TAKEN-}" ] || : >"$TAKEN/given" || exit
    if [ -n "$unit" ]; then job_unit "$job" "$unit" "$3" "$limit"; else job_session "$job" "$3" "$limit"; fi
}

# job_files JOB COMMAND UNIT: writes what a job consists of. /bin/sh may be broken or about to change.
# Named sh, the shell that runs us behaves as one.
job_files() {
    mkdir -p "$1" && printf '%256s\n' '' >"$1/room" && write "$1/command" "$2" &&
        printf '%s\n' "$3" >"$1/unit" &&
        printf 'start\n' >"$1/lease" && job_wrapper "$1" >"$1/wrapper" &&
        : >"$1/alive" && mkfifo "$1/out.pipe" "$1/err.pipe" && ln -s "$(readlink -f "/proc/$$/exe")" "$1/sh"
}

# job_limit LEASE: prints how many bytes each output of a job may have: what prints in a loop must not
# fill the host. A build, which has a lease, says more than an activation.
job_limit() {
    allowed=$((4 * mebibyte))
    [ "$1" -eq 0 ] || allowed=$((64 * mebibyte))
    quarter=$(room "$state")
    quarter=$((${quarter:-0} / 4))
    [ "$quarter" -ge 65536 ] ||
        die "$state on this host has $((quarter / 256)) KiB left, and a job needs 256: make room there" 75
    [ "$allowed" -le "$quarter" ] || allowed=$quarter
    echo "$allowed"
}

# A switch replaces /bin/sh and what PATH leads to. The job keeps what it began with.
job_path() (
    set -f
    IFS=:
    leads=
    for directory in $PATH; do
        directory=$(resolve "$directory")
        leads=$leads${directory:+${leads:+:}$directory}
    done
    printf '%s\n' "$leads"
)

# job_unit JOB UNIT LEASE LIMIT: runs it as a unit of systemd.
job_unit() {
    systemd-run --quiet --collect --no-ask-password --service-type=exec --unit="$2" \
        --setenv=PATH="$(job_path)" --property=ExecStopPost="$1/sh $1/wrapper ended" \
        "$1/sh" "$1/wrapper" run "$1/sh" "$3" "$4"
}

# job_session JOB LEASE LIMIT: runs it in a session of its own.
job_session() {
    command -v setsid >/dev/null || die "setsid is not on this host's PATH: install util-linux there"
    exec 8>"$1/alive"
    flock 8
    (
        trap '' HUP
        setsid "$1/sh" "$1/wrapper" run "$1/sh" "$2" "$3" 8>&-
        EXIT_STATUS=$? SERVICE_RESULT=success EXIT_CODE=exited "$1/sh" "$1/wrapper" ended
    ) </dev/null >/dev/null 2>&1 &
    exec 8>&-
}

# job_wrapper JOB: what runs the command and, with a lease, has somebody watch whether it is renewed, who
# counts its own seconds, so that neither a changed clock nor a suspended machine ends a job. It takes the
# two outputs from pipes, because a limit of the command's own would hold for all files that it writes;
# cat, unlike head, writes at once what it has read.
job_wrapper() {
    printf 'job=%s\n' "$(quote "$1")"
    cat <<'WRAPPER'
if [ "$1" = ended ]; then
    # Nobody comes for it.
    [ ! -e "$job/left" ] || exec rm -rf "$job"
    # The next run reads what an activation was. In the words of others there may be a token.
    case $job in */activation) ;; *) rm -f "$job/command" "$job"/secret-* ;; esac
    # A shell says 128 + N of what signal N killed.
    if [ "$EXIT_CODE" = exited ] && [ "$EXIT_STATUS" -gt 128 ]; then
        SERVICE_RESULT=signal EXIT_CODE=killed EXIT_STATUS=$((EXIT_STATUS - 128))
    fi
    rm -f "$job/room"
    # An empty status would be one.
    printf '%s %s %s\n' "$SERVICE_RESULT" "$EXIT_CODE" "$EXIT_STATUS" >"$job/status.new" &&
        exec mv -f "$job/status.new" "$job/status"
    exit 74
fi

# capped NAME BYTES: keeps that much of an output, and the end of what is more.
capped() {
    trap '' TERM
    exec <"$job/$1.pipe" >>"$job/$1" 2>/dev/null
    (ulimit -f $(($2 / 512)) && trap '' XFSZ && exec cat) || tail -c 65536 | sed '1s/^/\
[The host has left out what was printed here.]\
/'; }

# watch PID SECONDS: ends the group when the lease was not renewed for that long, while PID runs.
watch() {
    idle=0 last=
    while kill -0 "$1" 2>/dev/null; do
        read -r now <"$job/lease"
        if [ "$now" != "$last" ]; then last=$now idle=0; else idle=$((idle + 1)); fi
        if [ "$idle" -ge "$2" ]; then
            : >"$job/left"
            trap '' TERM
            kill -TERM 0
            return
        fi
        sleep 1
    done; }

cd /
# Where there is no unit, who has begun us holds it.
read -r unit <"$job/unit"
[ -z "$unit" ] || { exec 8<"$job/alive" && flock 8; }
printf '%s\n' "$$" >"$job/group"
trap : TERM # the command may need a while to end
# The lock is ours alone.
capped out "$4" 8<&- &
out=$!
capped err "$4" 8<&- &
err=$!
"$2" "$job/command" </dev/null >"$job/out.pipe" 2>"$job/err.pipe" 8<&- &
pid=$!
[ "$3" -eq 0 ] || watch "$pid" "$3" 8<&- &
wait "$pid"
status=$?
# A signal to us ends a wait.
while kill -0 "$pid" 2>/dev/null; do
    [ ! -e "$job/left" ] || exit 124
    wait "$pid"
    status=$?
done
# What the command has left running may go on to hold its outputs.
left=250
while [ "$left" -gt 0 ] && { kill -0 "$out" || kill -0 "$err"; } 2>/dev/null; do
    sleep 0.02
    left=$((left - 1))
done
exit "$status"
WRAPPER
}

# job_runs JOB: is it there and not ended? A unit writes its status before it is gone. A lock ends
# with its holder and with the machine, where a process number would name somebody else.
job_runs() {
    [ -d "$1" ] && [ ! -e "$1/status" ] || return 1
    if job_holds "$1" -n; then return 0; fi
    running=$(line_of "$1/unit")
    [ -n "$running" ] || return 1
    # It has just begun, or is about to write how it ended.
    case $(systemctl is-active "$running" 2>/dev/null) in
        inactive | failed) return 1 ;;
        # systemctl refuses for a moment while systemd re-executes itself.
        *) return 0 ;;
    esac
}

# job_holds JOB WORD...: does it hold its lock? The words say to flock how long to wait for that to end.
job_holds() {
    held="$1/alive" free=0
    shift
    flock -s "$@" "$held" true 2>/dev/null || free=$?
    # flock has other words for what it cannot open.
    [ "$free" -eq 1 ]
}

# job_poll NAME TOKEN WAIT HEARD: renews the lease, waits up to WAIT tenths of a second for the end or for
# output beyond what was HEARD, two numbers of bytes, and then two seconds for more of it, so that a
# talkative job costs no more than one call in that time. Then prints the job's state, the sizes of its
# two outputs from there on, and those bytes.
job_poll() {
    job="$state/jobs/$1" left=$3 heard_out=${4% *} heard_err=${4#* }
    [ -d "$job" ] || die "there is no job $1 on this host, as after a reboot, or when nobody has asked after it for long: run the task again" 66
    # In its place, which takes no room: it has to be renewed on a full host, too.
    printf '%s\n' "$2" 1<>"$job/lease" || die "cannot write $job/lease on this host" 75
    while [ "$left" -gt 0 ] && [ ! -e "$job/status" ]; do
        if job_holds "$job" -w 1; then
            left=$((left - 10))
            [ "$left" -le 20 ] || ! job_news "$job" "$heard_out" "$heard_err" || left=20
        else
            # It says how it ended, or has died without a word.
            left=$((left - 1))
            sleep 0.05
            job_runs "$job" || break
        fi
    done
    condition=running
    if ! job_runs "$job"; then condition=$(line_of "$job/status") || condition=gone; fi
    out=$(new "$job/out" "$heard_out") err=$(new "$job/err" "$heard_err")
    # A job has ended for us when we have all of its output.
    if [ "$out" -eq "$mebibyte" ] || [ "$err" -eq "$mebibyte" ]; then condition=running; fi
    printf '%s\n%s %s\n' "$condition" "$out" "$err"
    slice "$job/out" "$heard_out" "$out"
    slice "$job/err" "$heard_err" "$err"
}

# job_end NAME TOKEN WAIT HEARD FUNCTION ARGUMENT...: as job_poll, and once the job has ended, what the
# function prints, unless it fails.
job_end() {
    job_poll "$1" "$2" "$3" "$4" || return
    ended_job="$state/jobs/$1"
    shift 4
    # Of one that has just ended, or has more to say, the next poll tells.
    if ! job_runs "$ended_job" && after=$("$@" 2>/dev/null); then printf '%s\n' "$after"; fi
}

# job_news JOB OUT ERR: has it printed more than so many bytes?
job_news() {
    [ $(($(new "$1/out" "$2") + $(new "$1/err" "$3"))) -gt 0 ]
}

mebibyte=1048576

# new FILE OFFSET: how many bytes there are from there on; at most a mebibyte at a time.
new() {
    count=0
    [ ! -s "$1" ] || count=$(($(wc -c <"$1") - $2))
    [ "$count" -le "$mebibyte" ] || count=$mebibyte
    echo "$count"
}

# slice FILE OFFSET COUNT: prints those bytes of it.
slice() {
    [ "$3" -le 0 ] || tail -c "+$(($2 + 1))" "$1" | head -c "$3"
}

# job_stop NAME: ends the job and all it started, as systemd would: politely for 5 s.
job_stop() {
    job="$state/jobs/$1"
    job_runs "$job" || return 0
    unit=$(line_of "$job/unit")
    if [ -n "$unit" ]; then
        systemctl stop "$unit"
        return
    fi
    left=25
    while job_runs "$job" && [ "$left" -gt 0 ]; do
        kill -TERM "-$(cat "$job/group")" || : # not yet written: it has just begun
        sleep 0.2
        left=$((left - 1))
    done
    if job_runs "$job"; then kill -KILL "-$(cat "$job/group")"; fi
}

# job_forget NAME: removes what is kept of a job that has ended.
job_forget() {
    job_runs "$state/jobs/$1" || rm -rf "$state/jobs/$1"
}
