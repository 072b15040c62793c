#!/bin/sh
# run.sh OUTDIR: shows that each rule of the verifier catches the driver that
# breaks it and that a well-behaved driver raises nothing. Builds the verifier
# and the drivers into OUTDIR, runs them under Wine in a prefix of their own,
# prints one line a rule. Exit status 0: all as expected.
# The prefix is copied from OUTDIR/../wine/prefix-template, made there if missing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# = 1 ] || { echo "usage: run.sh OUTDIR" >&2; exit 2; }
mkdir -p "$1" "$1/../wine"
out=$(cd "$1" && pwd)
template=$(cd "$1/../wine" && pwd)/prefix-template
CC=${CC:-x86_64-w64-mingw32-gcc}
DDK=${DDK:-/usr/share/mingw-w64/include/ddk}

"$here/../verifier/build.sh" "$out"
driver() { # driver NAME [options] sources
    name=$1; shift
    "$CC" -std=gnu11 -O1 -g -Wall -Wno-multichar -Wno-unknown-pragmas -Wno-unused-function -Wno-attributes -ffreestanding \
        -fno-stack-protector -I"$DDK" -nostdlib -shared -Wl,--subsystem,native -Wl,--entry,DriverEntry \
        -o "$out/$name.sys" "$@" "$out/libntoskrnx.a"
}
driver breaker "$here/breaker.c" "$here/sins_memory.c" "$here/sins_sync.c" "$here/sins_irp.c" "$here/card.c" "$here/virtues.c"
driver lower "$here/lower.c"
driver leaker '-DLOWER=L"Leaker"' "$here/lower.c"
"$CC" -std=gnu11 -O1 -Wall -o "$out/runner.exe" "$here/runner.c"

# Debian keeps Wine's programs off the PATH
PATH=/usr/lib/wine:$PATH
wine=$(command -v wine64 || command -v wine)
server=$(command -v wineserver64 || command -v wineserver)
export WINEARCH=win64 WINEDEBUG="${WINEDEBUG:--all}" WINEDLLOVERRIDES="mscoree,mshtml="
unset DISPLAY
if [ ! -d "$template" ]; then
    # made beside its place, so that an interrupted run leaves no half template
    rm -rf "$template.new"
    WINEPREFIX=$template.new "$wine" wineboot -i >/dev/null 2>&1
    WINEPREFIX=$template.new "$server" -w
    mv "$template.new" "$template"
fi
export WINEPREFIX="$out/breakers-prefix"
rm -rf "$WINEPREFIX"
cp -al "$template" "$WINEPREFIX" # hard links, but for what Wine writes into
for file in "$WINEPREFIX"/*.reg "$WINEPREFIX/.update-timestamp"; do
    cp "$file" "$file.own"
    mv "$file.own" "$file"
done
trap '"$server" -k 2>/dev/null || true; rm -rf "$WINEPREFIX"' EXIT
c="$WINEPREFIX/drive_c"
mkdir -p "$c/drv"
cp "$out"/breaker.sys "$out"/lower.sys "$out"/leaker.sys "$out"/runner.exe "$c/drv/"
cp "$out/ntoskrnx.exe" "$c/windows/system32/"

status=0
# a rule that the verifier can report and that nobody breaks here is not tested
for rule in $(grep -oh 'violation("[a-z.-]*"\|"leak\.[a-z]*"' "$here"/../verifier/*.c | grep -o '[a-z]*\.[a-z-]*\|bugcheck\|crash' | sort -u); do
    grep -q "\"$rule\"" "$here"/sins.h "$here"/leaks.h "$here"/runner.c || { echo "FAIL $rule: no breaker"; status=1; }
done
for part in rules crash bugcheck missing; do
    rm -f "$c/verifier.log"
    timeout 120 "$wine" 'C:\drv\runner.exe' $part 2>/dev/null || status=1
    "$server" -k 2>/dev/null || true
    "$server" -w
done
exit $status
