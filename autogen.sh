#!/bin/sh
# Makes configure and the Makefile.in's; only needed in a checkout, not in a release tarball.
cd "$(dirname "$0")" && exec autoreconf -fi
