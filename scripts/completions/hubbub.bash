# Completion of hubbub, hubbub-client and hubbub-load for bash 4.4 or later.

# Offers those of the given words that begin with the typed letters.
_hubbub_offer() {
    local choice
    for choice in "$@"; do
        [[ $choice != "$word"* ]] || COMPREPLY+=("$choice")
    done
}

# Offers files after `unix:`, with any prefix.
_hubbub_offer_sockets() {
    local before=${word%%unix:*}unix: path paths
    mapfile -t paths < <(compgen -f -- "${word#*unix:}")
    compopt -o filenames 2>/dev/null
    for path in "${paths[@]}"; do
        COMPREPLY+=("$before$path")
    done
}

_hubbub_offer_places() {
    case $word in
    unix:* | plain*:unix:* | named*:unix:* | json*:unix:* | admin:unix:*) _hubbub_offer_sockets ;;
    plain:* | named:* | json:* | admin:* | *+tls:*)
        compopt -o nospace 2>/dev/null
        _hubbub_offer "${word%%:*}:unix:"
        ;;
    *)
        compopt -o nospace 2>/dev/null
        _hubbub_offer plain: named: json: named+tls: admin: unix:
        ;;
    esac
}

_hubbub_offer_addresses() {
    local hosts
    if [[ $word == unix:* ]]; then
        _hubbub_offer_sockets
    else
        mapfile -t hosts < <(compgen -A hostname)
        compopt -o nospace 2>/dev/null
        _hubbub_offer "${hosts[@]}" unix:
    fi
}

_hubbub_offer_files() {
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
    compopt -o filenames 2>/dev/null
}

# Offers values of the given option; fails if it takes none.
_hubbub_offer_values() {
    case $1 in
    --listen) _hubbub_offer_places ;;
    --unix-mode) _hubbub_offer 0600 0660 0666 ;;
    --log-file | --access | --password-file | --tls-cert | --tls-key | --tls-ca) _hubbub_offer_files ;;
    --feed) _hubbub_offer 64k 256k 1M 4M 16M ;;
    --protocol) _hubbub_offer lines nats redis ;;
    --pid) _hubbub_offer $(pgrep -x hubbub 2>/dev/null) ;;
    --welcome | --history | --max-clients | --max-per-ip | --max-line | --rate | --stall-timeout) ;;
    --idle-timeout | --dead-after | --flush-after | --report-every | --proxy-from) ;;
    --send | --count | --timeout | --nick) ;;
    --clients | --senders | --lines | --bytes | --window | --stuck | --slow | --churn | --idle | --duration) ;;
    *) return 1 ;;
    esac
    return 0
}

# The long form of a short option of the program, if it takes a value.
_hubbub_long() {
    case $1$2 in
    hubbub-l) echo --listen ;;
    hubbub-w) echo --welcome ;;
    hubbub-m) echo --max-clients ;;
    hubbub-client-s) echo --send ;;
    hubbub-client-n) echo --count ;;
    hubbub-load-c) echo --clients ;;
    hubbub-load-s) echo --senders ;;
    hubbub-load-n) echo --lines ;;
    hubbub-load-b) echo --bytes ;;
    *) echo "$2" ;;
    esac
}

_hubbub_offer_options() {
    local options
    case $1 in
    hubbub)
        options='-l --listen --unix-mode -w --welcome --history -m --max-clients --max-per-ip --max-line
            --feed --rate --stall-timeout --idle-timeout --dead-after --flush-after --raw --access
            --proxy-from --password-file --tls-cert --tls-key --report-every --log-file -v --verbose -q --quiet'
        ;;
    hubbub-client)
        options='--nick -t --timestamps -r --reconnect -s --send -f --follow -n --count --timeout -q --quiet
            --raw --password-file --tls --tls-ca --tls-insecure'
        ;;
    hubbub-load)
        options='-c --clients -s --senders -n --lines -b --bytes --rate --window --stuck --slow --churn
            --idle --duration --timeout --verify --others --protocol --tls --password-file --pid --json
            --i-own-this-host'
        ;;
    esac
    _hubbub_offer $options -h --help -V --version
}

# readline replaces only what follows the last colon, if colons separate words.
_hubbub_trim() {
    local before
    [[ $word == *:* && $COMP_WORDBREAKS == *:* ]] || return 0
    before=${word%"${word##*:}"}
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
}

_hubbub() {
    local program=${1##*/} line=${COMP_LINE:0:COMP_POINT} word before option
    COMPREPLY=()
    # COMP_WORDS is split at each colon.
    word=${line##*[[:space:]]}
    read -r -a before <<<"$program ${line%"$word"}"
    option=$(_hubbub_long "$program" "${before[-1]}")
    if [[ $word == --*=* ]]; then
        option=${word%%=*}
        word=${word#*=}
        _hubbub_offer_values "$option"
        [[ $COMP_WORDBREAKS == *=* ]] || COMPREPLY=("${COMPREPLY[@]/#/"$option="}")
    elif [[ $option == -* ]] && _hubbub_offer_values "$option"; then
        :
    elif [[ $word == -* ]]; then
        _hubbub_offer_options "$program"
    elif [[ $program != hubbub ]]; then
        _hubbub_offer_addresses
    fi
    _hubbub_trim
}

complete -F _hubbub hubbub hubbub-client hubbub-load
