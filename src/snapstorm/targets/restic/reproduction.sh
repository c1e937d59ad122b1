set -u
export LC_ALL=C.UTF-8 TZ=UTC
PROGRAM=${1:-restic}
SECONDS_MAX=${SECONDS_MAX:-60} # A command that has not ended by then hangs.
case $PROGRAM in */*) PROGRAM=$(cd "$(dirname "$PROGRAM")" && pwd)/$(basename "$PROGRAM") ;; esac
command -v "$PROGRAM" >/dev/null || { echo "can't tell: there is no program $PROGRAM" >&2; exit 2; }
command -v python3 >/dev/null || { echo "can't tell: there is no python3, which reads attributes and JSON" >&2; exit 2; }
BED=$(cd "$(mktemp -d)" && pwd -P) || exit 2
mkdir "$BED/contents" "$BED/expected" "$BED/repository"
export RESTIC_PASSWORD=repository RESTIC_PROGRESS_FPS=0
shown=0
# What is known of each snapshot, by its number. States: absent, live, gone, doubt.
id=() state=() repository=() tree=()
trap 'wipe "$BED"' EXIT

# Run a command on a repository, with the cache of one client, keeping what it says: CLIENT REPOSITORY WORDS...
ask() {
    local client=$1 name=$2
    shift 2
    status=0
    (
        cd "$BED" && export RESTIC_REPOSITORY=$BED/repository/$name RESTIC_CACHE_DIR=$BED/caches/$client
        exec timeout --foreground --kill-after=5 "$SECONDS_MAX" "$PROGRAM" "$@"
    ) </dev/null >"$BED/output" 2>"$BED/errors" || status=$?
}

# A value in the JSON of the last line that a command has said: NAME
last_said() {
    python3 -c 'import json, sys; print(json.loads(open(sys.argv[1]).read().splitlines()[-1])[sys.argv[2]])' \
        "$BED/output" "$1" 2>/dev/null
}

# Take a snapshot of a tree: NUMBER CLIENT REPOSITORY TREE WORDS...
take() {
    local number=$1 client=$2 name=$3
    repository[number]=$name tree[number]=$4 state[number]=absent id[number]=
    shift 4
    cp -a "${tree[number]}" "$BED/expected/$number"
    must "$client" "$name" "$@" || { state[number]=doubt; return; }
    id[number]=$(last_said snapshot_id) || { show "exit status 0, and no snapshot in JSON: $*"; state[number]=doubt; return; }
    state[number]=live
    judge_count "$number" total_files_processed "$(find "${tree[number]}" -type f -printf '\n' | wc -l)"
    judge_count "$number" total_bytes_processed \
        "$(find "${tree[number]}" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }')"
}

# Hold what a snapshot says that it took against what was there: NUMBER NAME COUNT
judge_count() {
    local taken
    taken=$(last_said "$2") || return
    [ "$taken" = "$3" ] || show "snapshot $1 was acknowledged with $2: $taken, where there were $3"
}

# Restore a snapshot, or a part of it, and hold it against what was there: NUMBER CLIENT REPOSITORY PART WORDS...
restore() {
    local number=$1 client=$2 name=$3 part=$4 directory above
    shift 4
    [ "${state[number]}" = live ] || return
    directory=$(mktemp -d "$BED/restored-XXXX") above=$(dirname "${tree[number]}")
    if must "$client" "$name" restore "${id[number]}:$above" "--target=$directory" "$@"; then
        compare "$BED/expected/$number${part:+/$part}" "$directory/$(basename "${tree[number]}")${part:+/$part}"
    fi
    wipe "$directory"
}

# List, and hold what is listed against what was taken and deleted in this repository: CLIENT REPOSITORY WORDS...
list() {
    local number times
    must "$@" || return
    python3 -c 'import json, sys; print(*(one["id"] for one in json.load(open(sys.argv[1]))), sep="\n")' \
        "$BED/output" >"$BED/ids" 2>/dev/null || { show "exit status 0, and no list in JSON: ${*:3}"; return; }
    for number in "${!id[@]}"; do
        [ "${repository[number]}" = "$2" ] || continue
        times=$(grep -Fxc -- "${id[number]}" "$BED/ids")
        case ${state[number]} in
            live) [ "$times" = 1 ] || show "snapshot $number (${id[number]}) was acknowledged, and is listed $times times" ;;
            gone) [ "$times" = 0 ] || show "snapshot $number (${id[number]}) is listed although its deletion was acknowledged" ;;
        esac
    done
}

# Delete a snapshot: NUMBER CLIENT REPOSITORY
delete() {
    [ "${state[$1]}" = live ] || return
    state[$1]=doubt
    must "$2" "$3" forget "${id[$1]}" && state[$1]=gone
}

# Delete all but the latest snapshots of a tree: KEPT CLIENT REPOSITORY TREE HOST
expire() {
    local number after=gone kept=0 numbers=("${!id[@]}") position
    must "$2" "$3" forget "--keep-last=$1" "--host=$5" "--path=$4" --group-by=host,paths || after=doubt
    for ((position = ${#numbers[@]} - 1; position >= 0; position--)); do
        number=${numbers[position]}
        [ "${repository[number]}" = "$3" ] && [ "${tree[number]}" = "$4" ] && [ "${state[number]}" = live ] || continue
        kept=$((kept + 1))
        [ "$kept" -le "$1" ] || state[number]=$after
    done
}
