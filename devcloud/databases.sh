#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# databases.sh PROJECT URL: create a project's empty databases, and what else it needs before its first start. Runs in
# the cloud. URL: of Keystone.
set -eu

etc=/run/cloud/etc
db=/run/cloud/db

case "$1" in
    keystone)
        keystone() { keystone-manage --config-file "$etc/keystone.conf" "$@"; }
        keystone db_sync
        keystone fernet_setup --keystone-user root --keystone-group root
        keystone credential_setup --keystone-user root --keystone-group root
        # the password is in OS_BOOTSTRAP_PASSWORD
        keystone bootstrap --bootstrap-region-id RegionOne --bootstrap-public-url "$2/v3" \
            --bootstrap-internal-url "$2/v3" --bootstrap-admin-url "$2/v3"
        ;;
    nova)
        nova() { nova-manage --config-file "$etc/nova.conf" "$@"; }
        nova api_db sync
        nova cell_v2 map_cell0 --database_connection "sqlite:///$db/nova_cell0.db?timeout=60"
        nova db sync
        nova cell_v2 create_cell --name cell1
        ;;
    placement) placement-manage --config-file "$etc/placement.conf" db sync ;;
    heat)
        heat-manage --config-file "$etc/heat.conf" db_sync
        [ ! -e "$db/heat.db" ] || python "$(dirname "$0")/unique_ids.py" "$db/heat.db"
        ;;
    glance)
        glance-manage --config-file "$etc/glance-api.conf" db_sync
        # the metadata definitions that Glance ships
        glance-manage --config-file "$etc/glance-api.conf" db_load_metadefs \
            "$(dirname "$(command -v glance-manage)")/../etc/glance/metadefs"
        ;;
    neutron) python -W ignore "$(dirname "$0")/neutron_tables.py" "sqlite:///$db/neutron.db?timeout=60" ;;
esac
