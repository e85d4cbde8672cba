# What the scripts in the lab's machine share.
# shellcheck shell=bash

log() {
    local uptime
    read -r uptime _ </proc/uptime
    echo "[$uptime] $*"
}

# Waits until a command succeeds. The deadline is for a lab that is broken, not for one that is slow.
wait_for() {
    local what=$1 deadline=$((SECONDS + 120))
    shift
    while [ $SECONDS -lt $deadline ]; do
        if "$@"; then return; fi
        sleep 0.1
    done
    log "gave up waiting for $what"
    return 1
}

# What the daemons of NFS expect to find in a machine, or in a namespace that plays one.
prepare_state() {
    mkdir -p /var/lib/nfs/{sm,sm.bak,nfsdcld} /run/{rpcbind,sendsigs.omit.d}
    touch /var/lib/nfs/{etab,rmtab,state}
    chown -R statd /var/lib/nfs/{sm,sm.bak,state}
    chown _rpc /run/rpcbind
}
