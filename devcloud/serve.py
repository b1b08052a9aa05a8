# SPDX-License-Identifier: Apache-2.0
"""serve.py NAME: run the unmodified services of one project in one process, as threads.

One process, because oslo.messaging's fake:// transport works only within a process, and no message broker is
needed. Imports are in functions: each service needs its libraries set up in a certain order.
"""

import contextlib
import importlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import sqlite_queue  # noqa: F401 - before any engine is made
import waitress

ETC = Path("/run/cloud/etc")
ANYWHERE = "0.0.0.0"  # noqa: S104 - in the cloud's network namespace
LARGEST_UPLOAD = 64 << 30  # bytes
THREADS = 8
SWIFT_PORTS = {"object": 6200, "container": 6201, "account": 6202}


def keystone():
    """Keystone's public API on port 5000."""
    os.environ["OS_KEYSTONE_CONFIG_DIR"] = str(ETC)
    from keystone.server import wsgi

    serve(wsgi.initialize_public_application(), 5000)


def glance():
    """Glance's API on port 9292."""
    os.environ["OS_GLANCE_CONFIG_DIR"] = str(ETC)
    from glance.common import wsgi_app

    serve(wsgi_app.init_app(), 9292, max_request_body_size=LARGEST_UPLOAD)


def placement():
    """Placement's API on port 8778."""
    os.environ["OS_PLACEMENT_CONFIG_DIR"] = str(ETC)
    from placement.wsgi.api import application

    serve(application, 8778)


def neutron():
    """Neutron's API on port 9696; it has no agents."""
    os.environ["OS_NEUTRON_CONFIG_DIR"] = str(ETC)
    os.environ["OS_NEUTRON_CONFIG_FILES"] = "neutron.conf;ml2_conf.ini"
    from neutron.wsgi.api import application
    from sqlalchemy import orm

    orm.configure_mappers()  # otherwise listing ports as the first request fails: a relation is missing
    serve(application, 9696)


def nova():
    """Nova's conductor, scheduler and compute, its API on port 8774, its metadata for guests on port 80."""
    sys.argv = ["nova-all", "--config-file", str(ETC / "nova.conf")]
    from nova import monkey_patch

    monkey_patch.patch(backend="threading")
    import nova.conf
    import nova.privsep
    import os_brick
    import os_vif
    from nova import config, objects, service
    from nova.api.openstack import wsgi_app
    from nova.compute import rpcapi as compute
    from nova.conductor import rpcapi as conductor
    from nova.scheduler import rpcapi as scheduler
    from oslo_log import log
    from oslo_service import _options
    from paste import deploy

    conf = nova.conf.CONF
    config.parse_args(sys.argv)
    log.setup(conf, "nova")
    conf.register_opts(_options.service_opts)
    nova.privsep.sys_admin_pctxt.set_client_mode(False)  # we are root and need no daemon for that
    objects.register_all()
    os_brick.setup(conf)
    os_vif.initialize()
    running = []
    for binary, topic, more in (
        ("nova-conductor", conductor.RPC_TOPIC, {}),
        ("nova-scheduler", scheduler.RPC_TOPIC, {}),
        ("nova-compute", compute.RPC_TOPIC, {"topic_alt": compute.RPC_TOPIC_ALT}),
    ):
        running.append(service.Service.create(binary=binary, topic=topic, **more))
        running[-1].start()
    apis = {}
    for port, name in ((8774, "osapi_compute"), (80, "metadata")):
        wsgi_app._setup_service(conf.host, name)
        apis[port] = deploy.loadapp(f"config:{conf.wsgi.api_paste_config}", name=name)
    serve_beside(apis, stop=[one.stop for one in reversed(running)])


def heat():
    """Heat's API on port 8004, its CFN API on port 8000, and its engine unless there is a broker."""
    conf = configured_heat()
    engine = heats_engine(conf) if conf.transport_url == "fake://" else None
    from heat.common import config

    apis = {8004: config.load_paste_app("heat-api"), 8000: config.load_paste_app("heat-api-cfn")}
    serve_beside(apis, stop=[engine.stop] if engine else [])


def heat_engine():
    """Heat's engine alone, which gets its work from a broker."""
    serve_beside({}, stop=[heats_engine(configured_heat()).stop])


