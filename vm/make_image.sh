#!/bin/bash
# Makes the disk image, the kernel and the initial file system of the VM in a folder.
#
#   vm/make_image.sh FOLDER SOURCES...
#
# FOLDER holds project.tar, wheels/ and acquire.conf; root.img, vmlinuz, initrd and packages come to
# lie there.  SOURCES are files of apt's sources that offer Debian 12.  Root, or root of a user
# namespace that has many users, with mount and process namespaces of its own; nothing is mounted
# that outlives it.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
folder=$(readlink -f "$1")
shift
# What stands in the tree beside the essential packages: an init that loads AppArmor profiles and
# settings as a user's machine does, and what brings the kernel's modules in.
base=systemd-sysv,udev,apparmor,kmod,procps

export HNB_VM_FOLDER=$folder
mmdebstrap --quiet --mode=root --variant=minbase --format=directory --include="$base" \
    --aptopt="$folder/acquire.conf" --customize-hook="$here/tree.sh" \
    bookworm "$folder/tree" "$@"
rm -f "$folder/tree/etc/apt/apt.conf.d/99mmdebstrap" # this machine's way to the network
echo testbed >"$folder/tree/etc/hostname"
# 600 MB for what a run writes; blocks that hold nothing take no room here.
size_mb=$(($(du --summarize --block-size=1M "$folder/tree" | cut -f1) * 11 / 10 + 600))
mke2fs -q -t ext4 -m 0 -L testbed -d "$folder/tree" "$folder/root.img" "${size_mb}M"
rm -rf "$folder/tree"
