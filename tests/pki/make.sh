#!/bin/sh
# Makes the certificates of the fake API server anew, from 2020 on for a hundred years. They protect nothing.
set -eu
cd "$(dirname "$0")"
rm -f ./*.key ./*.crt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/conf" <<END
[ca]
default_ca = one
[one]
database = $work/index
serial = $work/serial
new_certs_dir = $work
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
organizationName = optional
END
: >"$work/index"
echo 01 >"$work/serial"
made() { # name, subject, extensions, how it is signed
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"
    openssl req -new -key "$1.key" -subj "$2" -out "$work/csr"
    printf '%s\n' "$3" >"$work/extensions"
    shift 3
    openssl ca -batch -notext -config "$work/conf" -startdate 20200101000000Z -enddate 21200101000000Z \
        -in "$work/csr" -extfile "$work/extensions" "$@"
}
authority() {
    made "$1" "/CN=$1" "basicConstraints=critical,CA:TRUE" -selfsign -keyfile "$1.key" -out "$1.crt"
}
signed() {
    made "$1" "$2" "$3" -cert ca.crt -keyfile ca.key -out "$1.crt"
}
authority ca
authority other-ca
signed server /CN=fake "subjectAltName=DNS:localhost,DNS:api.example,IP:127.0.0.1,IP:::1"
signed alice /O=dev/CN=alice "extendedKeyUsage=clientAuth"
signed bob /CN=bob "extendedKeyUsage=clientAuth"
openssl ec -in alice.key -aes256 -passout pass:secret -out alice-locked.key
rm ca.key other-ca.key
