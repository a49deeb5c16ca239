#!/bin/sh
# certificates.sh FOLDER [NAME...]: an authority and certificates that it signs, as PEM files in FOLDER.
# The authority is made once and kept; certificates of NAME (default: server worker operator) are made anew each time
# and take the place of the old ones in one step. For trying out: the authority's key lies beside them.
set -eu
folder=${1:?usage: certificates.sh FOLDER [NAME...]}
shift
[ $# -gt 0 ] || set -- server worker operator
mkdir -p "$folder"
cd "$folder"
umask 077

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

if [ ! -f authority.pem ]; then
    key authority.key
    openssl req -x509 -new -key authority.key -days 365 -subj "/CN=samples authority" -out authority.pem
fi
for name in "$@"; do
    key "$name.key.new"
    openssl req -new -key "$name.key.new" -subj "/CN=$name" -out "$name.csr"
    # Names that clients look for in a server's certificate; nobody looks for one in a client's.
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >"$name.ext"
    openssl x509 -req -in "$name.csr" -CA authority.pem -CAkey authority.key -set_serial "0x$(openssl rand -hex 8)" \
        -days 30 -extfile "$name.ext" -out "$name.pem.new" 2>"$name.err" || { cat "$name.err" >&2; exit 1; }
    mv "$name.key.new" "$name.key"
    mv "$name.pem.new" "$name.pem"
    rm "$name.csr" "$name.ext" "$name.err"
done
