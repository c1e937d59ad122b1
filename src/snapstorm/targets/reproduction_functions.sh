# What scripts of all targets that keep whole trees have in common. `ask` is the target's own.

# Remove a tree, also one with directories that are closed: TREE
wipe() {
    chmod -R u+rwX "$1" 2>/dev/null
    rm -rf "$1"
}

show() {
    echo "SHOWN: $*"
    shown=1
}

# Ask, where the command has to succeed. An honest program does, whatever it did in the recorded run.
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
    [ "$status" = 0 ] && return
    echo "can't tell: exit status $status, before there was anything to judge: ${*:3}" >&2
    tail -c 2000 "$BED/errors" >&2
    exit 2
}

set_xattr() { # FILE NAME HEXADECIMAL
    python3 -c 'import os, sys; os.setxattr(sys.argv[1], os.fsencode(sys.argv[2]), bytes.fromhex(sys.argv[3]))' "$@"
}

# Hold a restored tree against the one that was there: EXPECTED RESTORED
compare() {
    if ! [ -e "$2" ] && ! [ -L "$2" ]; then
        show "exit status 0, and $2 is not there"
    elif ! diff <(facts "$1") <(facts "$2") >"$BED/differences"; then
        show "$2 is not what was taken"
        head -n 20 "$BED/differences"
    fi
}

# All that is kept of a tree, a line for each entry: its type, mode, owner, time, content, attributes, and the first
# name of the same file. Sockets are left out.
facts() {
    python3 - "$1" <<'PYTHON'
import hashlib, os, stat, sys

root = os.fsencode(sys.argv[1])
paths, first = [root], {}
for directory, directories, files in os.walk(root):
    paths += [os.path.join(directory, name) for name in directories + files]
for path in sorted(paths):
    status = os.lstat(path)
    mode, shown = status.st_mode, os.path.relpath(path, root)
    if stat.S_ISSOCK(mode):
        continue
    facts = [shown, oct(mode), status.st_mtime_ns, status.st_rdev]
    if os.geteuid() == 0:
        facts += [status.st_uid, status.st_gid]
    if stat.S_ISREG(mode):
        with open(path, "rb") as file:
            facts += [status.st_size, hashlib.sha256(file.read()).hexdigest()]
        facts.append(first.setdefault(status.st_ino, shown))
    if stat.S_ISLNK(mode):
        facts.append(os.readlink(path))
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        facts += [(name, os.getxattr(path, name)) for name in sorted(os.listxattr(path))]
    print(*map(repr, facts))
PYTHON
}

