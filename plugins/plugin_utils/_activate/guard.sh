# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh disable=SC2034,SC2154 # host.sh, job.sh, system.sh set the others
# The guard: rolls the host back to what it was unless somebody confirms the new system in time.
# $guard is a directory:
#   state.NAME  its state, which is the file's name; to leave it is to rename the file
#   set/        what it was armed with, a file for each word of guard_arm and guard_files
#   units       what units were before                  sh   the shell that began it
#   failed      those that had failed
#   blank/      files with room in them, each renamed to its place when it is written:
#     begun     the activation runs                     why  why it rolls back
#     ended, reached, confirmed  when that was, in seconds of uptime
#     came      the same as reached, in hundredths
#     ordered   why to roll back at once                by   who ordered it, if not the guard
#   reserve     room for the way back
# So a guard that is armed needs no room any more. Times are those of /proc/uptime, which no clock that
# is set can change.

guard=$state/guard
guard_unit=closure-nixos-guard.service
# What guard_due sets.
due_within='' due_in='' due_what=''
guard_roots=/nix/var/nix/gcroots/closure-nixos

# guard_arm WORD...: starts the guard over a switch. Each word is NAME=VALUE. The names are profile; to,
# the system that is switched to, and runs, what of it is activated, itself or its specialisation;
# install for the boot loader once it is confirmed, empty when it is not to boot; skip, 1 to ask no
# pre-switch checks then; confirm, check and
# limit, in seconds; on_failure; attended, who looks after it; command, the guard itself.
guard_arm() {
    [ -d /run/systemd/system ] ||
        die "this host does not run systemd, so it cannot roll back by itself: switch without confirm_timeout" 69
    case $(guard_state) in armed | confirmed | back) die "$(guard_waits)" 75 ;; esac
    guard_clear
    guard_room
    guard_files "$@" || {
        remove "$guard"
        die "cannot write $guard and $guard_roots on this host, so nothing was activated: make room there" 75
    }
    guard_start || {
        remove "$guard"
        die "systemd does not start $guard_unit, so nothing was activated" 75
    }
    guard_note unconfirmed task 'nobody has confirmed it yet'
}

# guarded_start UNIT COMMAND WORD...: arms the guard as guard_arm does, and starts the activation under it.
guarded_start() {
    activation_unit=$1 activation_command=$2
    shift 2
    guard_arm "$@"
    job_start activation "$activation_unit" 0 "$activation_command"
}

# Systemd reloads nothing with less than 16 MiB free in /run (its RELOAD_DISK_SPACE_MIN), so that is what
# the way back needs, and the way there as well; the rest is for what the activation prints.
reserve_kib=17408
guard_kib=$((2 * reserve_kib + 8192)) guard_inodes=128

# guard_room: refuses a host without room for a guard: it could not roll back.
guard_room() {
    kib=$(room "$state")
    kib=$((${kib:-0} / 1024))
    # A file system that makes inodes when it needs them says that it has none at all.
    inodes=$(stat -f -c '%c %d' "$state" | awk '{ print $1 ? $2 : 1000000 }')
    if [ "$kib" -lt "$guard_kib" ] || [ "$inodes" -lt "$guard_inodes" ]; then
        die "$state on this host has $kib KiB and $inodes inodes left, and a trial needs $guard_kib and $guard_inodes: nothing was activated, make room there" 75
    fi
    # What its confirmation notes there, and what became of it.
    { head -c 16384 /dev/zero | remember room; } 2>/dev/null ||
        die "cannot write $record on this host, so nothing was activated: make room there" 75
    remove "$record/room"
}

