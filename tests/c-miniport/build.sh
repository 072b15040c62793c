#!/bin/sh
# build.sh LIBRARY OUT: builds the miniports for Windows, OUT/<miniport>-<kind>-<compiler>.sys, linked to LIBRARY.def's names
# of sluice.sys: by clang and lld, and by mingw-w64's gcc and ld. Both import libraries are made here of the same list.
# Afterwards each image must import from sluice.sys and the kernel alone.
set -eu
definition=$(realpath "$1"); mkdir -p "$2"; out=$(cd "$2" && pwd); cd "$(dirname "$0")"
headers=../../compat-shim/include
warnings="-std=c11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror"

llvm-dlltool-19 -m i386:x86-64 -d "$definition" -l "$out/sluice.lib"
x86_64-w64-mingw32-dlltool -m i386:x86-64 -d "$definition" -l "$out/libsluice.a"
# What compilers call by themselves; every kernel exports them.
printf 'LIBRARY ntoskrnl.exe\nEXPORTS\nmemcpy\nmemset\nmemmove\nmemcmp\n' > "$out/kernel.def"
llvm-dlltool-19 -m i386:x86-64 -d "$out/kernel.def" -l "$out/kernel.lib"
x86_64-w64-mingw32-dlltool -m i386:x86-64 -d "$out/kernel.def" -l "$out/libkernel.a"

# clang NAME FLAGS SOURCES...
clang() {
    name=$1 flags=$2; shift 2
    mkdir -p "$out/$name.objects"
    for source; do
        # shellcheck disable=SC2086 # flags are words
        clang-19 --target=x86_64-pc-windows-msvc $warnings $flags -O2 -ffreestanding -nostdlibinc -fno-stack-protector \
            -mno-stack-arg-probe -I "$headers" -I plain -I torture -I disk \
            -c "$source" -o "$out/$name.objects/$(basename "$source" .c).obj"
    done
    lld-link-19 /nologo /driver /subsystem:native /entry:DriverEntry /nodefaultlib /release /brepro /WX \
        "/out:$out/$name.sys" "$out/$name.objects"/*.obj "$out/sluice.lib" "$out/kernel.lib"
}

# mingw NAME FLAGS SOURCES...
mingw() {
    name=$1 flags=$2; shift 2
    # shellcheck disable=SC2086 # flags are words
    x86_64-w64-mingw32-gcc $warnings $flags -O2 -ffreestanding -fno-stack-protector -mno-stack-arg-probe -shared -nostdlib \
        -I "$headers" -I plain -I torture -I disk -Wl,--entry,DriverEntry,--subsystem,native,--exclude-all-symbols \
        -o "$out/$name.sys" "$@" -L"$out" -lsluice -lkernel
}

# Prints the images that an image imports from.
imports() {
    llvm-readobj-19 --coff-imports "$1" | sed -n 's/^ *Name: //p' | sort -u | tr '\n' ' '
}

for miniport in plain torture; do
    for kind in legacy extended; do
        flags=
        [ $kind = legacy ] || flags=-DEXTENDED
        clang $miniport-$kind-clang "$flags" $miniport/*.c disk/*.c
        mingw $miniport-$kind-mingw "$flags" $miniport/*.c disk/*.c
        for compiler in clang mingw; do
            image=$out/$miniport-$kind-$compiler.sys
            found=$(imports "$image")
            case $found in
            "ntoskrnl.exe sluice.sys " | "sluice.sys ") ;;
            *) echo "$image imports from: $found" >&2; exit 1 ;;
            esac
        done
    done
done
