"""The VM test: Debian's stock kernel boots in qemu, provisions itself, plays scenarios."""
