export DIB_HARDWARE="${DIB_HARDWARE:-virtual}"
