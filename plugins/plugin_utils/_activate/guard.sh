# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC1091,SC2034,SC2154 # host.sh, job.sh, system.sh and $guard/set set the others
# The guard: takes the host back to what it was unless somebody confirms the new system in time.
# $guard is a directory:
#   set      what it goes back to and when, as assignments      state  see guard_move
#   begun    is there once the activation runs
#   ended, reached, confirmed  when that was, in seconds of uptime
#   ordered  why to go back at once    by  who ordered it, if not the guard    why  why it goes back
#   failed   the units that failed before         sh     the shell that began it
# Times are those of /proc/uptime, which no clock that is set can change.

guard=$state/guard
guard_unit=closure-nixos-guard.service
guard_roots=/nix/var/nix/gcroots/closure-nixos

# guard_arm PROFILE TO RUNS INSTALL CONFIRM CHECK LIMIT ON_FAILURE COMMAND: starts the guard over a
# switch to TO, of which RUNS is activated: itself, or its specialisation. INSTALL is for the boot
# loader once TO is confirmed, or empty when TO is not to boot. CONFIRM, CHECK and LIMIT are in
# seconds. COMMAND is the guard itself.
guard_arm() {
    [ -d /run/systemd/system ] ||
        die "this host does not run systemd, so it cannot go back by itself: switch without confirm_timeout" 69
    case $(guard_state) in armed | confirmed | back) die "$(guard_waits)" 75 ;; esac
    rm -rf "$guard"
    mkdir -p "$guard" "$guard_roots"
    old=$(readlink -f /run/current-system) to=$2 who=$(who_runs)
    recorded=$(readlink -f "$1") || recorded=
    {
        assign old "$old" profile "$1" recorded "$recorded" number "$(generation_of "$1")"
        assign to "$to" runs "$3" install "$4" confirm "$5" check "$6" limit "$7" on_failure "$8"
        assign armed "$(uptime)"
        assign who "$who" run "$(cat "$state/current")"
    } >"$guard/set"
    failed_units >"$guard/failed"
    # What it goes back to must not be collected meanwhile.
    ln -sfn "$old" "$guard_roots/guard-running"
    [ -z "$recorded" ] || ln -sfn "$recorded" "$guard_roots/guard-profile"
    printf '%s\n' "$9" >"$guard/command"
    # As for a job: activation replaces /bin/sh.
    ln -s "$(readlink -f "/proc/$$/exe")" "$guard/sh"
    printf 'armed\n' | write "$guard/state"
    guard_start || die "systemd does not start $guard_unit"
    note unconfirmed task "nobody has confirmed it yet"
}

# It outlives the isolation of emergency.target, which a failed mount brings about, and a lack of
# memory; systemd starts it again when it is killed. A service, because a timer is set anew by each
# reload of systemd.
guard_start() {
    systemd-run --quiet --collect --no-ask-password --service-type=exec --unit="$guard_unit" \
        --setenv=PATH="$(job_path)" --property=Restart=on-failure --property=RestartSec=1 \
        --property=StartLimitIntervalSec=0 --property=OOMScoreAdjust=-1000 \
        --property=IgnoreOnIsolate=yes --property=DefaultDependencies=no \
        --property=Conflicts=shutdown.target --property=Before=shutdown.target \
        "$guard/sh" "$guard/command" || { rm -rf "$guard" && false; }
}

# assign [NAME VALUE]...: prints them as assignments of shell.
assign() {
    while [ $# -gt 0 ]; do
        printf '%s=%s\n' "$1" "$(quote "$2")"
        shift 2
    done
}

who_runs() {
    cat "$state/runs/$(cat "$state/current")"
}

uptime() {
    cut -d . -f 1 /proc/uptime
}

# generation_of PROFILE: the number of its current generation.
generation_of() {
    current=$(readlink "$1") || return 0
    current=${current##*/}
    current=${current#"${1##*/}-"}
    printf '%s\n' "${current%-link}"
}

# guard_state: armed, then confirmed (the boot default is being made) and done, or back (it goes
# back) and returned or lost; nothing where there was no guard since the host booted.
guard_state() {
    cat "$guard/state" 2>/dev/null
}

# guard_move FROM TO: only one of a confirmation and of the way back can leave a state.
guard_move() {
    [ -d "$guard" ] || return
    exec 7>"$guard/lock"
    flock 7
    [ "$(guard_state)" != "$1" ] || printf '%s\n' "$2" | write "$guard/state"
    exec 7>&-
    [ "$(guard_state)" = "$2" ]
}

guard_waits() {
    . "$guard/set"
    printf 'a switch to %s by %s waits for its confirmation (%s)' "$to" "$who" "$guard_unit"
}

# guard_run: is the guard.
guard_run() {
    . "$guard/set"
    while :; do
        case $(guard_state) in
            armed | confirmed) why=$(guard_reason) ;;
            back) why=$(cat "$guard/why") ;; # it was killed on its way
            *) return 0 ;;
        esac
        [ -z "$why" ] || guard_back "$why"
        sleep 1
    done
}

