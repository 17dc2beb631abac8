# Runs in a pod, as sh -c: one PostgreSQL on the claim at /data, and never two.
#
# A pod that Kubernetes has given up for lost may still write. A new one waits for the lock: Ceph
# takes it from a client only with everything else that it holds, and PostgreSQL and all its
# processes keep it.
set -eu
exec 9>>/data/lock
flock 9
if [ ! -s /data/database/PG_VERSION ]; then
    rm -rf /data/new /tmp/new
    umask 077
    initdb --pgdata=/tmp/new --no-sync --wal-segsize=1 --username=ledger \
        --pwfile=/secret/password --encoding=UTF8 --no-locale --auth=scram-sha-256 >/dev/null
    # A thousand small files, of which CephFS makes one after the other much slower than many at
    # once.
    cd /tmp/new
    find . -type d -printf '/data/new/%P\0' | xargs -0 mkdir -p
    find . -type f -print0 | xargs -0 -P 16 -n 16 cp --parents --target-directory=/data/new
    find /data/new -print0 | xargs -0 -P 16 -n 32 sync
    cd /
    mv /data/new /data/database
    sync /data
    rm -rf /tmp/new
fi
echo 'host all ledger all scram-sha-256' >/tmp/hba
postgres -D /data/database -c hba_file=/tmp/hba -c listen_addresses='*' -c port=5432 \
    -c unix_socket_directories=/tmp -c max_connections=30 -c shared_buffers=16MB "$@" &
server=$!
# To PostgreSQL, SIGTERM means to wait until every client has gone: a machine that shuts down would
# wait for 90 s.
trap 'kill -INT $server' TERM
wait $server || :
trap - TERM
wait $server
