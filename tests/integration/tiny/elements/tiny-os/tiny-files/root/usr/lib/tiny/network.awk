# network_data.json, an object a line -> MAC MTU ADDRESS NETMASK GATEWAY of every static IPv4 network.

function value(key) {
    if (!match($0, "\"" key "\": *\"?[^\",]*")) return ""
    found = substr($0, RSTART, RLENGTH)
    sub(/^"[^"]*": *"?/, "", found)
    sub(/ +$/, "", found)
    return found
}

/"ethernet_mac_address"/ {
    mac[value("id")] = value("ethernet_mac_address")
    mtu[value("id")] = value("mtu")
}

/"ip_address"/ && value("ip_address") ~ /^[0-9.]+$/ {
    link[++count] = value("link")
    address[count] = value("ip_address")
    netmask[count] = value("netmask")
    next
}

/"gateway"/ && value("netmask") == "0.0.0.0" { gateway[count] = value("gateway") }

END {
    for (n = 1; n <= count; n++)
        print mac[link[n]], mtu[link[n]], address[n], netmask[n], (n in gateway) ? gateway[n] : "-"
}