# guard_files WORD...: writes what the guard consists of.
guard_files() {
    mkdir -p "$guard/set" "$guard/blank" "$guard_roots" || return
    for word in "$@"; do
        printf '%s\n' "${word#*=}" >"$guard/set/${word%%=*}" || return
    done
    old=$(resolve /run/current-system)
    printf '%s\n' "$old" >"$guard/set/old" && uptime >"$guard/set/armed" && who_runs >"$guard/set/who" &&
        line_of "$state/current" >"$guard/set/run" && units_listed >"$guard/units" &&
        failed_in "$guard/units" >"$guard/failed" || return
    boot_before "$guard/set" "$(guard_set profile)" "$(guard_set to)" || return
    # What it rolls back to must not be collected meanwhile.
    ln -sfn "$old" "$guard_roots/guard-running" || return
    recorded=$(guard_set recorded)
    [ -z "$recorded" ] || ln -sfn "$recorded" "$guard_roots/guard-profile" || return
    for name in begun ended came reached confirmed ordered by why; do
        printf '%256s\n' '' >"$guard/blank/$name" || return
    done
    # As for a job: activation replaces /bin/sh.
    guard_reserve && ln -s "$(readlink -f "/proc/$$/exe")" "$guard/sh" && : >"$guard/state.armed"
}

# guard_reserve: not every file system has room reserved without writing it.
guard_reserve() {
    fallocate -l "$((reserve_kib * 1024))" "$guard/reserve" 2>/dev/null ||
        head -c "$((reserve_kib * 1024))" /dev/zero >"$guard/reserve"
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
        --property=ExecStopPost="$guard/sh $guard/set/command" "$guard/sh" "$guard/set/command"
}

who_runs() {
    line_of "$state/runs/$(line_of "$state/current")"
}

uptime() {
    read -r up_for _ </proc/uptime
    printf '%s\n' "${up_for%.*}"
}

# guard_set NAME: prints what the guard was armed with.
guard_set() {
    line_of "$guard/set/$1"
}

# guard_mark NAME TEXT: writes a line without needing room.
guard_mark() {
    mark="$guard/blank/$1"
    [ -e "$mark" ] || mark="$guard/$1"
    printf '%.3000s\n' "$(one_line "$2")" 1<>"$mark" || return
    [ "$mark" = "$guard/$1" ] || mv -f "$mark" "$guard/$1"
}

# guard_read NAME: prints what guard_mark wrote.
guard_read() {
    [ ! -e "$guard/$1" ] || line_of "$guard/$1"
}

# guard_at: prints the guard's state: armed; then confirmed (the boot default is being made) and done,
# or back (it rolls back) and returned or lost. Or nothing was activated (void), somebody else has
# switched the host (overtaken), or somebody has ended the guard by hand (ended). In the order in which
# they follow each other, so that none is missed that changes meanwhile.
guard_at() {
    for at in armed confirmed back 'done' returned lost void overtaken ended; do
        [ ! -e "$guard/state.$at" ] || {
            printf '%s\n' "$at"
            return
        }
    done
}

# guard_state: the state as it counts: what waits without its unit does not.
guard_state() {
    first=$(guard_at)
    case $first in
        armed | confirmed | back)
            # systemctl refuses for a moment while systemd executes itself anew.
            case $(systemctl is-active "$guard_unit" 2>/dev/null) in
                inactive | failed) [ "$(guard_at)" != "$first" ] || first=ended ;;
            esac
            ;;
    esac
    [ "$first" = ended ] || first=$(guard_at)
    printf '%s\n' "$first"
}

# guard_move FROM TO: only one of all who want to leave a state can.
guard_move() {
    mv "$guard/state.$1" "$guard/state.$2" 2>/dev/null || [ -e "$guard/state.$2" ]
}

# guard_waits: says what the guard watches over.
guard_waits() {
    printf 'a switch to %s by %s waits for its confirmation (%s)' \
        "$(guard_set to)" "$(guard_set who)" "$guard_unit"
}

# guard_run: is the guard. Systemd calls it once more when the guard has ended, and says how it did.
guard_run() {
    if [ -n "${SERVICE_RESULT-}" ]; then
        guard_ended "$SERVICE_RESULT"
        return
    fi
    while :; do
        case $(guard_at) in
            armed | confirmed) guard_look ;;
            back) guard_back "$(guard_read why)" ;; # it was killed on its way
            *) return 0 ;;
        esac
        sleep 1
    done
}

# guard_ended RESULT: what waits is left to itself when somebody ends the guard by hand, unless the host
# shuts down.
guard_ended() {
    [ "$1" = success ] && [ "$(systemctl is-system-running)" != stopping ] || return 0
    at=$(guard_at)
    case $at in armed | confirmed | back) ;; *) return 0 ;; esac
    guard_move "$at" ended
    # The new system runs on, with its secrets.
    undo_forget
    guard_note unconfirmed hand "somebody has ended $guard_unit, so that nothing rolls the host back before it reboots"
}