def configured_heat():
    """Set up Heat's libraries; its configuration."""
    from heat import version
    from heat.cmd import engine as _  # noqa: F401 - first: it chooses threads as oslo.service's backend
    from heat.common import config, messaging, profiler
    from oslo_config import cfg
    from oslo_log import log

    conf = cfg.CONF
    log.register_options(conf)
    files = ["--config-file", str(ETC / "heat.conf")]
    conf(files, project="heat", prog="heat-all", version=version.version_info.version_string())
    log.setup(conf, conf.prog)
    log.set_defaults()
    config.set_config_defaults()
    messaging.setup()
    config.startup_sanity_check()
    profiler.setup(conf.prog, conf.host)
    return conf


def heats_engine(conf):
    """Start Heat's engine with our patches."""
    import heat_patience  # imports Heat, which must be configured before
    import heat_preempt
    import heat_threads
    from heat.engine import service
    from heat.rpc import api as rpc

    heat_patience.install()
    heat_preempt.install()
    heat_threads.install()
    engine = service.EngineService(conf.host, rpc.ENGINE_TOPIC)
    engine.start()
    return engine


def swift():
    """Swift's proxy on port 8080, and beside it an account, a container and an object server on loopback."""
    from swift.common.ring import RingBuilder

    (ETC / "swift").mkdir(exist_ok=True)
    for kind, port in SWIFT_PORTS.items():
        ring = RingBuilder(4, 1, 1)
        device = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "one", "weight": 1.0}
        ring.add_dev({"id": 0, **device, "replication_ip": "127.0.0.1", "replication_port": port, "meta": ""})
        ring.rebalance()
        ring.get_ring().save(str(ETC / "swift" / f"{kind}.ring.gz"))
    servers = [
        multiprocessing.Process(target=swift_server, args=(kind,), daemon=True) for kind in SWIFT_PORTS
    ]
    for server in servers:
        server.start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # this also ends the daemons
    proxy = multiprocessing.Process(target=swift_server, args=("proxy",), daemon=True)
    proxy.start()
    proxy.join()


def swift_server(kind):
    """One of Swift's servers, in this process."""
    from swift.common import utils

    utils.SWIFT_CONF_FILE = str(ETC / "swift" / "swift.conf")
    module = importlib.import_module(f"swift.{'obj' if kind == 'object' else kind}.server")
    sys.argv = [f"swift-{kind}-server", str(ETC / "swift" / f"{kind}.conf")]
    sys.exit(module.main())


def serve(application, port, **options):
    """Serve an application on a port until the process ends."""
    waitress.serve(application, host=ANYWHERE, port=port, threads=THREADS, ident=None, **options)


def serve_beside(applications, *, stop):
    """Serve applications by port, in threads, until TERM; then call the functions in stop.

    USR1 closes the ports with all their connections, while everything else continues; USR2 opens them.
    """
    received = signals(signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
    servers = [listening(application, port) for port, application in applications.items()]
    while (got := next(received)) in (signal.SIGUSR1, signal.SIGUSR2):
        while servers:
            shut(servers.pop())
        if got == signal.SIGUSR2:
            servers = [listening(application, port) for port, application in applications.items()]
    for call in stop:
        call()
    os._exit(0)  # threads of libraries outlive their services


def signals(*numbers):
    """Each of these signals that arrives from now on, by its number.

    Through a socket that the signal itself writes to: Python's handler runs when the main thread wakes up
    next, and a signal that arrived just before the thread went to sleep does not wake it.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.detach())
    for number in numbers:
        signal.signal(number, lambda *_: None)
    return (got for got in iter(lambda: ours.recv(1)[0], None) if got in numbers)


def shut(server):
    """Close a port with its connections, some of which its thread may be closing right now.

    shutdown() first: while the thread polls the port, close() alone would not free it.
    """
    connections = [channel.handle_close for channel in list(server.active_channels.values())]
    for call in (*connections, lambda: server.socket.shutdown(socket.SHUT_RDWR), server.close):
        with contextlib.suppress(AttributeError, KeyError, OSError):
            call()


def listening(application, port):
    """Serve an application on a port, in a new thread."""
    server = waitress.create_server(
        application, host=ANYWHERE, port=port, threads=THREADS, map={}, ident=None
    )
    threading.Thread(target=server.run, name=f"port {port}", daemon=True).start()
    return server


SERVICES = {
    function.__name__.replace("_", "-"): function
    for function in (keystone, glance, placement, neutron, nova, heat, heat_engine, swift)
}

if __name__ == "__main__":
    NAME = sys.argv.pop(1)
    (Path("/run/cloud/pids") / NAME).write_text(str(os.getpid()))
    SERVICES[NAME]()
