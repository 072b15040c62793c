#!/bin/sh
# build.sh VERIFIERDIR OUT: builds the test disk driver OUT (sluicetest.sys), linked to
# VERIFIERDIR/libntoskrnx.a (made by ../verifier/build.sh). Needs mingw-w64's gcc with its DDK headers.
set -eu
verifier=$(cd "$1" && pwd); out=$(realpath -m "$2"); cd "$(dirname "$0")"
DDK=${DDK:-/usr/share/mingw-w64/include/ddk}
x86_64-w64-mingw32-gcc -std=c17 -O2 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-unknown-pragmas \
  -isystem "$DDK" -DNTDDI_VERSION=0x06030000 -D_WIN32_WINNT=0x0603 \
  -ffreestanding -fno-stack-protector -mno-stack-arg-probe -shared -nostdlib \
  -Wl,--entry,DriverEntry,--subsystem,native,--image-base,0x140000000 -o "$out" ./*.c -L"$verifier" -lntoskrnx
