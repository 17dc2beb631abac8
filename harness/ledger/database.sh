# Runs in a pod, as sh -c: one PostgreSQL on the claim at /data, and never two.
#
# A pod that Kubernetes has given up for lost may still write. Whoever starts has to wait for the
# lock, which Ceph takes from a client only with everything else that it holds; PostgreSQL and all
# its processes keep it.
set -eu
exec 9>>/data/lock
flock 9
if [ ! -s /data/database/PG_VERSION ]; then
    rm -rf /data/new
    initdb --pgdata=/data/new --username=ledger --pwfile=/secret/password --encoding=UTF8 \
        --no-locale --auth=scram-sha-256 >/dev/null
    mv /data/new /data/database
fi
echo 'host all ledger all scram-sha-256' >/tmp/hba
exec postgres -D /data/database -c hba_file=/tmp/hba -c listen_addresses='*' -c port=5432 \
    -c unix_socket_directories=/tmp -c max_connections=30 -c shared_buffers=16MB "$@"
