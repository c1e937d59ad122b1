set -u
export LC_ALL=C.UTF-8 TZ=UTC
PROGRAM=${1:-borg}
SECONDS_MAX=${SECONDS_MAX:-60} # A command that has not ended by then hangs.
case $PROGRAM in */*) PROGRAM=$(cd "$(dirname "$PROGRAM")" && pwd)/$(basename "$PROGRAM") ;; esac
command -v "$PROGRAM" >/dev/null || { echo "can't tell: there is no program $PROGRAM" >&2; exit 2; }
command -v python3 >/dev/null || { echo "can't tell: there is no python3, which reads attributes and JSON" >&2; exit 2; }
BED=$(cd "$(mktemp -d)" && pwd -P) || exit 2
mkdir "$BED/contents" "$BED/expected" "$BED/repository"
export BORG_PASSPHRASE=repository BORG_EXIT_CODES=modern BORG_RELOCATED_REPO_ACCESS_IS_OK=yes
export BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes
shown=0
# What is known of each archive, by its number. States: absent, live, gone, doubt.
name=() state=() repository=() tree=()
trap 'wipe "$BED"' EXIT

# Run a command in a directory, with the files of one client, keeping what it says: CLIENT DIRECTORY WORDS...
ask() {
    local client=$1 directory=$2
    shift 2
    mkdir -p "$BED/clients/$client"
    status=0
    (
        cd "$directory" && export BORG_BASE_DIR=$BED/clients/$client
        exec timeout --foreground --kill-after=5 "$SECONDS_MAX" "$PROGRAM" "$@"
    ) </dev/null >"$BED/output" 2>"$BED/errors" || status=$?
}

# Make an archive of a tree: NUMBER CLIENT REPOSITORY NAME TREE WORDS...
take() {
    local number=$1 client=$2
    repository[number]=$3 name[number]=$4 tree[number]=$5 state[number]=absent
    shift 5
    cp -a "${tree[number]}" "$BED/expected/$number"
    must "$client" "$(dirname "${tree[number]}")" "$@" || { state[number]=doubt; return; }
    state[number]=live
    judge_count "$number" nfiles "$(find "${tree[number]}" -type f -printf '%i\n' | sort -u | wc -l)"
    judge_count "$number" original_size \
        "$(find "${tree[number]}" -type f -printf '%i %s\n' | sort -u | awk '{ sum += $2 } END { print sum + 0 }')"
}

# Hold what an archive says that it took against what was there: NUMBER NAME COUNT
judge_count() {
    local taken
    taken=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["archive"]["stats"][sys.argv[2]])' \
        "$BED/output" "$2" 2>/dev/null) || { show "exit status 0, and no statistics in JSON for archive $1"; return; }
    [ "$taken" = "$3" ] || show "archive $1 was acknowledged with $2: $taken, where there were $3"
}

# Extract an archive, or a part of it, and hold it against what was there: NUMBER CLIENT PART WORDS...
restore() {
    local number=$1 client=$2 part=$3 directory
    shift 3
    [ "${state[number]}" = live ] || return
    directory=$(mktemp -d "$BED/extracted-XXXX")
    must "$client" "$directory" "$@" || return
    compare "$BED/expected/$number${part:+/$part}" "$directory/$(basename "${tree[number]}")${part:+/$part}"
    wipe "$directory"
}

# List, and hold what is listed against what was made and deleted in this repository: CLIENT REPOSITORY WORDS...
list() {
    local number times
    must "$1" "$BED" "${@:3}" || return
    python3 -c 'import json, sys; print(*(a["name"] for a in json.load(open(sys.argv[1]))["archives"]), sep="\n")' \
        "$BED/output" >"$BED/names" 2>/dev/null || { show "exit status 0, and no list in JSON: ${*:3}"; return; }
    for number in "${!name[@]}"; do
        [ "${repository[number]}" = "$2" ] || continue
        times=$(grep -Fxc -- "${name[number]}" "$BED/names")
        case ${state[number]} in
            live) [ "$times" = 1 ] || show "archive $number (${name[number]}) was acknowledged, and is listed $times times" ;;
            gone) [ "$times" = 0 ] || show "archive $number (${name[number]}) is listed although its deletion was acknowledged" ;;
        esac
    done
}

# Delete archives: CLIENT NUMBERS WORDS...
delete() {
    local client=$1 numbers=$2 number after=gone
    shift 2
    must "$client" "$BED" "$@" || after=doubt
    for number in $numbers; do
        [ "${state[number]}" != live ] || state[number]=$after
    done
}
