#!/bin/sh
# build.sh VERIFIERDIR OUTDIR: builds the stage drivers into OUTDIR: sluicecount.sys, the example of docs/stages.md, and
# sluicestage.sys, which does with a stage whatever a test asks for. Linked as ../disk/build.sh does it.
set -eu
verifier=$(cd "$1" && pwd); out=$(cd "$2" && pwd); cd "$(dirname "$0")"
DDK=${DDK:-/usr/share/mingw-w64/include/ddk}
driver() { # driver NAME SOURCE
  x86_64-w64-mingw32-gcc -std=c17 -O2 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-unknown-pragmas \
    -isystem "$DDK" -I../../../../driver/include -DNTDDI_VERSION=0x06030000 -D_WIN32_WINNT=0x0603 \
    -ffreestanding -fno-stack-protector -mno-stack-arg-probe -shared -nostdlib \
    -Wl,--entry,DriverEntry,--subsystem,native,--image-base,0x140000000 -o "$out/$1" "$2" -L"$verifier" -lntoskrnx
}
driver sluicecount.sys count.c
driver sluicestage.sys probe.c
