#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Process 1 of a cloud's namespaces: init.sh STATE ADDRESS/BITS METADATA BRIDGE HOST. When it ends, everything in them does.
set -eu

state=$1 address=$2 metadata=$3 bridge=$4 host=$5

hostname "$host"
ip link set lo up
ip link add "$bridge" type bridge
ip link set "$bridge" address 02:00:0a:4d:00:01
ip address add "$address" dev "$bridge"
ip address add "$metadata/32" dev "$bridge"
ip link set "$bridge" up

# What the host unmounts goes from here, too, where its mounts are shared; nothing of ours goes there.
mount --make-rslave /
# We have got a copy of every mount; one that stays here keeps its device busy when its owner is done with it.
scratch=$(dirname "$(dirname "$state")")
mapfile -t mounts < /proc/self/mountinfo
for line in "${mounts[@]}"; do
    read -r _ _ _ _ point _ <<< "$line"
    point=$(printf '%b' "$point")
    case "${line##* - } $point" in
        *" /dev/loop"* | *" $scratch/"*) umount --lazy -- "$point" || true ;;
    esac
done
mount -t tmpfs tmpfs /run
mkdir -p /run/libvirt /run/cloud
mount --bind "$state" /run/cloud
state=/run/cloud
# What the host does not have is made in a copy of the folder above, of its own entries mounted one by one. No overlay:
# that refuses what has mounts below, where these came from the mount namespace of more than we are.
for folder in /var/lib/libvirt /var/log/libvirt /var/cache/libvirt /etc/libvirt; do
    [[ ! -d $folder ]] || continue
    above=${folder%/*} copy=$state/above
    mkdir -p "$copy"
    mount -t tmpfs -o mode=0755 tmpfs "$copy"
    for entry in "$above"/* "$above"/.[!.]*; do
        name=$copy/${entry##*/}
        if [[ -L $entry ]]; then
            cp -P -- "$entry" "$name"
        elif [[ -d $entry ]]; then
            mkdir -- "$name" && mount --rbind -- "$entry" "$name"
        elif [[ -e $entry ]]; then
            touch -- "$name" && mount --bind -- "$entry" "$name"
        fi
    done
    mkdir "$copy/libvirt"
    mount --move "$copy" "$above"
done
rm -rf "$state/libvirt"
mkdir -p "$state"/libvirt/{lib,log,cache}
# libvirt keeps domains below /etc/libvirt, and Nova refuses to start on a new database beside old domains
cp -r "$state/etc/libvirt" "$state/libvirt/etc"
chmod 0755 "$state/libvirt/etc/hooks/qemu"
mount --bind "$state/libvirt/etc" /etc/libvirt
for name in lib log cache; do
    mount --bind "$state/libvirt/$name" "/var/$name/libvirt"
done
# of this network: Nova looks here for taps, and would leave those of deleted servers otherwise
mount -t sysfs sysfs /sys
printf '127.0.0.1 localhost\n%s %s\n' "${address%/*}" "$host" > "$state/hosts"
mount --bind "$state/hosts" /etc/hosts
# Debian's libvirt looks its user up even where its configuration names another one
if ! getent passwd libvirt-qemu > /dev/null; then
    {
        cat /etc/passwd
        echo 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin'
    } > "$state/passwd"
    {
        cat /etc/group
        echo 'libvirt-qemu:x:64055:'
    } > "$state/group"
    mount --bind "$state/passwd" /etc/passwd
    mount --bind "$state/group" /etc/group
fi
trap 'exit 0' TERM INT
touch "$state/ready"
sleep infinity &
wait
