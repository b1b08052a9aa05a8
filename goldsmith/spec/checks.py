# SPDX-License-Identifier: Apache-2.0
"""Checks beyond the schema: named files and elements exist, keys agree with each other.

They also run on a spec that fails the schema, so that all problems come together. They skip values of a wrong
type, which the schema reports.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from goldsmith.core import paths
from goldsmith.core.files import TOOL_CACHES
from goldsmith.spec import host_ports, virtual_hardware
from goldsmith.spec.document import KeyPath, YamlDocument, dotted
from goldsmith.spec.fields import reference
from goldsmith.spec.model import Hardware
from goldsmith.spec.problem import Problem
from goldsmith.spec.secret_words import LOGIN_IN_URL, WORD

# Variables that goldsmith sets itself, such as those of dib_plan.plan() -> the key that sets them, or None.
# A spec that set one of them would break the build.
RESERVED: Mapping[str, str | None] = {
    "ARCH": "arch", "DIB_BLOCK_DEVICE_CONFIG": "disk", "DIB_CLOUD_INIT_DATASOURCES": "cloud-init.datasources",
    "DIB_DEBIAN_SECURITY_MIRROR": None, "DIB_DISTRIBUTION_MIRROR": None, "DIB_IMAGE_CACHE": None,
    "DIB_IMAGE_SIZE": "disk.size", "DIB_LOCAL_IMAGE": "base-image", "DIB_LOCKFILES": None,
    "DIB_OFFLINE": None, "DIB_RELEASE": "release", "ELEMENTS_PATH": None, "SOURCE_DATE_EPOCH": None,
    "TMP_DIR": None,
}  # fmt: skip
RESERVED_PREFIXES: Mapping[str, str | None] = {  # options of goldsmith's own elements
    "DIB_EMBED_": "embed", "DIB_GUEST_": "unattended-upgrades", "DIB_HARDWARE": "hardware",
    "DIB_HEAT_": "heat-agent", "DIB_SLIM_": "keep",
    "DIB_IDENTITY_": None, "DIB_KUBELET_": "kubelet", "DIB_SEAL_": "mirror", "GOLDSMITH_": None,
}  # fmt: skip

# What would run other code than the elements', or let unsigned packages in.
_LOADS_CODE = re.compile(
    r"PATH|IFS|ENV|BASH_\w+|SHELLOPTS|BASHOPTS|PS4|PROMPT_COMMAND|LD_\w+|GLIBC_TUNABLES|GCONV_PATH|PYTHON\w+"
    r"|PERL5(?:LIB|OPT|DB)|RUBY(?:LIB|OPT)|NODE_OPTIONS|GIT_(?:SSH\w*|EXEC_PATH|CONFIG\w*)|SUDO_\w+|APT_CONFIG"
    # what diskimage-builder runs, or writes to
    r"|HOME|TARGET_ROOT|TMP_\w+|DIB_PYTHON(?:_EXEC)?|DIB_\w+_(?:SCRIPT|BIN|EXEC)"
)
_RUNS_CODE = re.compile(r"\$\(|`|--?\w*hook|--?\w*script|DPkg::|APT::Update::P", re.IGNORECASE)
_UNVERIFIED_NAMES = re.compile(r"\w*(?:INSECURE|NO_?GPG_?CHECK|NO_?VERIFY)\w*")
_UNVERIFIED = re.compile(
    r"no-?gpg-?check|no-?check-?(?:gpg|sig|cert|valid)|gpg-?check\s*=\s*(?:0|no|false)|allow-?(?:unauthenticated"
    r"|insecure|weak|downgrade-to-insecure)|trusted\s*=\s*(?:yes|true|1|on|with|enable)|--skip=\S*check"
    r"|check-(?:valid-until|date)|verify-(?:peer|host)|(?:ssl|tls)_?verify|--insecure|force-yes|trustlevel",
    re.IGNORECASE,
)

_DEBIAN_NUMBERS = {"11": "bullseye", "12": "bookworm", "13": "trixie", "14": "forky"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """Where a spec's elements and folders may lie."""

    elements: tuple[Path, ...]  # folders of elements, the user's own included
    bases: tuple[Path, ...]  # of folders that the spec names; the last one has what comes with goldsmith

    def find(self, folder: str) -> Path | None:
        """A folder that the spec names."""
        return next((base / folder for base in self.bases if (base / folder).is_dir()), None)

    def missing(self, folder: str, content: str) -> tuple[str, str]:
        """Message and hint for a folder that find() did not find. content: a pattern of its files."""
        last = "in the checkout" if paths.checkout() else "among the files that come with goldsmith"
        places = " nor ".join([*(f"in {base}" for base in self.bases[:-1]), last])
        known = {
            str(path.parent.relative_to(base)) for base in self.bases for path in base.glob(f"*/*/{content}")
        }
        close = get_close_matches(folder, sorted(known), n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"name a folder with {content}"
        return f"no folder '{folder}' {places}", hint


def dib_elements() -> Path:
    """The folder of diskimage-builder's elements, found without importing it."""
    found = importlib.util.find_spec("diskimage_builder")
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "elements"


def check(document: YamlDocument, surroundings: Surroundings) -> Iterator[Problem]:
    """Every problem between a spec's keys, and between them and the files around the spec."""
    if not isinstance(document.data, dict):
        return
    yield from _distribution(document)
    yield from _elements(document, surroundings)
    yield from _dib_env(document)
    yield from _logins(document)
    yield from _kubelet(document)
    yield from _heat_agent(document)
    yield from _containers(document, surroundings)
    yield from _must_hold(document, ("disk", "formats"), "qcow2", "the verification boots it")
    why = "the verification boots with one, as OpenStack does"
    yield from _must_hold(document, ("cloud-init", "datasources"), "ConfigDrive", why)
    yield from check_pods(document)
    yield from _tests(document, surroundings)
    yield from _publish(document)


def _distribution(document: YamlDocument) -> Iterator[Problem]:
    distribution = document.get(str, "distribution")
    release = document.get(str, "release")
    has_base = "base-image" in document.data
    if distribution == "debian" and (name := _DEBIAN_NUMBERS.get(release)):
        yield document.problem(
            ("release",), f"release must be Debian's code name, got '{release}'", f"write {name}"
        )
    if distribution == "fedora" and release and not release.isdigit():
        yield document.problem(("release",), f"release must be Fedora's number in quotes, got '{release}'")
    if distribution == "fedora" and not has_base:
        hint = "base-image: {url: ..., sha256: ...}, a Fedora Cloud Base Generic qcow2"
        yield document.problem(("distribution",), "fedora needs the key 'base-image' to start from", hint)
    if distribution == "debian" and has_base:
        hint = "remove it, or write distribution: custom"
        yield document.problem(
            ("base-image",), "debian is built from its packages, not from a base-image", hint
        )
    for key in ("hardware", "keep"):
        if key in document.data and distribution == "fedora":
            yield document.problem((key,), f"{key} is only for Debian", "remove it")
    if distribution == "custom" and not document.get(list, "elements"):
        message = "a custom distribution needs elements that install an operating system"
        yield document.problem(("distribution",), message, "add the key 'elements'")


def _elements(document: YamlDocument, surroundings: Surroundings) -> Iterator[Problem]:
    folders = [*surroundings.elements, dib_elements()]
    known = {path.name for folder in folders if folder.is_dir() for path in folder.iterdir() if path.is_dir()}
    known -= TOOL_CACHES
    for index, name in enumerate(document.get(list, "elements")):
        if isinstance(name, str) and name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else "searched elements/ and diskimage-builder"
            yield document.problem(("elements", index), f"no element '{name}'", hint)


def _dib_env(document: YamlDocument) -> Iterator[Problem]:
    given = document.get(dict, "dib-env")
    by_prefix = {
        name: key for name in given for prefix, key in RESERVED_PREFIXES.items() if name.startswith(prefix)
    }
    reserved = {**RESERVED, **by_prefix}
    for name, value in given.items():
        path = ("dib-env", name)
        if WORD.search(name) or (isinstance(value, str) and LOGIN_IN_URL.search(value)):
            hint = "logs and perhaps the image contain these variables; pass secrets at boot"
            yield document.problem(path, f"dib-env.{name} looks like a secret", hint)
        elif name in reserved:
            key = reserved[name]
            hint = f"use the key '{key}'" if key else "remove it"
            yield document.problem(path, f"dib-env.{name} is set by goldsmith itself", hint)
        elif _LOADS_CODE.fullmatch(name) or (isinstance(value, str) and _RUNS_CODE.search(value)):
            hint = "remove it; what an element needs goes into the element"
            yield document.problem(path, f"dib-env.{name} would change which programs the build runs", hint)
        elif _switches_off(name, value):
            hint = "remove it; an element may bring a signed source of packages with its key"
            yield document.problem(path, f"dib-env.{name} would switch a verification off", hint)


def _switches_off(name: str, value: object) -> bool:
    """Whether a variable lets unsigned packages in, or a server without a certificate that counts."""
    if name.endswith("VERIFY_HTTPS"):
        return str(value).lower() in {"", "0", "no", "false"}
    return _UNVERIFIED_NAMES.fullmatch(name) is not None or _UNVERIFIED.search(str(value)) is not None


def _logins(document: YamlDocument) -> Iterator[Problem]:
    for path in (("mirror",), ("base-image", "url"), ("base-image", "checksums"), ("kubelet", "url")):
        if LOGIN_IN_URL.search(document.get(str, *path)):
            hint = "remove it: the manifest and perhaps the image would contain it"
            yield document.problem(path, f"{dotted(path)} contains a login", hint)


def _kubelet(document: YamlDocument) -> Iterator[Problem]:
    kubelet = document.data.get("kubelet")
    if not isinstance(kubelet, dict):
        if document.get(list, "containers") and document.get(str, "distribution") != "custom":
            message = "container images need a kubelet"
            yield document.problem(("containers",), message, "add the key 'kubelet'")
        return
    source = kubelet.get("source")
    version = kubelet.get("version")
    for key in ("url", "sha256"):
        if key in kubelet and source != "release":
            hint = "write source: release, or remove it"
            yield document.problem(("kubelet", key), f"kubelet.{key} is only for source: release", hint)
    if source != "package" and isinstance(version, str) and re.fullmatch(r"\d+\.\d+", version):
        message = f"kubelet.version must have three parts here, got '{version}'"
        yield document.problem(("kubelet", "version"), message, f'such as "{version}.4"')
    into = destinations(document)
    if not any(re.search(r"/pause[:@]", ref or "") and into[ref] == "containerd" for ref in into):
        message = "a kubelet needs a container image named pause for the sandboxes of pods"
        hint = "add to containers: {ref: goldsmith.local/pause:1, build: containers/pause}"
        yield document.problem(("kubelet",), message, hint)


def _heat_agent(document: YamlDocument) -> Iterator[Problem]:
    if not isinstance(document.data.get("heat-agent"), dict):
        return
    if document.get(str, "distribution") == "fedora":
        hint = "remove the key: Fedora does not package the agent"
        yield document.problem(("heat-agent",), "heat-agent is only for Debian", hint)
    if "kubelet" in document.get(list, "heat-agent", "hooks") and document.data.get("kubelet") is None:
        message = "the hook kubelet needs a kubelet"
        yield document.problem(("heat-agent", "hooks"), message, "add the key 'kubelet'")


def _publish(document: YamlDocument) -> Iterator[Problem]:
    clouds = [each for each in document.get(list, "publish", "clouds") if isinstance(each, dict)]
    names = [cloud.get("name") for cloud in clouds]
    for index, cloud in enumerate(clouds):
        at = ("publish", "clouds", index)
        if cloud.get("canary") in ("server", "both") and "flavor" not in cloud:
            yield document.problem((*at, "canary"), "a canary server needs a flavor", "add the key 'flavor'")
        if cloud.get("name") in names[:index]:
            yield document.problem((*at, "name"), f"the cloud {names[index]} is listed twice", "remove one")
    if (
        document.get(str, "distribution") == "debian"
        and document.data.get("hardware", Hardware.virtual) == Hardware.virtual
    ):
        properties = document.get(dict, "publish", "properties")
        for name in virtual_hardware.without_driver(properties):
            message = f"{name}: {properties[name]} has no driver in an image for virtual hardware"
            yield document.problem(("publish", "properties", name), message, "write hardware: any")
    if document.get(list, "publish", "share") and document.get(str, "publish", "visibility") != "shared":
        message = "publish.share needs an image whose visibility is shared"
        yield document.problem(("publish", "share"), message, "set publish.visibility to shared")


def _containers(document: YamlDocument, surroundings: Surroundings) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, container in enumerate(document.get(list, "containers")):
        if not isinstance(container, dict):
            continue
        path: KeyPath = ("containers", index)
        if "build" in container and "registry" in container:
            yield document.problem(
                path, f"{dotted(path)} has both 'build' and 'registry'", "keep one of them"
            )
        yield from _context(document, surroundings, (*path, "build"), container.get("build"))
        ref = reference_of(container)
        if ref is None:
            continue
        if "ref" not in container and ":" not in ref.rpartition("/")[2]:
            hint = f"add a tag before the digest, or ref: {ref}:TAG"
            yield document.problem(path, f"{dotted(path)} has no tag by which pods could name it", hint)
        if ref in seen:
            hint = f"first in {dotted(('containers', seen[ref]))}"
            yield document.problem(path, f"container '{ref}' is listed twice", hint)
        seen.setdefault(ref, index)


def _context(
    document: YamlDocument, surroundings: Surroundings, path: KeyPath, folder: object
) -> Iterator[Problem]:
    if not isinstance(folder, str) or not folder:
        return
    found = surroundings.find(folder)
    if found is None:
        yield document.problem(path, *surroundings.missing(folder, "Dockerfile"))
    elif not (found / "Dockerfile").is_file():
        yield document.problem(path, f"no Dockerfile in '{folder}'")


def _must_hold(document: YamlDocument, path: tuple[str, str], wanted: str, why: str) -> Iterator[Problem]:
    values = document.get(list, *path)
    if values and wanted not in values:
        yield document.problem(path, f"{dotted(path)} must contain {wanted}", why)


def _tests(document: YamlDocument, surroundings: Surroundings) -> Iterator[Problem]:
    for index, folder in enumerate(document.get(list, "verify", "tests")):
        if not isinstance(folder, str) or not folder:
            continue
        found = surroundings.find(folder)
        path = ("verify", "tests", index)
        if found is None:
            yield document.problem(path, *surroundings.missing(folder, "test_*.py"))
        elif not any(found.glob("**/test_*.py")):
            yield document.problem(path, f"no test_*.py in '{folder}'")


def check_pods(document: YamlDocument) -> Iterator[Problem]:
    """Every problem of verify.pods, with one another and with containers."""
    pods = document.get(list, "verify", "pods")
    if pods and document.data.get("kubelet") is None:
        yield document.problem(("verify", "pods"), "pods need a kubelet", "add the key 'kubelet'")
    seen: set[tuple[str, str]] = set()
    yield from host_ports.check(document)
    for index, pod in enumerate(pods):
        if not isinstance(pod, dict):
            continue
        path: KeyPath = ("verify", "pods", index)
        if pod.get("apiVersion") != "v1" or pod.get("kind") != "Pod":
            hint = "begin it with apiVersion: v1 and kind: Pod"
            yield document.problem(path, f"{dotted(path)} is no pod manifest", hint)
            continue
        metadata = pod.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        name, namespace = metadata.get("name"), str(metadata.get("namespace") or "default")
        if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
            message = "metadata.name must consist of lower-case letters, digits and hyphens"
            yield document.problem((*path, "metadata", "name"), f"{dotted(path)}: {message}")
        elif (namespace, name) in seen:
            message = f"pod '{name}' is listed twice in the namespace {namespace}"
            yield document.problem((*path, "metadata", "name"), message)
        seen.add((namespace, str(name)))
        yield from _pod_images(document, path, pod.get("spec"))


def _pod_images(document: YamlDocument, path: KeyPath, spec: object) -> Iterator[Problem]:
    known = destinations(document)
    if not isinstance(spec, dict) or not spec.get("containers"):
        yield document.problem((*path, "spec"), f"{dotted(path)} has no spec.containers")
        return
    for group in ("initContainers", "containers"):
        items = spec.get(group)
        for index, item in enumerate(items if isinstance(items, list) else []):
            where = (*path, "spec", group, index, "image")
            image = item.get("image") if isinstance(item, dict) else None
            if not isinstance(image, str):
                yield document.problem(where, f"{dotted(where)} must name an image")
            elif image not in known:
                names = [str(name) for name in known if name]
                close = get_close_matches(image, names, n=1)
                hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names) or 'none'}"
                yield document.problem(where, f"image '{image}' is not in the spec's containers", hint)
            elif known[image] != "containerd":
                yield document.problem(
                    where, f"image '{image}' has into: docker, where a kubelet does not find it"
                )


def destinations(document: YamlDocument) -> Mapping[str | None, str]:
    """Reference of each container (None where it has none yet) -> its key into."""
    return {
        reference_of(container): container.get("into", "containerd")
        for container in document.get(list, "containers")
        if isinstance(container, dict)
    }


def reference_of(container: object) -> str | None:
    """The name that pods use for an entry of containers; None where it has none yet."""
    if not isinstance(container, dict):
        return None
    names = (container.get("ref"), container.get("registry"))
    if not any(isinstance(name, str) and name for name in names):
        return None
    return reference({key: value for key, value in container.items() if isinstance(value, str)})