# guard_look: does what is due.
guard_look() {
    other=$(guard_other)
    if [ -n "$other" ]; then
        guard_overtaken "$other"
    elif guard_refused; then
        guard_void "$refused"
    else
        why=$(guard_reason)
        [ -z "$why" ] || guard_back "$why"
    fi
}

refused='the switch was refused, and nothing was activated'

# guard_void WHY: ends a trial of which nothing was activated. Secrets may have come before it.
guard_void() {
    [ -e "$guard/state.armed" ] || return 0
    guard_secrets
    guard_move armed void || return 0
    guard_note failed task "$1"
    guard_release
}

# guard_secrets: what a trial that is over has replaced is put back, and what cannot be stops nothing.
guard_secrets() {
    (undo_run) || :
    (due_run) || :
}

# guard_heard: gives the guard the moment that it needs to see that nothing was activated.
guard_heard() {
    left=50
    while [ "$left" -gt 0 ] && [ "$(guard_state)" = armed ] && guard_refused; do
        sleep 0.2
        left=$((left - 1))
    done
}

# guard_other: prints the system that somebody else has switched the host to, if somebody has.
guard_other() {
    read_line "$guard/set/old" && other_running=$(resolve /run/current-system) || return 0
    [ "$other_running" != "$first_line" ] || return 0
    case $other_running in
        "$(guard_set to)" | "$(resolve "$(guard_set runs)")") ;;
        *) printf '%s\n' "$other_running" ;;
    esac
}

# guard_overtaken PATH: somebody else's switch ends the trial, and what is theirs stays. The secrets are
# ours: whoever switched the host began with the old ones, and only the new ones can be put once more.
guard_overtaken() {
    guard_move armed overtaken || guard_move confirmed overtaken || guard_move back overtaken || return
    guard_mark why "somebody has switched the host to $1 meanwhile"
    guard_note overtaken hand "$(guard_read why)"
    guard_secrets
    guard_release
}

# guard_release: lets the garbage collector have what nothing is rolled back to any more.
guard_release() {
    remove "$guard_roots/guard-running" "$guard_roots/guard-profile"
}

# guard_reason: prints why it is time to roll back, if it is.
guard_reason() {
    if [ -e "$guard/ordered" ]; then
        guard_read ordered
        return
    fi
    if [ -e "$guard/begun" ] && [ ! -e "$guard/ended" ] && guard_asks && ! job_runs "$state/jobs/activation"; then
        guard_mark ended "$(uptime)"
    fi
    guard_due
    [ "$due_in" -gt 0 ] || printf 'it %s within %s s\n' "$due_what" "$due_within"
}

# guard_asks: is it time to ask whether the activation runs? To ask is a process, so what has died without
# a word may be seen later.
guard_asks() {
    [ -e "$state/jobs/activation/status" ] || [ $(($(uptime) % 5)) -eq 0 ]
}

# guard_due: sets due_within, the seconds that the guard waits, due_in, those that are left, and due_what, what for.
guard_due() {
    if [ -e "$guard/confirmed" ] && [ ! -e "$guard/state.armed" ]; then
        due_since "$guard/confirmed" limit 'did not become the boot default'
    elif [ ! -e "$guard/begun" ]; then
        due_since "$guard/set/armed" confirm 'was not activated'
    elif [ -e "$guard/reached" ]; then
        due_since "$guard/reached" check 'was not confirmed'
    elif [ -e "$guard/ended" ]; then
        due_since "$guard/ended" confirm 'was not confirmed'
    else
        due_since "$guard/set/armed" limit 'was not activated'
    fi
}

# due_since FILE LIMIT WHAT: sets them, by when it began and the name of a number that the guard was armed with.
due_since() {
    read_line "$guard/set/$2" || :
    due_within=$first_line due_what=$3
    read_line "$1" || :
    read -r up_for _ </proc/uptime
    due_in=$((first_line + due_within - ${up_for%.*}))
}

