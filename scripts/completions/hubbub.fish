# Completion of hubbub, hubbub-client and hubbub-load for fish 3.0 or later.

# What is typed of the value under the cursor, also after --option=.
function __hubbub_value
    string replace -r -- '^--[a-z-]+=' '' (commandline -ct)
end

# Files after the first unix: in what is typed, where there is one.
function __hubbub_sockets
    set -l parts (string match -r -- '^((?:plain:|named:|json:)?unix:)(.*)$' (__hubbub_value))
    or return
    set -l typed $parts[3]
    for path in $typed*
        test -d $path; and set path $path/
        echo $parts[2]$path
    end
end

# Where to listen: [VIEW:]ADDR.
function __hubbub_places
    printf '%s\t%s\n' plain: 'for scripts' named: 'for people' json: 'for bots' unix: 'a socket, in plain'
    string match -qr -- '^(plain|named|json):' (__hubbub_value)
    and printf '%s\n' {plain,named,json}:unix:\t'a socket'
    __hubbub_sockets
end

# Where to connect.
function __hubbub_addresses
    __fish_print_hostnames
    printf '%s\t%s\n' unix: 'a socket'
    __hubbub_sockets
end

for program in hubbub hubbub-client hubbub-load
    complete -c $program -f
    complete -c $program -s h -l help -d 'print the options and leave'
    complete -c $program -s V -l version -d 'print the version and leave'
end

complete -c hubbub -s l -l listen -x -a '(__hubbub_places)' -d 'listen here; may be repeated'
complete -c hubbub -l unix-mode -x -a '0600 0660 0666' -d 'who may connect to unix sockets'
complete -c hubbub -s w -l welcome -x -d 'line sent to each newcomer'
complete -c hubbub -l history -x -d 'replay the last lines to each newcomer'
complete -c hubbub -s m -l max-clients -x -d 'at most so many connections'
complete -c hubbub -l max-per-ip -x -d 'at most so many connections from one address'
complete -c hubbub -l max-line -x -d 'longest line accepted'
complete -c hubbub -l feed -x -a '64k 256k 1M 4M 16M' -d 'size of the feed'
complete -c hubbub -l rate -x -d 'lines a second one connection may send'
complete -c hubbub -l stall-timeout -x -d 'seconds the room waits for a slow reader'
complete -c hubbub -l idle-timeout -x -d 'disconnect who has sent nothing for so long'
complete -c hubbub -l dead-after -x -d 'disconnect a peer that vanished'
complete -c hubbub -l flush-after -x -d 'take an unfinished line as a message after a while'
complete -c hubbub -l raw -d 'relay bytes as they come'
complete -c hubbub -l report-every -x -d 'log who is online and what was relayed'
complete -c hubbub -l log-file -r -F -d 'append the log to a file'
complete -c hubbub -s v -l verbose -d 'log each message too'
complete -c hubbub -s q -l quiet -d 'log only warnings and errors'

complete -c hubbub-client -a '(__hubbub_addresses)'
complete -c hubbub-client -s t -l timestamps -d 'start each line with the local time of day'
complete -c hubbub-client -s r -l reconnect -d 'connect again when the connection is lost'
complete -c hubbub-client -s s -l send -x -d 'send one line instead of standard input; may be repeated'
complete -c hubbub-client -s f -l follow -d 'do not read standard input; run until the server closes the connection'
complete -c hubbub-client -s n -l count -x -d 'exit after this many received lines'
complete -c hubbub-client -l timeout -x -d 'fail if not done after this many seconds'
complete -c hubbub-client -l raw -d 'write received bytes unchanged'

complete -c hubbub-load -a '(__hubbub_addresses)'
complete -c hubbub-load -s c -l clients -x -d 'connections that receive every line'
complete -c hubbub-load -s s -l senders -x -d 'clients that also send'
complete -c hubbub-load -s n -l lines -x -d 'lines to send in total'
complete -c hubbub-load -s b -l bytes -x -d 'bytes of each line'
complete -c hubbub-load -l rate -x -d 'lines per second in total'
complete -c hubbub-load -l window -x -d 'the most lines not yet received by all clients'
complete -c hubbub-load -l stuck -x -d 'add connections that never read'
complete -c hubbub-load -l slow -x -d 'add one connection that reads slowly'
complete -c hubbub-load -l churn -x -d 'connections to open and close per second'
complete -c hubbub-load -l idle -x -d 'send nothing at first, and measure the idle server'
complete -c hubbub-load -l timeout -x -d 'give up after this time without a delivery'
complete -c hubbub-load -l verify -d 'check content and order of each received line'
complete -c hubbub-load -l others -d 'allow lines from outside this run'
complete -c hubbub-load -l protocol -x -a 'lines nats redis' -d 'the protocol of the server'
complete -c hubbub-load -l pid -x -a '(pgrep -x hubbub 2>/dev/null)' -d 'also measure this server process'
complete -c hubbub-load -l json -d 'print the result as one line of JSON'
complete -c hubbub-load -l i-own-this-host -d 'allow an address that is not on this machine'
