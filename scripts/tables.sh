# shellcheck shell=bash
# Tables and charts of what scripts/compare has measured; it sources this file.
#
# It sets $work, with a file for each figure: CASE.SERVER.KEY, a line per round;
# $rounds; $cases, those that were run; $servers, the columns, of which the first
# is the one to compare with; $full_name; $charts, the folder; and version.
# shellcheck disable=SC2154

# --- What the tables show

table_plain() {
    head_row
    group saturated '1,000 clients; 10 of them send 20,000 lines of 64 bytes as fast as possible'
    row 'deliveries per second' saturated deliveries_a_second 1e-6 2 ' M'
    row 'server CPU per delivery' saturated cpu_ns_a_delivery 1 1 ' ns'
    user_shares saturated
    row 'resident memory, peak' saturated peak_kib 0.0009765625 1 ' MB'
    counts 'deliveries lost' saturated lost
    counts 'deliveries in another order than to other readers' saturated out_of_order
    group one '1,000 clients, one line at a time, the next after all have received the last'
    row 'server CPU per delivery' one cpu_ns_a_delivery 1 0 ' ns'
    counts 'deliveries lost' one lost
    group paced '100 clients, 100 lines per second'
    row 'latency p50' paced p50 0.001 2 ' ms'
    row 'latency p99' paced p99 0.001 2 ' ms'
    each_round paced
    group idle '10,000 idle clients'
    row 'resident memory per client' idle bytes_a_connection 1 0 ' bytes'
    row 'server CPU per connection' idle cpu_us_a_connection 1 1 ' µs'
    row 'server CPU in 5 s' idle idle_cpu_seconds 1000 0 ' ms'
    group stuck '200 clients and one that never reads, 100,000 lines as fast as possible'
    row 'server CPU per delivery' stuck cpu_ns_a_delivery 1 1 ' ns'
    row 'time until all is delivered' stuck seconds 1 1 ' s'
    row 'resident memory, peak' stuck peak_kib 0.0009765625 1 ' MB'
    counts 'deliveries lost by other clients' stuck lost
    counts 'other clients disconnected' stuck cut
    counts 'rounds in which it was disconnected' stuck stuck_cut
}

table_tls() {
    head_row
    group tls-saturated '1,000 clients; 10 of them send 20,000 lines of 64 bytes as fast as possible'
    row 'deliveries per second' tls-saturated deliveries_a_second 1e-6 2 ' M'
    row 'server CPU per delivery' tls-saturated cpu_ns_a_delivery 1 1 ' ns'
    user_shares tls-saturated
    row 'resident memory, peak' tls-saturated peak_kib 0.0009765625 1 ' MB'
    counts 'deliveries lost' tls-saturated lost
    group tls-idle '5,000 idle clients'
    row 'resident memory per client' tls-idle bytes_a_connection 1 0 ' bytes'
    row 'server CPU per connection, with the handshake' tls-idle cpu_us_a_connection 1 0 ' µs'
    row 'server CPU in 5 s' tls-idle idle_cpu_seconds 1000 0 ' ms'
    group tls-stuck '1,000 clients that never read, 10,000 lines of 64 bytes'
    row 'memory per client that never reads' tls-stuck bytes_a_stuck 0.001 1 ' kB'
    counts 'of these clients disconnected' tls-stuck stuck_cut
}

# The table of README.md.
short_table() {
    local with_factor=0
    head_row
    row '1,000 clients: deliveries per second' saturated deliveries_a_second 1e-6 2 ' M'
    row 'server CPU per delivery' saturated cpu_ns_a_delivery 1 1 ' ns'
    row 'resident memory, peak' saturated peak_kib 0.0009765625 1 ' MB'
    row '10,000 idle clients: memory per client' idle bytes_a_connection 1 0 ' bytes'
    row '100 clients, 100 lines per second: latency p99' paced p99 0.001 2 ' ms'
}

charts_plain() {
    chart saturated '1,000 clients, as fast as possible' 'server CPU per delivery, ns' saturated cpu_ns_a_delivery 1
    chart memory '1,000 clients, as fast as possible' 'resident memory, peak, MB' saturated peak_kib 0.0009765625
    chart idle '10,000 idle clients' 'resident memory per client, bytes' idle bytes_a_connection 1
    chart latency '100 clients, 100 lines per second' 'latency p99, ms' paced p99 0.001
}

charts_tls() {
    chart tls '1,000 clients with TLS, as fast as possible' 'server CPU per delivery, ns' \
        tls-saturated cpu_ns_a_delivery 1
    chart tls-idle '5,000 idle clients with TLS' 'resident memory per client, bytes' tls-idle bytes_a_connection 1
}

# --- Rows and charts

# median_of CASE SERVER KEY: nothing if no round ended.
median_of() {
    local file=$work/$1.$2.$3
    [[ ! -s $file ]] || median <"$file"
}

# if_fewer CASE SERVER KEY: " in 2 of 3 rounds", if some rounds have no figure.
if_fewer() {
    local file=$work/$1.$2.$3 count=0
    [[ ! -f $file ]] || count=$(wc -l <"$file")
    ((count == 0 || count == rounds)) || printf ' in %d of %d rounds' "$count" "$rounds"
}