# guard_back WHY: rolls the host back, with or without room to say so.
guard_back() {
    if guard_refused; then
        guard_void "$refused"
        return
    fi
    remove "$guard/reserve"
    guard_mark why "${1:-it was interrupted}"
    guard_move armed back || guard_move confirmed back || guard_move back back || return 0
    restored=0
    restore || restored=$?
    by=$(guard_read by)
    case $restored in
        0)
            guard_move back returned
            guard_note rolled-back "${by:-guard}" "$(guard_read why)"
            # The activation that it has ended is undone.
            [ ! -d "$state/jobs/activation" ] || : >"$state/jobs/activation/acknowledged"
            guard_release
            ;;
        "$theirs") guard_overtaken "$(guard_other)" ;;
        *) guard_lost "$restored" "${by:-guard}" ;;
    esac
}

# guard_lost HOW BY: the host could not be rolled back as a whole. It reboots only if that helps.
guard_lost() {
    if [ "$1" = "$not_whole" ] && [ "$(guard_set on_failure)" = reboot ]; then
        guard_mark why "$(guard_read why), and it does not run whole, so the host reboots to start it"
        guard_move back lost
        guard_note rollback-failed "$2" "$(guard_read why)"
        systemctl reboot
    else
        guard_move back lost
        guard_note rollback-failed "$2" "$(guard_read why)"
    fi
}

# What restore may end with, beside 0: the boot default, or the running system is not as it was; or
# somebody else has switched the host.
not_booted=1 not_whole=2 theirs=3

# restore: boot default, profile and running system, each as it was, if it is not somebody else's.
restore() {
    stop_activation
    guard_spare
    systemctl reset-failed || :
    booted=0 ran=0
    restore_boot "$guard/set" || booted=$?
    # Secrets roll back before the old units start, and what cannot must not stop the rest.
    (undo_run) || :
    [ ! -e "$guard/begun" ] || restore_running || ran=$?
    (due_run) || :
    # A failed mount has brought the host to emergency.target. The switch starts a part of what that
    # stopped, which ends the maintenance, and leaves the rest, sshd among it.
    systemctl start --no-block default.target || :
    [ "$ran" -eq 0 ] || return "$ran"
    [ "$booted" -eq 0 ] || return "$not_booted"
}

# stop_activation: ends ours; what systemd itself cannot end is killed. Another's may have its name.
stop_activation() {
    job_runs "$state/jobs/activation" || return 0
    timeout 20 systemctl stop "$unit" || systemctl kill --signal=KILL "$unit" || :
}

# guard_refused: has the switch ended before it did anything?
guard_refused() {
    [ -e "$guard/begun" ] && [ -e "$guard/state.armed" ] &&
        [ -e "$state/jobs/activation/status" ] &&
        [ "$(resolve /run/current-system)" = "$(guard_set old)" ] &&
        grep -Eqs ' exited (1|11|100)$' "$state/jobs/activation/status" &&
        ! grep -Eqs '^(stopping|activating|restarting|reloading|starting) ' "$state/jobs/activation/err"
}

# guard_spare: has room on the way back, if need be that of what the activation has printed.
guard_spare() {
    spare=$(room "$state")
    if [ "$((${spare:-0} / 1024))" -lt "$reserve_kib" ] && [ -d "$state/jobs/activation" ]; then
        : >"$state/jobs/activation/out"
        : >"$state/jobs/activation/err"
    fi
}

# restore_running: activates the old system.
restore_running() {
    stopped=0
    back_step "$(guard_set old)" test || stopped=$?
    [ -z "$(guard_other)" ] || return "$theirs"
    [ "$(resolve /run/current-system)" = "$(guard_set old)" ] || return "$not_whole"
    # 4: it runs, and units of it have failed. 2 and 3: a part of its own activation fails, as it may
    # have done before.
    case $stopped in
        0 | 4) ;;
        2 | 3) ! states_of '' | failed_in - | grep -qvxFf "$guard/failed" || return "$not_whole" ;;
        *) return "$not_whole" ;;
    esac
}

