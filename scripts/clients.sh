# shellcheck shell=bash
# Clients in the background, for scripts/talk and scripts/enter. A script sources
# this file after lib.sh. Its argument, if there is one, is the server program.
# shellcheck disable=SC2034,SC2154 # variables of these scripts and of lib.sh

if (($# > 0)); then
    hubbub=$1
elif [[ -x $target/release/hubbub ]]; then
    hubbub=$target/release/hubbub
else
    hubbub=$target/debug/hubbub
    [[ -x $hubbub ]] || cargo build --manifest-path "$root/Cargo.toml"
fi
[[ -x $hubbub ]] || usage_error "SERVER \"$hubbub\": there is no such program"
client=$(cd "$(dirname "$hubbub")" && pwd)/hubbub-client
[[ -x $client ]] || die "\"$client\" is missing: run cargo build"

welcome='Welcome to the anonymous chat room.'
connected=()     # names of the connected clients
declare -A view  # view of a client, by its name, if it is not plain
declare -A pid   # process of a client, by its name
declare -A input # file descriptor of a client's standard input, by its name
make_work_folder

# --- Clients

# lines_of NAME: what the client printed. A terminal adds CR and the echo of
# Ctrl-C.
lines_of() {
    sed 's/\r*$//; s/^\^C//' "$work/$1.out"
}

# texts_of NAME: what the client printed, without the names of senders.
texts_of() {
    case ${view[$1]-plain} in
        plain) lines_of "$1" ;;
        named) lines_of "$1" | sed 's/^<anon[0-9]*> //' ;;
        json) lines_of "$1" | sed -n 's/^{"type":"[a-z]*",\("from":"anon[0-9]*",\)\{0,1\}"text":"\([^"]*\)".*}$/\2/p' ;;
    esac
}

# received NAME TEXT: the client printed a line of exactly this text.
received() {
    texts_of "$1" | grep -aFx -- "$2" >/dev/null
}

# all_receive LINE [BUT]: all clients but one receive the line.
all_receive() {
    local name
    for name in "${connected[@]}"; do
        [[ $name == "${2-}" ]] || check "$name receives '$1'" received "$name" "$1"
    done
}

# start NAME INPUT COMMAND...: runs a client in the background.
start() {
    local name=$1 from=$2 fd
    shift 2
    (
        # An open copy would keep other clients from the end of their input.
        for fd in "${input[@]}"; do exec {fd}>&-; done
        exec "$@" <"$from" >"$work/$name.out" 2>"$work/$name.err"
    ) &
    pid[$name]=$!
    wait_until test -e "$work/$name.out" || fail "$name starts"
}

# connect NAME INPUT COMMAND...: starts a client that is welcomed.
connect() {
    start "$@"
    check "$1 receives the welcome" received "$1" "$welcome"
    connected+=("$1")
}

# start_reader NAME COMMAND...: a client without input.
start_reader() {
    connect "$1" /dev/null "${@:2}"
}

# start_client NAME COMMAND...: a client that reads and sends.
start_client() {
    local fd
    mkfifo "$work/$1.in"
    exec {fd}<>"$work/$1.in"
    input[$1]=$fd
    connect "$1" "$work/$1.in" "${@:2}"
}

# forget NAME: the client is not expected to receive anything more.
forget() {
    local name rest=()
    for name in "${connected[@]}"; do
        [[ $name == "$1" ]] || rest+=("$name")
    done
    connected=("${rest[@]}")
}

# send NAME LINE: the client sends a line, and all others receive it.
send() {
    printf '%s\n' "$2" >&"${input[$1]}"
    all_receive "$2" "$1"
}

# send_by TEXT COMMAND...: a command sends the text and then ends by itself.
send_by() {
    local text=$1
    shift
    printf '%b' "$text" | timeout "$deadline" "$@" >"$work/sender.out" || fail "$1 ends by itself"
    ok "$1 ends by itself"
    all_receive "${text%\\n}"
}

# kill_silently PID: bash does not report the end of the job.
kill_silently() {
    disown "$1" 2>/dev/null # it warns if the job is stopped
    kill -KILL "$1"
}