# guard_reason: prints why it is time to go back, if it is.
guard_reason() {
    if [ -e "$guard/ordered" ]; then
        cat "$guard/ordered"
    elif [ "$(guard_state)" = confirmed ]; then
        guard_overdue "$(cat "$guard/confirmed")" "$limit" 'did not become the boot default'
    elif [ ! -e "$guard/begun" ]; then
        guard_overdue "$armed" "$confirm" 'was not activated'
    elif [ -e "$guard/reached" ]; then
        guard_overdue "$(cat "$guard/reached")" "$check" 'was not confirmed'
    elif [ -e "$guard/ended" ]; then
        guard_overdue "$(cat "$guard/ended")" "$confirm" 'was not confirmed'
    elif job_runs "$state/jobs/activation"; then
        guard_overdue "$armed" "$limit" 'was not activated'
    else
        uptime | write "$guard/ended"
    fi
}

# guard_overdue SINCE SECONDS WHAT: prints that it did not happen in that time.
guard_overdue() {
    [ $(($(uptime) - $1)) -lt "$2" ] || printf 'it %s within %s s\n' "$3" "$2"
}

# guard_back WHY: takes the host back.
guard_back() {
    printf '%s\n' "$1" | write "$guard/why"
    guard_move armed back || guard_move confirmed back || guard_move back back || return 0
    outcome=returned
    restore || outcome=lost
    by=$(cat "$guard/by" 2>/dev/null) || by=guard
    if [ "$outcome" = lost ]; then
        note rollback-failed "$by" "$1"
    else
        note rolled-back "$by" "$1"
        # The activation that it has ended is undone.
        [ ! -d "$state/jobs/activation" ] || : >"$state/jobs/activation/acknowledged"
        rm -f "$guard_roots/guard-running" "$guard_roots/guard-profile"
    fi
    guard_move back "$outcome"
    [ "$outcome:$on_failure" != lost:reboot ] || systemctl reboot
}

# restore: boot default, profile and running system, as they were.
restore() {
    stop_activation
    systemctl reset-failed
    restored=0 booted=0
    # The old system may need longer than the new one was given.
    [ "$limit" -ge 600 ] || limit=600
    restore_boot || booted=$?
    # Secrets go back before the old units start, and what cannot must not stop the way back.
    (undo_run) || :
    if [ -e "$guard/begun" ]; then
        timeout "$limit" "$old/bin/switch-to-configuration" test || restored=$?
    fi
    (due_run) || :
    # A failed mount has brought the host to emergency.target. The switch starts a part of what that
    # stopped, which ends the maintenance, and leaves the rest, sshd among it.
    systemctl start --no-block default.target || restored=1
    # 4: it runs, and units of it have failed.
    case $booted:$restored in 0:0 | 0:4) [ "$(readlink -f /run/current-system)" = "$old" ] ;; *) return 1 ;; esac
}

# What systemd itself cannot end is killed.
stop_activation() {
    timeout 20 systemctl stop "$unit" || systemctl kill --signal=KILL "$unit" || :
}

# restore_boot: the profile and the boot loader, where they have been touched.
restore_boot() {
    touched=$(cat "$record/boot-pending" 2>/dev/null) || touched=
    if [ -n "$recorded" ]; then profile_set "$profile" "$recorded" "$number" || return; fi
    [ -n "$touched" ] && [ -n "$recorded" ] || return 0
    # A full /boot, which is why we are here, would refuse the old system as well.
    [ "$(loader_boots)" = "$recorded" ] ||
        timeout "$limit" "$recorded/bin/switch-to-configuration" boot || return
    printf '%s\n' "$recorded" | write "$record/loader-default"
    rm -f "$record/boot-pending"
}