# back_step SYSTEM ACTION: has a system do it, whatever its checks say: it has run before. It waits for
# a switch that shuts it out, for as long as it may take, and that is longer than the new one was given.
back_step() {
    allowed=$(guard_set limit)
    [ "${allowed:-0}" -ge 600 ] || allowed=600
    begun_at=$(uptime)
    while :; do
        step_end=0
        for_all env NIXOS_NO_CHECK=1 timeout "$allowed" "$1/bin/switch-to-configuration" "$2" || step_end=$?
        [ "$step_end" -eq 11 ] || return "$step_end"
        holder=$(lock_holder)
        if [ $(($(uptime) - begun_at)) -ge "$allowed" ]; then
            guard_mark why "$(guard_read why), and ${holder:-another switch} shuts it out"
            return 11
        fi
        [ -z "$(guard_other)" ] || return 11
        printf 'waits for %s\n' "${holder:-another switch}" >&2
        sleep 2
    done
}

# boot_before DIRECTORY PROFILE TO: notes there what boots and what is recorded before TO does.
boot_before() {
    mkdir -p "$1" || return
    noted_path=$(resolve "$2")
    noted_loader=$(loader_boots)
    [ -n "$noted_loader" ] || noted_loader=$(line_of "$record/loader-default")
    printf '%s\n' "$2" >"$1/profile" && printf '%s\n' "$3" >"$1/to" &&
        printf '%s\n' "$noted_path" >"$1/recorded" && generation_of "$2" >"$1/number" &&
        printf '%s\n' "${noted_loader:-$noted_path}" >"$1/loader" &&
        newest_generation "$2" >"$1/newest"
}

# newest_generation PROFILE: prints the highest number, 0 without any.
newest_generation() {
    generations "$1" | awk 'NF == 4 && $1 + 0 > newest { newest = $1 } END { print newest + 0 }'
}

# restore_boot DIRECTORY: what boot_before noted: the profile, and the loader's default, where they are
# what the switch to TO has made of them. Another's stay.
restore_boot() {
    profile=$(line_of "$1/profile") recorded=$(line_of "$1/recorded")
    wanted=$(line_of "$1/to") loader=$(line_of "$1/loader")
    [ -n "$recorded" ] || return 0
    if [ "$recorded" != "$wanted" ] && [ "$(resolve "$profile")" = "$wanted" ]; then
        made=$(generation_of "$profile")
        profile_set "$profile" "$recorded" "$(line_of "$1/number")" || return
        # What was never confirmed is no generation to roll back to.
        [ "$made" -le "$(line_of "$1/newest")" ] || generation_forget "$profile" "$made"
    fi
    [ "$(line_of "$record/boot-pending")" = "$wanted" ] || return 0
    case $(loader_boots) in
        # A full /boot, which is why we are here, would refuse the old system as well.
        "$loader") ;;
        '' | "$wanted") back_step "$loader" boot || return ;;
        *) loader= ;;
    esac
    [ -z "$loader" ] || printf '%s\n' "$loader" | remember loader-default || return
    remove "$record/boot-pending"
}

# generation_forget PROFILE NUMBER: deletes a generation that nobody wants to roll back to.
generation_forget() {
    for_all nix-env --profile "$1" --delete-generations "$2" || remove "$1-$2-link"
}

# guarded FUNCTION ARGUMENT...: has the function bring what the guard watches over. The request for
# it may have been on its way for longer than the guard waits.
guarded() {
    { [ "$(guard_at)" = armed ] && guard_mark begun 1; } ||
        die 'no guard watches over this activation any more' 75
    guarded_end=0
    ("$@") || guarded_end=$?
    # Another switch has shut it out, so that there is nothing to roll back.
    [ "$guarded_end" -ne 11 ] || guard_void 'another switch was faster'
    return "$guarded_end"
}

