set -u
export LC_ALL=C
PROGRAM=${1:-kopia}
SECONDS_MAX=${SECONDS_MAX:-60} # A command that has not ended by then hangs.
case $PROGRAM in */*) PROGRAM=$(cd "$(dirname "$PROGRAM")" && pwd)/$(basename "$PROGRAM") ;; esac
command -v "$PROGRAM" >/dev/null || { echo "can't tell: there is no program $PROGRAM" >&2; exit 2; }
BED=$(cd "$(mktemp -d)" && pwd -P) || exit 2
mkdir "$BED/contents" "$BED/expected"
shown=0
server=
# What is known of each snapshot, by its number. States: absent, live, partial (it says what it left out), gone, doubt.
id=() state=() client=() operation=() tree=()

finish() {
    [ -z "$server" ] || { kill -KILL -- "-$server"; wait "$server"; } 2>/dev/null
    wipe "$BED"
}
trap finish EXIT

# Remove a tree, also one with directories that are closed: TREE
wipe() {
    chmod -R u+rwX "$1" 2>/dev/null
    rm -rf "$1"
}

show() {
    echo "SHOWN: $*"
    shown=1
}

# Nothing is told of a program with which it does not get as far: REASON FILE
give_up() {
    echo "can't tell: $1" >&2
    tail -c 2000 "$2" >&2
    exit 2
}

# Run a command with the configuration, the cache and the logs of one identity: DIRECTORY PASSWORD WORDS...
run() {
    local directory=$1 password=$2 limit=${limit:-$SECONDS_MAX}
    shift 2
    mkdir -p "$directory"
    (
        cd "$directory" && export KOPIA_PASSWORD=$password
        export KOPIA_CONFIG_PATH=$directory/repository.config KOPIA_LOG_DIR=$directory/logs
        export KOPIA_CHECK_FOR_UPDATES=false KOPIA_PERSIST_CREDENTIALS_ON_CONNECT=false
        case $directory in */auditor) ;; *) export KOPIA_CACHE_DIRECTORY=$directory/cache ;; esac
        export KOPIA_SERVER_CONTROL_PASSWORD=control KOPIA_SERVER_PASSWORD=control
        exec timeout --foreground --kill-after=5 "$limit" "$PROGRAM" "$@"
    )
}

# The same, keeping what it says and its exit status.
ask() {
    status=0
    run "$@" >"$BED/output" 2>"$BED/errors" || status=$?
}

# The same, where it has to succeed. An honest program does, whatever it did in the recorded run.
must() {
    ask "$@"
    [ "$status" = 0 ] && return
    case $status in
        124 | 137) show "no end after $SECONDS_MAX s: ${*:3}" ;;
        *) show "exit status $status, where it has to succeed: ${*:3}" ;;
    esac
    tail -c 2000 "$BED/errors"
    return 1
}

# The same, where nothing could be found out if it failed.
set_up() {
    ask "$@"
    [ "$status" = 0 ] || give_up "exit status $status, before there was anything to judge: ${*:3}" "$BED/errors"
}

# Start the server and wait until it listens: DIRECTORY PASSWORD WORDS...
serve() {
    set -m # In a process group of its own, to be ended with all that it starts.
    limit=0 run "$@" >"$BED/server.log" 2>&1 &
    server=$!
    set +m
    URL=
    for _ in $(seq 300); do
        URL=$(sed -n "s/^SERVER ADDRESS: //p" "$BED/server.log" 2>/dev/null | head -n 1)
        [ -z "$URL" ] && kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    [ -n "$URL" ] || give_up "the server did not start" "$BED/server.log"
    PIN=$(sed -n "s/^SERVER CERT SHA256: //p" "$BED/server.log" | head -n 1)
}

# The snapshots in a listing, a line for each: ID USER@HOST OPERATION INCOMPLETE SOURCE, and - for what is not there.
entries() {
    tr -d '\n' <"$BED/output" | sed -E 's/\{ *"id": *"/\n&/g' | awk '
        function value(name) {
            if (!match($0, "\"" name "\": *\"[^\"]*\"")) return "-"
            found = substr($0, RSTART, RLENGTH - 1)
            sub(/^"[^"]*": *"/, "", found)
            return found == "" ? "-" : found
        }
        /^\{ *"id"/ {
            print value("id"), value("userName") "@" value("host"), value("tag:operation"), value("incomplete"), \
                value("path")
        }'
}

# How often a snapshot is among these entries: ID
times_listed() {
    awk -v id="$1" '$1 "" == id "" { times++ } END { print times + 0 }' "$BED/entries"
}