was_run() {
    [[ " ${cases[*]} " == *" $1 "* ]]
}

# head_row: the names of the servers.
head_row() {
    local name
    printf '|  |'
    for name in "${servers[@]}"; do printf ' %s %s |' "${full_name[$name]}" "$(version "$name")"; done
    printf '\n|---|'
    for name in "${servers[@]}"; do printf -- '---|'; done
    echo
}

# group CASE TITLE: a row above those of a case.
group() {
    local name
    was_run "$1" || return 0
    printf '| **%s** |' "$2"
    for name in "${servers[@]}"; do printf '|'; done
    echo
}

# row TITLE CASE KEY FACTOR DIGITS UNIT: a row of the table, with the factor to
# the first server if $with_factor is 1.
with_factor=1
row() {
    local title=$1 case=$2 key=$3 factor=$4 digits=$5 unit=$6 name own value
    was_run "$case" || return 0
    own=$(median_of "$case" "${servers[0]}" "$key")
    printf '| %s |' "$title"
    for name in "${servers[@]}"; do
        value=$(median_of "$case" "$name" "$key")
        awk -v value="$value" -v own="$own" -v factor="$factor" -v digits="$digits" -v unit="$unit" \
            -v name="$name" -v first="${servers[0]}" -v with_factor="$with_factor" \
            -v fewer="$(if_fewer "$case" "$name" "$key")" 'BEGIN {
                if (value == "") { printf " did not finish |"; exit }
                printf " %.*f%s%s", digits, value * factor, unit, fewer
                ratio = own > 0 ? value / own : 0
                if (with_factor && name != first && ratio > 0) printf(ratio < 1000 ? " (%.3g ×)" : " (%d ×)", ratio)
                printf " |"
            }'
    done
    echo
}

# counts TITLE CASE KEY: a row of sums over all rounds.
counts() {
    local title=$1 case=$2 key=$3 name file
    was_run "$case" || return 0
    printf '| %s |' "$title"
    for name in "${servers[@]}"; do
        file=$work/$case.$name.$key
        if [[ -s $file ]]; then
            awk -v fewer="$(if_fewer "$case" "$name" "$key")" '{sum += $1} END {printf " %d%s |", sum, fewer}' "$file"
        else
            printf ' did not finish |'
        fi
    done
    echo
}

sum() {
    awk '{sum += $1} END {print sum + 0}' "$work/$1.$2.$3" 2>/dev/null || echo 0
}

# user_shares CASE: the share of user time in the CPU time. The kernel counts in
# ticks of 10 ms, so this is a sum over all rounds.
user_shares() {
    local name
    was_run "$1" || return 0
    printf '| user time in it |'
    for name in "${servers[@]}"; do
        awk -v user="$(sum "$1" "$name" user_seconds)" -v kernel="$(sum "$1" "$name" system_seconds)" \
            'BEGIN { if (user + kernel == 0) printf " did not finish |"
                else printf " %.0f %% |", 100 * user / (user + kernel) }'
    done
    echo
}

# each_round CASE: the latency of each round, in order.
each_round() {
    local name
    was_run "$1" || return 0
    printf '| p99 of each round |'
    for name in "${servers[@]}"; do
        { cat "$work/$1.$name.p99" 2>/dev/null || true; } |
            awk '{printf "%s%.2f", (NR > 1 ? ", " : " "), $1 / 1000} END {printf "%s", (NR > 0 ? " ms |" : " did not finish |")}'
    done
    echo
}

# chart NAME TITLE UNIT CASE KEY FACTOR: one bar per server, in NAME.svg.
chart() {
    local file=$charts/$1.svg title=$2 unit=$3 case=$4 key=$5 factor=$6 name value
    for name in "${servers[@]}"; do
        value=$(median_of "$case" "$name" "$key")
        [[ ! $value ]] || awk -v name="${full_name[$name]}" -v value="$value" -v factor="$factor" \
            'BEGIN {printf "\"%s\" %.6g\n", name, value * factor}'
    done >"$work/chart"
    [[ -s $work/chart ]] || return 0
    gnuplot <<PLOT
set terminal svg size 640,320 font 'sans-serif,13' background rgb 'white'
set output '$file'
set title '$title'
set ylabel '$unit'
set logscale y
set yrange [*:*]
stats '$work/chart' using 2 nooutput
set yrange [10**(floor(log10(STATS_min)) - 0.3):10**(ceil(log10(STATS_max)) + 0.3)]
set style fill solid 0.8 noborder
set boxwidth 0.6
set grid ytics linecolor rgb '#dddddd'
set border 3
set tics nomirror
unset key
plot '$work/chart' using 0:2:xtic(1) title 'figures' with boxes linecolor rgb '#2f6f9f', \
    '' using 0:2:(sprintf('%.3g', \$2)) with labels offset 0,0.7
PLOT
}

# replace_table FILE MARK TABLE: puts the table between the marks of the file.
replace_table() {
    awk -v mark="<!-- $2 -->" -v table="$3" '
        $0 == mark { print; while ((getline line < table) > 0) print line; skip = 1; next }
        $0 == "<!-- end -->" { skip = 0 }
        !skip' "$1" >"$work/replaced"
    cat "$work/replaced" >"$1"
}