# guard_confirm PATH COMMAND: takes the confirmation of a switch to PATH; COMMAND then makes it the
# boot default.
guard_confirm() {
    [ "$(guard_set to)" = "$1" ] || die "it waits for the confirmation of another system: $(guard_set to)" 66
    other=$(guard_other)
    [ -z "$other" ] || die "somebody has switched it to $other meanwhile, so that there is nothing to confirm" 75
    other=$(boot_other "$guard/set")
    [ -z "$other" ] || [ -z "$(guard_set install)" ] ||
        die "somebody has made $other the system that boots since the trial began, and that stays: deploy again" 75
    { guard_mark confirmed "$(uptime)" && guard_move armed confirmed; } ||
        die "it is too late, the host rolls back: $(guard_read why)" 75
    if [ -n "$(guard_set install)" ]; then
        (job_start activation "$unit" 0 "$2") || {
            guard_mark ordered 'the host could not begin to make it the boot default'
            return 75
        }
    else
        guard_done
    fi
}

# guard_confirm_plain PROFILE PATH COMMAND [SINCE]: as guard_confirm, where the host can see that all is well, so
# that nobody has to be asked first. Otherwise it changes nothing and ends with 79: facts and people decide then.
# SINCE is that of guard_reached, where nobody has come in before.
guard_confirm_plain() {
    if trial_lets_in "${4-}" && trial_is_plain "$1" "$2" && trial_runs_well; then
        guard_confirm "$2" "$3"
    else
        exit 79
    fi
}

# trial_is_plain PROFILE PATH: is PATH on trial and to boot afterwards, and boots what ran before it until then?
trial_is_plain() {
    [ "$(guard_state)" = armed ] && [ "$(guard_set to)" = "$2" ] && [ -n "$(guard_set install)" ] &&
        [ "$(guard_set profile)" = "$1" ] && [ "$(resolve "$1")" = "$(guard_set old)" ]
}

# trial_runs_well: does it run, without a unit that has failed since?
trial_runs_well() {
    [ "$(resolve /run/current-system)" = "$(resolve "$(guard_set runs)")" ] || return
    case $(systemctl is-system-running 2>/dev/null) in running | degraded) ;; *) return 1 ;; esac
    ! failed_units | grep -qvxFf "$guard/failed"
}

# trial_lets_in [SINCE]: was this connection made after somebody had come in by a new one, or is it that one?
trial_lets_in() {
    age=$(login_age) came=$(guard_read came)
    [ -n "$age" ] || return
    if [ -n "${1-}" ]; then
        (guard_reached "$1")
        return
    fi
    case $came in '' | *[!0-9]*) return 1 ;; esac
    [ $(($(uptime_hundredths) - age)) -ge "$came" ]
}

# boot_other DIRECTORY: prints what boots, or is recorded, if that is neither what boot_before noted
# nor what was to.
boot_other() {
    for it in "$(resolve "$(line_of "$1/profile")")" "$(loader_boots)"; do
        case $it in
            '' | "$(line_of "$1/recorded")" | "$(line_of "$1/loader")" | "$(line_of "$1/to")") ;;
            *)
                printf '%s\n' "$it"
                return
                ;;
        esac
    done
}

# commit INSTALL SKIP PROFILE PATH: makes a system the one that boots, or leaves what was. For one that
# was on trial, the guard knows the first two.
commit() {
    if [ "$(guard_at)" = confirmed ]; then
        before=$guard/set
        NIXOS_INSTALL_BOOTLOADER=$(guard_set install) NIXOS_NO_CHECK=$(guard_set skip)
    else
        before=$state/boot-before NIXOS_INSTALL_BOOTLOADER=$1 NIXOS_NO_CHECK=$2
        boot_before "$before" "$3" "$4" || die "cannot write $before on this host: make room there" 75
    fi
    export NIXOS_INSTALL_BOOTLOADER NIXOS_NO_CHECK
    tried_forget "$3" || :
    committed=0
    { printf '%s\n' "$4" | remember boot-pending && profile_set "$3" "$4" && step boot "$4"; } || committed=$?
    if [ "$committed" -eq 0 ]; then
        remove "$record/boot-pending" "$record/boot-once"
        if [ "$before" = "$guard/set" ]; then guard_done; else undo_forget; fi
        return
    fi
    if [ "$(guard_at)" = confirmed ]; then
        guard_mark ordered "it did not become the boot default (exit code $committed)"
    else
        restore_boot "$before" || :
    fi
    return "$committed"
}

guard_done() {
    guard_move confirmed "done" || return 0
    undo_forget
    guard_note confirmed task 'it was confirmed'
    guard_release
}

