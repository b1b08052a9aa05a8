#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Process 1 of a cloud's namespaces: init.sh STATE ADDRESS/BITS METADATA BRIDGE HOST. When it ends, all of them end.
set -eu

state=$1 address=$2 metadata=$3 bridge=$4 host=$5

hostname "$host"
ip link set lo up
ip link add "$bridge" type bridge
ip link set "$bridge" address 02:00:0a:4d:00:01
ip address add "$address" dev "$bridge"
ip address add "$metadata/32" dev "$bridge"
ip link set "$bridge" up

# If the host's mounts are shared, what it unmounts disappears here too; our mounts never appear there.
mount --make-rslave /
# We have a copy of every mount; a copy that stays keeps the device busy after its owner unmounts it.
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
# A folder that the host lacks is created in a copy of its parent, whose entries are bind-mounted one by one. An overlay
# does not work: it rejects a folder with mounts below that came from a more privileged mount namespace.
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
# libvirt keeps domains in /etc/libvirt, and Nova does not start with a new database and old domains
cp -r "$state/etc/libvirt" "$state/libvirt/etc"
chmod 0755 "$state/libvirt/etc/hooks/qemu"
mount --bind "$state/libvirt/etc" /etc/libvirt
for name in lib log cache; do
    mount --bind "$state/libvirt/$name" "/var/$name/libvirt"
done
# the sysfs of this network namespace: Nova looks there for taps, and would otherwise leave those of deleted servers
mount -t sysfs sysfs /sys
printf '127.0.0.1 localhost\n%s %s\n' "${address%/*}" "$host" > "$state/hosts"
mount --bind "$state/hosts" /etc/hosts
# Debian's libvirt looks up its default user even if its configuration names another one
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
