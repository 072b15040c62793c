#!/bin/sh
# build.sh OUTDIR: builds OUTDIR/ntoskrnx.exe (the verifier) and OUTDIR/libntoskrnx.a
# (to link test drivers with). Needs mingw-w64's gcc with its DDK headers, Wine's
# ntoskrnl.exe and llvm-readobj.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# = 1 ] || { echo "usage: build.sh OUTDIR" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
CC=${CC:-x86_64-w64-mingw32-gcc}
DLLTOOL=${DLLTOOL:-x86_64-w64-mingw32-dlltool}
READOBJ=${READOBJ:-$(command -v llvm-readobj-19 || command -v llvm-readobj)}
DDK=${DDK:-/usr/share/mingw-w64/include/ddk}
WINE_DLLS=${WINE_DLLS:-/usr/lib/x86_64-linux-gnu/wine/x86_64-windows}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

exports() { "$READOBJ" --coff-exports "$1" | sed -n 's/^  Name: //p' | sort -u; }
exports "$WINE_DLLS/ntoskrnl.exe" > "$work/wine"
# Wine's kernel by its own list of exports: mingw's import library has fewer.
{ echo 'LIBRARY ntoskrnl.exe'; echo EXPORTS; cat "$work/wine"; } > "$work/wine.def"
"$DLLTOOL" -d "$work/wine.def" -l "$work/libwine.a"

for source in "$here"/*.c; do
    "$CC" -std=gnu11 -O1 -g -Wall -Wno-unused-function -Wno-unknown-pragmas -Wno-multichar -Wno-format -Wno-attributes \
        -Wno-unused-but-set-variable -fno-stack-protector -ffreestanding -I"$DDK" -c "$source" \
        -o "$work/$(basename "$source" .c).o"
done

# What we supply: every x_NAME under NAME, and verifier_*. What we do not: on to Wine.
nm -g --defined-only "$work"/*.o | sed -n 's/.* T x_\(.*\)/\1/p' | sort -u > "$work/own"
nm -g --defined-only "$work"/*.o | sed -n 's/.* T \(verifier_.*\)/\1/p' | sort -u > "$work/tests"
{
    echo 'LIBRARY ntoskrnx.exe'; echo EXPORTS
    sed 's/.*/& = x_&/' "$work/own"
    cat "$work/tests"
    comm -23 "$work/wine" "$work/own" | sed 's/.*/& = ntoskrnl.exe.&/'
} > "$work/x.def"
"$CC" -shared -nostdlib -Wl,--entry,DllMain -o "$work/ntoskrnx.exe" "$work"/*.o "$work/x.def" \
    "$work/libwine.a" -lkernel32 -lntdll -lgcc
{ echo 'LIBRARY ntoskrnx.exe'; echo EXPORTS; cat "$work/own" "$work/tests" "$work/wine" | sort -u; } > "$work/link.def"
"$DLLTOOL" -d "$work/link.def" -l "$work/libntoskrnx.a"
mv "$work/ntoskrnx.exe" "$work/libntoskrnx.a" "$out/"
