# SPDX-License-Identifier: Apache-2.0
"""populate.py TASK: fill a new cloud: users, catalog, quotas, flavors, network. See each task.

Settings come as JSON on standard input. What exists already stays as it is.
"""

import json
import sys
import time

import openstack

FLAVORS = {"golden.small": (1, 1024, 10), "golden": (2, 2048, 10)}  # vCPUs, MiB, GiB
INTERFACES = ("public", "internal", "admin")


def connect(settings):
    """Connect as the administrator, from inside the cloud."""
    return openstack.connect(
        auth_url=f"{settings['url']['identity']}/v3",
        username="admin",
        password=settings["secret"]["admin"],
        project_name="admin",
        user_domain_name="Default",
        project_domain_name="Default",
        region_name="RegionOne",
        identity_api_version="3",
    )


def identity(settings):
    """Create catalog, projects and users. Services share one password; demo, who owns stacks, has another."""
    known = connect(settings).identity
    for kind, (name, url) in settings["catalog"].items():
        _service(known, name, kind, url)
    roles = {
        name: known.find_role(name) or known.create_role(name=name)
        for name in ("admin", "member", "service", "heat_stack_owner", "heat_stack_user")
    }
    service = known.find_project("service") or known.create_project(name="service", domain_id="default")
    demo = known.find_project("demo") or known.create_project(name="demo", domain_id="default")
    for name in settings["users"]:
        user = _user(known, name, settings["secret"]["service"])
        for role in ("admin", "service"):
            known.assign_project_role_to_user(service, user, roles[role])
    user = _user(known, "demo", settings["secret"]["demo"])
    for role in ("member", "heat_stack_owner"):
        known.assign_project_role_to_user(demo, user, roles[role])
    domain = known.find_domain("heat") or known.create_domain(name="heat", description="users of stacks")
    admin = _user(known, "heat_domain_admin", settings["secret"]["service"], domain.id)
    known.assign_domain_role_to_user(domain, admin, roles["admin"])


def quota(settings):
    """Limit the size of a project's images, and nothing else. Glance's user gets the right to read limits."""
    known = connect(settings).identity
    glance = known.find_user("glance")
    known.assign_system_role_to_user(glance, known.find_role("reader"), "all")
    service = next(iter(known.services(type="image")))
    have = {limit.resource_name: limit for limit in known.registered_limits()}
    for name in ("image_size_total", "image_stage_total", "image_count_total", "image_count_uploading"):
        most = settings["quota_mib"] if name == "image_size_total" else 1 << 20
        if name in have:  # databases of an earlier cloud, which may have had another quota
            known.update_registered_limit(have[name], default_limit=most)
        else:
            known.create_registered_limit(
                service_id=service.id, region_id="RegionOne", resource_name=name, default_limit=most
            )


def resources(settings):
    """Create flavors, and a network without DHCP: guests get their address from the config drive."""
    cloud = connect(settings)
    for name, (vcpus, ram, disk) in FLAVORS.items():
        if cloud.compute.find_flavor(name) is None:
            cloud.compute.create_flavor(name=name, vcpus=vcpus, ram=ram, disk=disk)
    if cloud.network.find_network("golden") is not None:
        return
    network = cloud.network.create_network(
        name="golden",
        shared=True,
        project_id=cloud.identity.find_project("demo").id,  # only an owner may ask for a fixed address
        provider_network_type="flat",
        provider_physical_network="physnet1",
    )
    cloud.network.create_subnet(
        name="golden",
        network_id=network.id,
        ip_version=4,
        cidr=settings["network"]["cidr"],
        gateway_ip=settings["network"]["gateway"],
        is_dhcp_enabled=False,
        allocation_pools=[settings["network"]["pool"]],
    )


def forwarded_endpoints(settings):
    """Point the catalog's admin endpoints to the ports on the host's loopback, for clients outside."""
    known = connect(settings).identity
    kinds = {service.id: service.type for service in known.services()}
    for endpoint in known.endpoints(interface="admin"):
        known.update_endpoint(endpoint, url=settings["forwarded_urls"][kinds[endpoint.service_id]])


def projects(settings):
    """Print the IDs of the projects that clouds.yaml names."""
    known = connect(settings).identity
    json.dump({name: known.find_project(name).id for name in ("admin", "demo")}, sys.stdout)


def hypervisor(settings):
    """Wait until the scheduler can place servers on the hypervisor."""
    compute = connect(settings).compute
    for _ in range(200):
        up = [s for s in compute.services() if s.binary == "nova-compute" and s.state == "up"]
        if up and list(compute.hypervisors()):
            return
        time.sleep(0.3)
    sys.exit("populate: no hypervisor after 60 s")


def _service(known, name, kind, url):
    service = next(iter(known.services(type=kind)), None) or known.create_service(name=name, type=kind)
    have = {endpoint.interface for endpoint in known.endpoints(service_id=service.id)}
    for interface in INTERFACES:
        if interface not in have:
            known.create_endpoint(service_id=service.id, interface=interface, url=url, region_id="RegionOne")


def _user(known, name, password, domain="default"):
    found = known.find_user(name, domain_id=domain)
    return found or known.create_user(name=name, password=password, domain_id=domain)


if __name__ == "__main__":
    TASKS = {
        task.__name__: task
        for task in (identity, resources, forwarded_endpoints, quota, projects, hypervisor)
    }
    TASKS[sys.argv[1]](json.load(sys.stdin))
