export DISTRO_NAME=fedora
export DIB_RELEASE="${DIB_RELEASE:-}"
export DIB_LOCAL_IMAGE="${DIB_LOCAL_IMAGE:-}"
export DIB_FEDORA_CMDLINE="${DIB_FEDORA_CMDLINE:-console=tty0 console=ttyS0,115200 no_timer_check}"
export YUM=dnf
export EFI_BOOT_DIR="EFI/fedora"
