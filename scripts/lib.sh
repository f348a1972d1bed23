# shellcheck shell=bash
# Helpers that the scripts of this folder share. A script sources this file.
#
# HUBBUB_DEADLINE  seconds that a script waits for one event; default: 30

deadline=${HUBBUB_DEADLINE:-30}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # used by the scripts
target=${CARGO_TARGET_DIR:-$root/target}
script=scripts/$(basename "$0")
script_file=$(realpath "$0")

# --- The command line

# usage: prints the header comment of the script.
usage() {
    sed -n '2,$ { /^#/!q; s/^# \{0,1\}//p; }' "$script_file"
}

# usage_error MESSAGE: ends the script with status 2.
usage_error() {
    echo "$script: $1 (see $script --help)" >&2
    exit 2
}

# die MESSAGE: ends the script with status 1.
die() {
    echo "$script: $1" >&2
    exit 1
}

# plain_arguments MOST ARGUMENT...: for a script that takes at most MOST
# arguments and no option but --help.
plain_arguments() {
    local most=$1 argument
    shift
    for argument; do
        case $argument in
            -h | --help)
                usage
                exit
                ;;
            -*) usage_error "unknown option \"$argument\"" ;;
        esac
    done
    (($# <= most)) || usage_error "unexpected argument \"${*:most + 1:1}\""
}

[[ $deadline =~ ^[1-9][0-9]{0,5}$ ]] ||
    usage_error "HUBBUB_DEADLINE \"$deadline\": must be a number of seconds from 1 to 999999"

# --- The build

# without_paths CARGO...: runs cargo so that the programs contain other paths
# instead of those of this machine.
without_paths() {
    local flags=() part=$'\x1f'
    read -ra flags <<<"${RUSTFLAGS-}"
    flags+=(
        "--remap-path-prefix=$(rustc --print sysroot)=/rust"
        "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
        "--remap-path-prefix=$root=/hubbub"
        "--remap-path-prefix=$(realpath -m "$target")=/hubbub/target"
    )
    # Unlike RUSTFLAGS, this variable may have paths with blanks in it.
    CARGO_ENCODED_RUSTFLAGS=${CARGO_ENCODED_RUSTFLAGS:+$CARGO_ENCODED_RUSTFLAGS$part}$(
        IFS=$part
        echo "${flags[*]}"
    ) "$@"
}

# --- Programs that the scripts need

# Programs such as haproxy and nft are where not every user looks for them.
PATH=$PATH:/usr/sbin:/sbin

# Debian's package of a program, if its name differs.
declare -rA package_of=(
    [gnuplot]=gnuplot-nox [groff]=groff-base [ip]=iproute2 [man]=man-db
    [nc]=netcat-openbsd [nft]=nftables [prlimit]=util-linux [promtool]=prometheus [script]=bsdutils
    [ss]=iproute2 [stunnel]=stunnel4 [systemd-analyze]=systemd
    [unshare]=util-linux
)

# find_nc: sets $nc to OpenBSD's netcat. Its -d reads nothing from standard
# input; its -N closes the connection at the end of the input.
find_nc() {
    for nc in nc nc.openbsd; do
        [[ $("$nc" -h 2>&1 || true) != *OpenBSD* ]] || return 0
    done
    return 1
}

# missing_packages PROGRAM...: prints one package per line.
missing_packages() {
    local program
    for program; do
        case $program in
            nc) find_nc ;;
            *) command -v "$program" >/dev/null ;;
        esac || echo "${package_of[$program]-$program}"
    done | sort -u
}

# require PROGRAM...: ends the script if a program is missing. Sets $nc.
require() {
    local missing
    missing=$(missing_packages "$@" | paste -sd ' ')
    [[ ! $missing ]] || die "missing packages: run apt-get install $missing"
    [[ " $* " != *' nc '* ]] || find_nc
}

