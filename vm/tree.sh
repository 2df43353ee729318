#!/bin/bash
# mmdebstrap's hook: makes a bare Debian tree into the machine that the Vagrantfile describes, by the
# provisioner that stands there, and takes the kernel out of its package.
#
# HNB_VM_FOLDER is the folder of make_image.sh.
set -euo pipefail

tree=$1
folder=$HNB_VM_FOLDER
here=$(dirname "$(readlink -f "$0")")
cache=/var/cache/hnb-testbed
# Of this machine's environment only its way to the network: pip's settings name folders outside.
mapfile -t proxies < <(env | grep -i '^[a-z]*_proxy=' || true)
in_tree() {
    chroot "$tree" env -i "${proxies[@]}" HOME=/tmp LC_ALL=C.UTF-8 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

in_tree useradd --create-home --shell /bin/bash vagrant
tar -x --no-same-owner -f "$folder/project.tar" -C "$tree/home/vagrant"
in_tree chown -R vagrant: /home/vagrant

# pip finds everything here, now and in the VM, where no network is.
mkdir -p "$tree$cache"
cp -r "$folder/wheels" "$tree$cache/wheels"
printf '[global]\nno-index = true\nfind-links = %s/wheels\n' "$cache" >"$tree/etc/pip.conf"

echo 'runs the provisioner of the Vagrantfile'
sed -n '/inline: <<~SHELL/,/^ *SHELL$/p' "$here/../Vagrantfile" | sed '1d;$d' >"$tree$cache/provisioner"
[[ -s $tree$cache/provisioner ]]
in_tree bash "$cache/provisioner"

echo 'unpacks the kernel'
kernel=$(in_tree apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-\)/\1/p')
in_tree bash -euc "cd $cache; chmod 777 .
    apt-get -qq download $kernel busybox-static
    for package in *.deb; do dpkg-deb -x \"\$package\" unpacked; done"
unpacked=$tree$cache/unpacked
version=$(ls "$unpacked/lib/modules")
cp -a "$unpacked/lib/modules" "$tree/usr/lib/"
in_tree depmod "$version"
cp "$unpacked/boot/vmlinuz-$version" "$folder/vmlinuz"

initial=$unpacked/initial
mkdir -p "$initial"/{bin,dev,modules,tree}
cp "$unpacked/bin/busybox" "$initial/bin/"
install -m 755 "$here/init" "$initial/init"
number=10 # they are loaded by name
while read -r module; do
    cp "$tree$module" "$initial/modules/$number-${module##*/}"
    number=$((number + 1))
done < <(for each in virtio_pci virtio_blk; do
    in_tree modprobe --set-version "$version" --show-depends "$each"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }')
(cd "$initial" && find . | ./bin/busybox cpio -o -H newc 2>/dev/null) | gzip -1 >"$folder/initrd"

install -m 644 "$here/guest.service" "$tree/etc/systemd/system/vm-test.service"
in_tree systemctl --quiet enable vm-test.service
in_tree systemctl --quiet set-default multi-user.target
in_tree systemctl --quiet mask serial-getty@ttyS0.service getty@tty1.service \
    apt-daily.timer apt-daily-upgrade.timer systemd-networkd-wait-online.service
{
    printf 'kernel %s\n' "$version"
    in_tree dpkg-query --show
} >"$folder/packages"
rm -r "$unpacked" "$tree$cache"/*.deb "$tree$cache/provisioner"
