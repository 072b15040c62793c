#!/bin/sh
# The linker of `./x driver`: lld-link, told nothing that differs from one work tree or one run to the next.
#
# A PDB records the linker's command line, its folder and the path of every input, and the image records a hash of the
# PDB. So every path below the work tree is given relative to it, what rustc writes into folders of random name (the
# definition file, libraries with C in them) is copied elsewhere first, and the work tree is called /sluice.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"

relative() { printf '%s' "$1" | sed "s|$root/||g"; }

for argument do
    shift
    case $argument in
    /OUT:*) image=${argument#/OUT:} ;;
    /DEF:*) definition=${argument#/DEF:}; continue ;;
    */rustc??????/*.rlib)
        # A library that holds C, without its metadata, in a folder of random name.
        linked=$(dirname "$(dirname "$argument")")/linked
        mkdir -p "$linked"
        cp "$argument" "$linked/"
        argument=$linked/$(basename "$argument")
        ;;
    @*)
        # Too long for a command line: the arguments lie in a file, in a folder of random name.
        echo "link.sh: response files are not handled" >&2
        exit 1
        ;;
    esac
    set -- "$@" "$(relative "$argument")"
done
cp "$definition" "$image.def"
exec lld-link-19 "$@" "/DEF:$(relative "$image.def")" /PDBSOURCEPATH:/sluice
