#!/bin/sh
# What a user gets: installs into a temporary place and builds against that alone, through pkg-config, in C, C++ and Fortran.
# Every public header must also stand alone, and what goes into an archive must be there.
set -e
dest=$(mktemp -d)
trap 'rm -rf "$dest"' EXIT
prefix=${prefix:-/usr/local}
unset MAKEFLAGS MFLAGS MAKEOVERRIDES
${MAKE:-make} -s -C .. install DESTDIR="$dest" >/dev/null
${MAKE:-make} -s -C .. distdir distdir=archive >/dev/null
chmod -R u+w ../archive
rm -rf ../archive
pc=$(find "$dest" -name weft.pc)
weft="env PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --define-variable=prefix=$dest$prefix"
libdir=$($weft --variable=libdir weft)
warn="-Wall -Wextra -Werror -pedantic"

cat >"$dest/use.c" <<EOF
#include <weft.h>
#include <stdio.h>
weft_status calls(weft_fabric *f, weft_optimizer *o, weft_tensor *loss)
{
    weft_metric_accuracy(f, WEFT_ACCURACY(.top_k = 5));
    return weft_log_dict(f, {"loss", loss}, {"norm", weft_clip_gradients(o, WEFT_CLIP(.max_norm = 1))});
}
int main(void) { return puts(weft_version()) < 0; }
EOF
cp "$dest/use.c" "$dest/use.cc"
for build in "$CC -std=c11:use.c" "$CXX -std=c++20:use.cc"; do
    case $build in " "*) echo "no C++ compiler, C only"; continue ;; esac
    # shellcheck disable=SC2046,SC2086  # words on purpose
    ${build%:*} $warn -o "$dest/use" "$dest/${build#*:}" $($weft --cflags --libs weft)
    said=$(LD_LIBRARY_PATH="$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "$dest/use")
    [ "$said" = "$($weft --modversion weft)" ] || { echo "weft_version() says $said"; exit 1; }
done

# Fortran: with the installed module and library, and from the module's installed source alone.
include=$($weft --variable=includedir weft)
if [ -n "$FC" ]; then
    printf 'program use_weft\nuse weft\nprint "(a)", weft_version()\nend program\n' >"$dest/use.f90"
    for build in "-I$include/weft $dest/use.f90 -L$libdir -lweft_fortran" "-J$dest $include/weft/weft.f90 $dest/use.f90"; do
        # shellcheck disable=SC2046,SC2086  # words on purpose
        $FC -o "$dest/use" $build $($weft --libs weft)
        said=$(LD_LIBRARY_PATH="$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "$dest/use")
        [ "$said" = "$($weft --modversion weft)" ] || { echo "weft_version() says $said in Fortran"; exit 1; }
    done
fi

cd "$include"
for h in weft.h weft/*.h weft/sys/*.h; do
    [ -f "$h" ] || continue
    mpi=
    case $h in */mpi.h) mpi="$MPI_CFLAGS -DOMPI_SKIP_MPICXX" ;; esac
    # shellcheck disable=SC2086
    echo "#include <$h>" | $CC -std=c11 $warn $mpi -I. -fsyntax-only -x c -
    # shellcheck disable=SC2086
    [ -z "$CXX" ] || echo "#include <$h>" | $CXX -std=c++20 $warn $mpi -I. -fsyntax-only -x c++ -
done