# install_missing PROGRAM...: installs the packages of missing programs, as
# root or by sudo without a password. Sets $installed to the packages.
install_missing() {
    local as_root=() package
    mapfile -t installed < <(missing_packages "$@")
    ((${#installed[@]} > 0)) || return 0
    if ((EUID != 0)); then
        command -v sudo >/dev/null || return 1
        as_root=(sudo -n)
    fi
    "${as_root[@]}" apt-get update >&2 &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y \
            --no-install-recommends "${installed[@]}" >&2 || return 1
    # The scripts need the programs and not the services. That of prometheus has
    # port 9090.
    for package in haproxy prometheus stunnel4; do
        [[ " ${installed[*]} " != *" $package "* ]] ||
            "${as_root[@]}" systemctl disable --now "$package" >&2 || true
    done
}

# --- Work folder and background jobs

# make_work_folder: sets $work. At exit the folder is removed, and every
# background job is killed together with the processes that it started.
make_work_folder() {
    work=$(mktemp -d)
    # Job control gives each job a process group of its own.
    set -m
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

clean_up() {
    local group
    # Without this, bash reports each killed job.
    exec 2>/dev/null
    for group in $(jobs -p); do
        kill -KILL -- "-$group" || true
    done
    wait || true
    rm -rf "$work"
}

has_ended() {
    ! kill -0 "$1" 2>/dev/null
}

# --- Checks

passed=0

ok() {
    passed=$((passed + 1))
    echo "ok $*"
}

# fail WHAT: ends the script, after the last lines of the logs.
fail() {
    echo "not ok $*"
    tail -n 20 "$work"/*.log 2>/dev/null || true
    echo "$passed passed, 1 failed"
    exit 1
}

# wait_until COMMAND...: repeats the command until it succeeds. Fails after the
# deadline.
wait_until() {
    local end=$((SECONDS + deadline))
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.02
    done
}

# check WHAT COMMAND...: the command succeeds before the deadline.
check() {
    local what=$1
    shift
    if wait_until "$@"; then ok "$what"; else fail "$what"; fi
}

# must WHAT COMMAND...: the command succeeds at the first try.
must() {
    local what=$1
    shift
    "$@" >"$work/must.log" 2>&1 || fail "$what"
    ok "$what"
}

# has FILE TEXT: the file contains the text.
has() {
    grep -aqF -- "$2" "$1" 2>/dev/null
}

# skip WHAT WHY: reports a check that this machine cannot do.
skip() {
    echo "skipped: $1: $2"
    [[ ! ${HUBBUB_SKIPPED-} ]] || echo "skipped: $1: $2" >>"$HUBBUB_SKIPPED"
}

# find_unshare OPTION...: sets $unshare to a command that creates namespaces,
# if necessary in a user namespace. Fails if this user cannot create them, and
# sets $why.
find_unshare() {
    unshare=(unshare "$@")
    ! "${unshare[@]}" true 2>/dev/null || return 0
    unshare+=(--user --map-root-user)
    why=$("${unshare[@]}" true 2>&1) && return 0
    why="this user cannot create namespaces: $why"
    return 1
}

# --- The server

# port_of VIEW LOG: waits until the log names the listener of the view on
# 127.0.0.1, and prints its port. Fails if process $server ends before that.
port_of() {
    local listening="listening on 127\\.0\\.0\\.1:\\([0-9]*\\) ($1)"
    listens_or_ended() { grep -qs "$listening" "$2" || has_ended "${server:?}"; }
    wait_until listens_or_ended "$@" && grep -qs "$listening" "$2" || {
        echo "$script: the server has no $1 listener: $(tail -n 1 "$2")" >&2
        return 1
    }
    sed -n "s/.*$listening.*/\\1/p" "$2"
}

# is_listening PORT [ADDRESS]: some process listens on the port.
is_listening() {
    [[ $(ss -Hltn sport = ":$1" ${2:+src "$2"}) ]]
}

# free_port: prints a port that is not in use.
free_port() {
    local port
    while port=$(shuf -i 20000-30000 -n 1) && is_listening "$port"; do :; done
    echo "$port"
}

# --- Measurements

# exec_on_core CORE COMMAND...: replaces the subshell by the command, bound to
# one core if the machine has it.
exec_on_core() {
    local core=$1
    shift
    if taskset -c "$core" true 2>/dev/null; then
        exec taskset -c "$core" "$@"
    else
        exec "$@"
    fi
}

# median: of the numbers on standard input, one per line.
median() {
    sort -g | awk '{all[NR] = $1} END {print all[int((NR + 1) / 2)]}'
}

# number KEY JSON: prints the first number with that key; nothing if there is
# none.
number() {
    { grep -o "\"$1\":[0-9.][^,}]*" <<<"$2" || true; } | head -n 1 | cut -d: -f2
}