# guard_adopt ATTENDED: the run that asks looks after the trial from now on.
guard_adopt() {
    [ "$(guard_state)" = armed ] || die 'no switch waits for its confirmation on this host' 66
    { write "$guard/set/attended" "$1" && who_runs | write "$guard/set/who" &&
        write "$guard/set/run" <"$state/current"; } || die "cannot write $guard/set on this host: make room there" 75
}

# guard_reached SINCE: somebody came in, so that there is time for checks: by a connection that was made
# after the host had been up for that many hundredths of a second, as far as it can be told.
guard_reached() {
    came=$(login_age)
    [ -z "$came" ] || [ $(($(uptime_hundredths) - came)) -ge "$1" ] ||
        die 'this is no new connection, so whether people can log in is not known' 75
    [ "$(guard_at)" != armed ] || { guard_mark came "$(uptime_hundredths)" && guard_mark reached "$(uptime)"; }
}

# guard_forget: what an earlier trial was for does not count any more.
guard_forget() {
    case $(guard_state) in armed | confirmed | back) ;; *) guard_clear ;; esac
}

# guard_clear: removes what an earlier guard has left. It reads its files until it has ended, a second or
# two after its last state: without them systemd would start it again for ever.
guard_clear() {
    left=50
    while [ -d /run/systemd/system ] && [ "$left" -gt 0 ]; do
        case $(systemctl is-active "$guard_unit" 2>/dev/null) in inactive | failed) break ;; esac
        sleep 0.2
        left=$((left - 1))
    done
    [ "$left" -gt 0 ] || systemctl stop "$guard_unit" ||
        die "the guard of an earlier trial does not end on this host: see \`systemctl status $guard_unit\`" 75
    remove "$guard"
}

# guard_order WHY: has the guard roll back at once.
guard_order() {
    case $(guard_state) in
        armed) guard_mark by task && guard_mark ordered "$1" ;;
        back) ;;
        *) die 'no switch waits for its confirmation on this host' 66 ;;
    esac
}

# noted FUNCTION ARGUMENT... PATH: has the function bring PATH, and remembers what became of it.
noted() {
    if [ "$(guard_at)" = confirmed ]; then
        # The guard watches, and it notes.
        "$@"
        return
    fi
    from=$(resolve /run/current-system)
    for to; do :; done
    noted_end=0 outcome=activated
    ("$@") || noted_end=$?
    [ "$noted_end" -eq 0 ] || outcome=failed
    note "outcome=$outcome" by=task "why=$1 ended with exit code $noted_end" "who=$(who_runs)" \
        "run=$(line_of "$state/current")" "from=$from" "to=$to"
    return "$noted_end"
}

# guard_note OUTCOME BY WHY: notes what became of the trial.
guard_note() {
    note "outcome=$1" "by=$2" "why=$3" "who=$(guard_set who)" "run=$(guard_set run)" \
        "from=$(guard_set old)" "to=$(guard_set to)"
}

# one_line TEXT: prints it with blanks for its newlines.
one_line() {
    case $1 in
        *'
'*) printf '%s' "$1" | tr '\n' ' ' && echo ;;
        *) printf '%s\n' "$1" ;;
    esac
}

# note WORD...: notes, as NAME=VALUE, what became of the last deployment.
note() {
    {
        for word in "$@"; do one_line "$word"; done
        printf 'time=%s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
    } | remember deployment || :
}

# guard_facts: prints the guard's state, and what became of the last deployment.
guard_facts() {
    printf 'guard=%s\n' "$(guard_state)"
    if [ -e "$guard/set/armed" ]; then
        for name in old to runs who run attended; do line_fact "guard_$name" "$guard/set/$name"; done
        read_line "$guard/set/install" || :
        printf 'guard_boots=%s\n' "${first_line:+1}"
        guard_due
        printf 'guard_left=%s\n' "$due_in"
        line_fact guard_why "$guard/why"
        sed 's/^failed_unit=/guard_failed=/' "$guard/failed"
    fi
    [ ! -r "$record/deployment" ] || sed -n 's/^[a-z]*=/deployment_&/p' "$record/deployment" 2>/dev/null
}