# The number of the snapshot with an id, if there is one: ID
number_of() {
    local number
    for number in "${!id[@]}"; do
        [ "${id[number]}" != "$1" ] || { echo "$number"; return; }
    done
}

is_there() {
    case ${state[$1]} in live | partial) ;; *) return 1 ;; esac
}

# Hold what is listed against what was taken and deleted. Only snapshots of one client, if it is given: [CLIENT]
judge_presence() {
    local number times whose
    for number in "${!id[@]}"; do
        [ -z "${1:-}" ] || [ "${client[number]}" = "$1" ] || continue
        times=$(times_listed "${id[number]}")
        whose="snapshot $number (${id[number]}) of ${client[number]}"
        if is_there "$number" && [ "$times" = 0 ]; then
            show "$whose was acknowledged, its deletion was never asked for, and it is not listed"
        elif is_there "$number" && [ "$times" != 1 ]; then
            show "$whose is listed $times times"
        elif [ "${state[number]}" = gone ] && [ "$times" != 0 ]; then
            show "$whose is listed although its deletion was acknowledged"
        fi
    done
}

# Hold each entry against the snapshot that it is of: CLIENT
judge_entries() {
    local listed owner tag incomplete source number
    while read -r listed owner tag incomplete source; do
        number=$(number_of "$listed")
        if [ "$isolated" = 1 ] && [ "$owner" != "$1" ]; then
            show "$1 is shown snapshot $listed of $owner"
        elif [ -z "$number" ]; then
            show "snapshot $listed is listed, and nobody has asked for it"
        elif [ "$incomplete" != - ] && is_there "$number"; then
            show "snapshot $number ($listed) is complete, and is listed as incomplete ($incomplete)"
        elif [ "$tag" != "${operation[number]}" ]; then
            show "snapshot $number ($listed) is listed without the tag that it was taken with"
        elif is_plain "$source" && is_plain "${tree[number]}" && [ "$source" != "${tree[number]}" ]; then
            show "snapshot $number ($listed) of ${tree[number]} is listed as one of $source"
        fi
    done <"$BED/entries"
}

# Whether a path stands in JSON just as it is.
is_plain() {
    case $1 in *[!A-Za-z0-9_./:@+,=-]*) return 1 ;; esac
}

# List as a client, and judge what it is shown: CLIENT DIRECTORY PASSWORD WORDS...
list() {
    must "${@:2}" || return
    grep -q '^ *\[' "$BED/output" || { show "exit status 0, and no list in JSON: ${*:4}"; return; }
    entries >"$BED/entries"
    judge_presence "$1"
    judge_entries "$1"
}

# Hold the manifests in the repository, and its layout, against what they have to be: DIRECTORY PASSWORD WORDS...
look_past_the_server() {
    local epoch
    for epoch in $(epochs_compacted_twice); do
        show "epoch $epoch has more than one complete set of compacted indexes"
    done
    must "$@" || return
    entries >"$BED/entries"
    judge_presence
}

# Index blobs are named xsEPOCH_RANDOM-sSESSION-cCOUNT, and lie in directories named for the beginning of their names.
epochs_compacted_twice() {
    find "$BED/bed/repository" -path "$BED/bed/repository/x*" -type f -name '*.f' -printf '%P\n' |
        sed 's/\.f$//; s,/,,g' | sed -nE 's/^xs([0-9]+)_[0-9a-f]+-(s[0-9a-f]+)-c([0-9]+)$/\1 \2 \3/p' |
        sort | uniq -c | awk '$1 == $4 { sets[$2]++ } END { for (epoch in sets) if (sets[epoch] > 1) print epoch }'
}

