# Completion of hubbub, hubbub-client and hubbub-load for fish 3.0 or later.

# The typed part of the value under the cursor, also after --option=.
function __hubbub_value
    string replace -r -- '^--[a-z-]+=' '' (commandline -ct)
end

# Files, if the typed value has the prefix unix:.
function __hubbub_sockets
    set -l parts (string match -r -- '^((?:plain:|named:|json:|admin:)?unix:)(.*)$' (__hubbub_value))
    or return
    set -l typed $parts[3]
    for path in $typed*
        test -d $path; and set path $path/
        echo $parts[2]$path
    end
end

# An address to listen on: [VIEW:]ADDR.
function __hubbub_places
    printf '%s\t%s\n' plain: 'for scripts' named: 'for people' json: 'for bots' \
        named+tls: 'for people, encrypted' admin: 'for operators' unix: 'a unix socket, plain view'
    string match -qr -- '^(plain|named|json|admin):' (__hubbub_value)
    and printf '%s\n' {plain,named,json,admin}:unix:\t'a unix socket'
    __hubbub_sockets
end

# An address to connect to.
function __hubbub_addresses
    __fish_print_hostnames
    printf '%s\t%s\n' unix: 'a unix socket'
    __hubbub_sockets
end

for program in hubbub hubbub-client hubbub-load
    complete -c $program -f
    complete -c $program -s h -l help -d 'print the options and exit'
    complete -c $program -s V -l version -d 'print the version and exit'
end

complete -c hubbub -s l -l listen -x -a '(__hubbub_places)' -d 'listen on an address; may be repeated'
complete -c hubbub -l unix-mode -x -a '0600 0660 0666' -d 'permissions of unix sockets'
complete -c hubbub -s w -l welcome -x -d 'line sent to each new client'
complete -c hubbub -l history -x -d 'replay the last lines to each new client'
complete -c hubbub -s m -l max-clients -x -d 'at most N clients'
complete -c hubbub -l max-per-ip -x -d 'at most N clients from one address'
complete -c hubbub -l max-line -x -d 'longest line accepted'
complete -c hubbub -l feed -x -a '64k 256k 1M 4M 16M' -d 'size of each feed'
complete -c hubbub -l rate -x -d 'lines per second from one client'
complete -c hubbub -l stall-timeout -x -d 'disconnect readers that hold up the room'
complete -c hubbub -l idle-timeout -x -d 'disconnect clients that send nothing'
complete -c hubbub -l dead-after -x -d 'disconnect vanished clients'
complete -c hubbub -l flush-after -x -d 'send an unfinished line after a while without input'
complete -c hubbub -l raw -d 'relay bytes unchanged'
complete -c hubbub -l access -r -F -d 'allow and deny networks'
complete -c hubbub -l proxy-from -x -d 'peers that send a PROXY header first'
complete -c hubbub -l password-file -r -F -d 'new clients must send the password in this file'
complete -c hubbub -l tls-cert -r -F -d 'certificate chain for listeners with TLS'
complete -c hubbub -l tls-key -r -F -d 'key of the certificate'
complete -c hubbub -l report-every -x -d 'log how many are online and what was relayed'
complete -c hubbub -l log-file -r -F -d 'append the log to a file'
complete -c hubbub -s v -l verbose -d 'log each message too'
complete -c hubbub -s q -l quiet -d 'log only warnings and errors'

complete -c hubbub-client -a '(__hubbub_addresses)'
complete -c hubbub-client -l nick -x -d 'ask the server for this name'
complete -c hubbub-client -l password-file -r -F -d 'send the first line of this file if the server asks for a password'
complete -c hubbub-client -l tls -d 'encrypt the connection'
complete -c hubbub-client -l tls-ca -r -F -d 'encrypt, and trust the certificates in this file'
complete -c hubbub-client -l tls-insecure -d 'encrypt, and accept any certificate'
complete -c hubbub-client -s t -l timestamps -d 'start each line with the local time of day'
complete -c hubbub-client -s r -l reconnect -d 'connect again when the connection is lost'
complete -c hubbub-client -s s -l send -x -d 'send one line instead of standard input; may be repeated'
complete -c hubbub-client -s f -l follow -d 'do not read standard input; run until the server closes the connection'
complete -c hubbub-client -s n -l count -x -d 'exit after this many received lines'
complete -c hubbub-client -l timeout -x -d 'fail if not done after this many seconds'
complete -c hubbub-client -s q -l quiet -d 'write only what others say'
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
complete -c hubbub-load -l duration -x -d 'stop sending after this time'
complete -c hubbub-load -l timeout -x -d 'give up after this time without a delivery'
complete -c hubbub-load -l verify -d 'check content and order of each received line'
complete -c hubbub-load -l others -d 'allow lines from outside this run'
complete -c hubbub-load -l protocol -x -a 'lines nats redis' -d 'the protocol of the server'
complete -c hubbub-load -l tls -d 'encrypt the connections, and accept any certificate'
complete -c hubbub-load -l password-file -r -F -d 'send the first line of this file if the server asks for a password'
complete -c hubbub-load -l pid -x -a '(pgrep -x hubbub 2>/dev/null)' -d 'also measure this server process'
complete -c hubbub-load -l json -d 'print the result as one line of JSON'
complete -c hubbub-load -l i-own-this-host -d 'allow an address that is not on this machine'
