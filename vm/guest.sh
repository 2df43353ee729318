#!/bin/bash
# Runs in the VM, as root: plays the plan that came with the project, and writes what came of it.
#
# Each line of /home/vagrant/plan is a step: its name, the user who takes it, its command.
# Progress goes to the second serial line; results go as a tar to the third disk: NAME.out and
# NAME.err of each step, what the step left in its folder NAME/, and steps (name, status, seconds).
set -u

home=/home/vagrant
results=$home/results
told=/dev/ttyS1

now() { cut -d' ' -f1 /proc/uptime; }

mkdir "$results"
chown -R vagrant: "$home/testbed" "$results"
cd "$home/testbed" || exit
echo "booted $(uname -r) in $(now) s" >$told
{
    uname -a
    cat /proc/version
    sysctl net.ipv4.conf.default.rp_filter net.core.default_qdisc kernel.unprivileged_userns_clone
} >"$results/machine" 2>&1
# The plan has a descriptor of its own: a step may read its standard input.
while read -r name user command <&9; do
    echo "begin $name" >$told
    began=$(now)
    # PATH is what a login of that user has.
    path=/usr/local/bin:/usr/bin:/bin
    [[ $user != root ]] || path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    runuser -u "$user" -- env PATH="$path" bash -c "$command" \
        </dev/null >"$results/$name.out" 2>"$results/$name.err" 9<&-
    status=$?
    seconds=$(awk -v a="$began" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }')
    printf '%s %d %s\n' "$name" "$status" "$seconds" >>"$results/steps"
    echo "end $name $status $seconds" >$told
done 9<"$home/plan"
dmesg >"$results/dmesg"
lsmod >"$results/modules"
journalctl --boot --no-pager >"$results/journal" 2>&1
tar -c -f /dev/vdc -C "$results" .
sync
echo "written" >$told
