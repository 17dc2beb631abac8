# Takes etcd and etcdutl out of an image, into a folder of the machine: bring plan|act PLACE IMAGE
# CTR... Ends with 0 when they are there, with 10 when they are to be brought, or were.
set -eu
how=$1 place=$2 image=$3
shift 3

[ "$(cat "$place/image" 2>/dev/null)" != "$image" ] || exit 0
if [ "$how" = plan ]; then
    echo "would take etcd and etcdutl from $image into $place"
    exit 10
fi
"$@" images ls --quiet | grep --fixed-strings --line-regexp --quiet -- "$image" ||
    "$@" images pull "$image" >/dev/null
inside=$(mktemp --directory)
"$@" images mount "$image" "$inside" >/dev/null
trap '"$@" images unmount --rm "$inside" >/dev/null; rmdir "$inside"' EXIT
mkdir -p "$place"
rm -f "$place/image"
for program in etcd etcdutl; do
    install --mode 0755 "$inside/usr/local/bin/$program" "$place/$program.new"
    mv "$place/$program.new" "$place/$program"
done
printf '%s' "$image" >"$place/image"
echo "took etcd and etcdutl from $image into $place"
exit 10
