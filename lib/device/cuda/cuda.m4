# What configure finds of CUDA: nvcc decides, and its run time is linked in. Of NCCL and cuDNN the headers alone: the
# libraries are looked for when a program runs. tests/check_configure.sh holds what is refused.

# WEFT_CUDA: sets have_cuda, NVCC, CUDA_ARCH, CUDA_CFLAGS, CUDA_LIBS and CUDA_NVCCFLAGS
AC_DEFUN([WEFT_CUDA],[
AC_ARG_WITH([cuda],[AS_HELP_STRING([--with-cuda@<:@=DIR@:>@],[yes|no|DIR (default: guess)])],[],[with_cuda=guess])
AC_ARG_VAR([NVCC],[CUDA compiler]) AC_ARG_VAR([NVCCFLAGS],[flags for it]) AC_ARG_VAR([CUDA_ARCH],[GPUs to compile for, the last one also as PTX for those to come (default: "80 90")])
have_cuda=no
AS_CASE([$with_cuda],
  [no],[NVCC=],
  [yes|guess],[AC_PATH_PROG([NVCC],[nvcc],[],[$PATH:/usr/local/cuda/bin])],
  [AC_PATH_PROG([NVCC],[nvcc],[],[$with_cuda/bin])])
AS_IF([test -n "$NVCC"],[cuda_dir=`echo "$NVCC" | sed 's/.* //; s,/*@<:@^/@:>@*/*@<:@^/@:>@*$,,'`
  CUDA_CFLAGS="-isystem $cuda_dir/include"; CUDA_LIBS="-L$cuda_dir/lib64 -L$cuda_dir/lib -lcudart_static -lrt"
  AC_MSG_CHECKING([for CUDA's run time])
  keep_CFLAGS=$CFLAGS; keep_LIBS=$LIBS; CFLAGS="$CFLAGS $CUDA_CFLAGS"; LIBS="$CUDA_LIBS $LIBS"
  AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <cuda_runtime_api.h>]],[[int n; return cudaGetDeviceCount(&n);]])],[have_cuda=yes])
  CFLAGS=$keep_CFLAGS; LIBS=$keep_LIBS
  AC_MSG_RESULT([$have_cuda])
  CUDA_NVCCFLAGS="-std=c++17 -O3 -fmad=false -Wall -fvisibility=hidden -fno-exceptions -fno-threadsafe-statics"
  for a in ${CUDA_ARCH:=80 90}; do CUDA_NVCCFLAGS="$CUDA_NVCCFLAGS -gencode arch=compute_$a,code=sm_$a"; done
  CUDA_NVCCFLAGS="$CUDA_NVCCFLAGS -gencode arch=compute_$a,code=compute_$a"])
AS_CASE([$with_cuda:$have_cuda],[no:*|guess:*|*:yes],[],
  [AC_MSG_ERROR([--with-cuda=$with_cuda was asked for, but nvcc or its run time was not found])])
AS_IF([test $have_cuda = yes],[AC_DEFINE([HAVE_CUDA],[1],[the CUDA device is built])
  WEFT_LDFLAGS="$WEFT_LDFLAGS -Wl,-rpath,$cuda_dir/lib64"],[CUDA_CFLAGS=; CUDA_LIBS=])
AC_SUBST([CUDA_CFLAGS]) AC_SUBST([CUDA_LIBS]) AC_SUBST([CUDA_NVCCFLAGS])])

# WEFT_CUDA_HEADER(what, name, header, version): of a library of CUDA's, from that version on, in CUDA's own folder or in
# $with_what; sets have_what
AC_DEFUN([WEFT_CUDA_HEADER],[have_$1=no; $1_lacks="there is no $3"
  AC_ARG_WITH([$1],[AS_HELP_STRING([--with-$1@<:@=DIR@:>@],[yes|no|DIR (default: guess)])],[],[with_$1=guess])
  AS_CASE([$with_$1],[no|yes|guess],[],[CUDA_CFLAGS="-isystem $with_$1/include $CUDA_CFLAGS"
    AS_IF([test ! -r "$with_$1/include/$3"],
      [AC_MSG_ERROR([--with-$1=$with_$1 was asked for, but there is no $with_$1/include/$3])])])
  AS_CASE([$have_cuda:$with_$1],[yes:no],[],[no:*],[$1_lacks="it takes CUDA, which this build has not"],
    [AC_MSG_CHECKING([for $2 from $4 on])
    $1_version=`echo "version_of AS_TR_CPP([$1])_MAJOR AS_TR_CPP([$1])_MINOR" | $CC -E -P -include $3 $CPPFLAGS $CUDA_CFLAGS - 2>/dev/null |
      sed -n 's/^version_of \(@<:@0-9@:>@*\) \(@<:@0-9@:>@*\)$/\1.\2/p'`
    AS_IF([test -n "$$1_version"],[AS_VERSION_COMPARE([$$1_version],[$4],
      [$1_lacks="its $3 is of $2 $$1_version: it takes $4 or newer"],[have_$1=yes],[have_$1=yes])])
    AC_MSG_RESULT([$have_$1 ($$1_version)])])
  AS_CASE([$with_$1:$have_$1],[*:yes],[AC_DEFINE(AS_TR_CPP([HAVE_$1]),[1],[$3 is there])
    AS_CASE([$with_$1],[yes|guess],[],[WEFT_LDFLAGS="$WEFT_LDFLAGS -Wl,-rpath,$with_$1/lib"])],
    [no:*|guess:*],[],
    [AC_MSG_ERROR([--with-$1=$with_$1 was asked for, but $$1_lacks])])])
