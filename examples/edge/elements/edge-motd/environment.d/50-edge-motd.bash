export DIB_EDGE_MOTD_CONTACT="${DIB_EDGE_MOTD_CONTACT:-Ask the platform team}"