# guarded FUNCTION ARGUMENT...: has the function bring what the guard watches over. The request for
# it may have been on its way for longer than the guard waits.
guarded() {
    [ "$(guard_state)" = armed ] || die 'no guard watches over this activation any more' 75
    : >"$guard/begun"
    "$@"
}

# guard_confirm PATH COMMAND: takes the confirmation of a switch to PATH; COMMAND then makes it the
# boot default.
guard_confirm() {
    . "$guard/set"
    [ "$to" = "$1" ] || die "it waits for the confirmation of another system: $to" 66
    uptime | write "$guard/confirmed"
    guard_move armed confirmed || die "it is too late, the host has gone back: $(cat "$guard/why")" 75
    if [ -n "$install" ]; then
        job_start activation "$unit" 0 "$2"
    else
        guard_done
    fi
}

# commit INSTALL PROFILE PATH: makes a system the one that boots, or leaves what was.
commit() {
    umask 022
    install=$1 profile=$2 recorded=$(readlink -f "$2") number=$(generation_of "$2") limit=600
    [ "$(guard_state)" != confirmed ] || . "$guard/set"
    export NIXOS_INSTALL_BOOTLOADER="$install"
    mkdir -p "$record"
    printf '%s\n' "$3" | write "$record/boot-pending"
    if profile_set "$2" "$3" && step boot "$3"; then
        rm -f "$record/boot-pending" "$record/boot-once"
        guard_done
    else
        committed=$?
        restore_boot || :
        if [ "$(guard_state)" = confirmed ]; then
            printf 'it did not become the boot default (exit code %s)\n' "$committed" | write "$guard/ordered"
        fi
        return "$committed"
    fi
}

guard_done() {
    guard_move confirmed "done" || return 0
    undo_forget
    note confirmed task 'it was confirmed'
    rm -f "$guard_roots/guard-running" "$guard_roots/guard-profile"
}

# guard_reached: somebody came in by a new connection, so that there is time for checks.
guard_reached() {
    [ "$(guard_state)" != armed ] || uptime | write "$guard/reached"
}

# guard_forget: what an earlier trial was for does not count any more.
guard_forget() {
    case $(guard_state) in armed | confirmed | back) ;; *) rm -rf "$guard" ;; esac
}

# guard_order WHY: has the guard go back at once.
guard_order() {
    case $(guard_state) in
        armed)
            printf 'task\n' | write "$guard/by"
            printf '%s\n' "$1" | write "$guard/ordered"
            ;;
        back) ;;
        *) die 'no switch waits for its confirmation on this host' 66 ;;
    esac
}

# noted FUNCTION ARGUMENT... PATH: has the function bring PATH, and remembers what became of it.
noted() {
    case $(guard_state) in
        confirmed)
            # The guard watches, and it notes.
            "$@"
            return
            ;;
    esac
    old=$(readlink -f /run/current-system) who=$(who_runs)
    for to; do :; done
    ended=0 outcome=activated
    ("$@") || ended=$?
    [ "$ended" -eq 0 ] || outcome=failed
    note "$outcome" task "$1 ended with exit code $ended"
    return "$ended"
}

# note OUTCOME BY WHY: what became of the last deployment, for all to read.
note() {
    mkdir -p "$record"
    {
        printf 'outcome=%s\nby=%s\nwhy=%s\nwho=%s\n' "$1" "$2" "$(printf '%s' "$3" | tr '\n' ' ')" "$who"
        printf 'from=%s\nto=%s\ntime=%s\n' "$old" "$to" "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
    } | write "$record/deployment"
    chmod a+rx "$record"
    chmod a+r "$record/deployment"
}

# guard_facts: prints the guard's state, and what became of the last deployment.
guard_facts() {
    printf 'guard=%s\n' "$(guard_state)"
    [ ! -e "$guard/set" ] || (
        . "$guard/set"
        printf 'guard_%s\n' "old=$old" "to=$to" "runs=$runs" "boots=${install:+1}" "who=$who" "run=$run"
    )
    [ ! -e "$guard/why" ] || printf 'guard_why=%s\n' "$(tr '\n' ' ' <"$guard/why")"
    [ ! -e "$guard/failed" ] || sed 's/^failed_unit=/guard_failed=/' "$guard/failed"
    [ ! -r "$record/deployment" ] || sed 's/^/deployment_/' "$record/deployment"
}