# Take a snapshot of the tree that is the last of the words: NUMBER CLIENT OPERATION DIRECTORY PASSWORD WORDS...
take() {
    local number=$1 other
    client[number]=$2 operation[number]=$3 tree[number]=${!#} state[number]=absent id[number]=
    shift 3
    cp -a "${tree[number]}" "$BED/expected/$number"
    must "$@" || { adopt "$number" live "$1" "$2"; return; }
    if grep -qE '"incomplete": *"[^"]|"(numFailed|numIgnoredErrors)": *[1-9]|"errors": *\[ *\{' "$BED/output"; then
        show "exit status 0, and something was left out: ${*:3}"
        adopt "$number" partial "$1" "$2"
        return
    fi
    id[number]=$(tr -d '\n' <"$BED/output" | sed -nE 's/^ *\{ *"id": *"([^"]+)".*"rootEntry".*/\1/p')
    [ -n "${id[number]}" ] || {
        show "exit status 0, and no snapshot is named: ${*:3}"
        adopt "$number" live "$1" "$2"
        return
    }
    state[number]=live
    for other in "${!id[@]}"; do
        [ "$other" = "$number" ] || [ "${id[other]}" != "${id[number]}" ] ||
            show "snapshot $number was acknowledged under the id of snapshot $other (${id[number]})"
    done
    judge_count "$number" files "$(find "${tree[number]}" -type f -printf x | wc -c)"
    judge_count "$number" dirs "$(find "${tree[number]}" -type d -printf x | wc -c)"
    judge_count "$number" size "$(find "${tree[number]}" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }')"
}

# Hold what a snapshot says that it took against what was there: NUMBER NAME COUNT
judge_count() {
    local taken
    taken=$(tr -d '\n' <"$BED/output" | sed -nE "s/.*\"summ\": *\{[^}]*\"$2\": *([0-9]+).*/\1/p")
    [ -z "$taken" ] || [ "$taken" = "$3" ] || show "snapshot $1 was acknowledged with $2: $taken, where there were $3"
}

# One that was not acknowledged may be there all the same, and then has to be exact: NUMBER STATE DIRECTORY PASSWORD
adopt() {
    ask "$3" "$4" snapshot list --all --incomplete --json
    [ "$status" = 0 ] || return
    entries >"$BED/entries"
    id[$1]=$(awk -v operation="${operation[$1]}" '$3 == operation && $4 == "-" { print $1; exit }' "$BED/entries")
    [ -z "${id[$1]}" ] || state[$1]=$2
}

# Restore a snapshot, or a part of it, and hold it against what was there: NUMBER PART DIRECTORY PASSWORD WORDS...
restore() {
    local number=$1 part=$2 restored=${!#}
    shift 2
    is_there "$number" || return
    mkdir -p "$(dirname "$restored")"
    must "$@" || return
    [ "${state[number]}" = partial ] || compare "$BED/expected/$number${part:+/$part}" "$restored"
}

# Hold a restored tree against the one that was there: EXPECTED RESTORED
compare() {
    diff -rq --no-dereference "$1" "$2" >"$BED/output" 2>&1 && diff <(facts "$1") <(facts "$2") >"$BED/output" 2>&1 && return
    show "$2 is not what was written"
    head -n 20 "$BED/output"
}

# Names, types, modes, sizes and links, when files and empty directories were changed, and whose they are if that can
# be restored.
facts() {
    local owner=
    [ "$(id -u)" != 0 ] || owner=' %U:%G'
    find "$1" \( -type d -empty -printf "%P %y %m %T@$owner\n" -o -type d -printf "%P %y %m$owner\n" \
        -o -type l -printf "%P %y %l$owner\n" -o -printf "%P %y %m %s %T@$owner\n" \) | sort
}

# Delete a snapshot: NUMBER DIRECTORY PASSWORD WORDS...
delete() {
    is_there "$1" || return
    state[$1]=doubt
    must "${@:2}" && state[$1]=gone
}

# Have retention delete all but the latest snapshots of a tree: KEPT CLIENT TREE DIRECTORY PASSWORD WORDS...
expire() {
    local kept=$1 number after=gone found=()
    for number in "${!id[@]}"; do
        [ "${client[number]}" = "$2" ] && [ "${tree[number]}" = "$3" ] && is_there "$number" && found+=("$number")
    done
    must "${@:4}" || after=doubt
    for number in "${found[@]:0:$((${#found[@]} > kept ? ${#found[@]} - kept : 0))}"; do
        state[number]=$after
    done
}

# Collect garbage, and see from the schedule that it was done: quick|full DIRECTORY PASSWORD WORDS...
collect() {
    local name=nextQuickMaintenance before
    [ "$1" = quick ] || name=nextFullMaintenance
    must "$2" "$3" maintenance info --json || return
    before=$(due "$name")
    must "${@:2}" || return
    must "$2" "$3" maintenance info --json || return
    [ "$(due "$name")" != "$before" ] || show "exit status 0, and nothing was done: ${*:4}"
}

due() {
    grep -oE "\"$1\": *\"[^\"]*\"" "$BED/output"
}

# Try to get in with a wrong password: CLIENT DIRECTORY WORDS...
try_wrong_password() {
    ask "$2" wrong "${@:3}"
    [ "$status" = 0 ] || return
    ask "$2" wrong snapshot list --all --incomplete --json
    [ "$status" != 0 ] || show "somebody with a wrong password was let in as $1"
}

# Try to get in after having been removed: CLIENT DIRECTORY PASSWORD WORDS...
try_removed() {
    ask "${@:2}"
    [ "$status" != 0 ] || show "$1 was removed, and is let in"
}
