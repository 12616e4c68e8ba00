#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes an image of the binary, without a container engine.

pack.py root  --arch ARCH --binary FILE --out DIR [--sysroot DIR]
    The root file system: the binary, the shared libraries it needs and their licences, certificates, names of users.
pack.py image --arch ARCH --root DIR --name NAME --version VERSION --time SECONDS --out FILE
    An archive of it that is two things at once: what `docker load` reads, and an OCI image layout.
pack.py index --out FILE ARCHIVE...
    One OCI image layout of images for several architectures.

The same input gives the same bytes.
"""
import argparse
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile

TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
PLATFORMS = {
    "amd64": {"architecture": "amd64", "os": "linux"},
    "arm64": {"architecture": "arm64", "os": "linux", "variant": "v8"},
}
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"

# Compiled into the binary from headers, so that no file of theirs is there to tell.
HEADERS_OF = ["libcli11-dev", "nlohmann-json3-dev"]
FILES = {
    "etc/passwd": "root:x:0:0:root:/:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
# Where a runtime mounts something; it cannot make them in a root that is read-only.
MOUNT_POINTS = ["dev", "proc", "run", "sys", "tmp", "usr/lib/modules", "var/lib/kube-proxy"]


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


# --- the root file system


class Machine:
    """The packages of this machine."""

    root = pathlib.Path("/")

    def package_of(self, path):
        # Half of the packages list their files as they were before /lib became a link.
        for name in (path, path.removeprefix("/usr")):
            found = subprocess.run(["dpkg-query", "--search", name], capture_output=True, text=True, check=False)
            if found.returncode == 0:
                return found.stdout.split(":")[0]
        raise SystemExit(f"pack.py: {path} is of no package")

    def control(self, package):
        text = output_of("dpkg-query", "--show", "--showformat=${Package}\n${Version}\n${Architecture}\n", package)
        return text.split("\n")[:3]


class Sysroot:
    """Packages unpacked by deploy/image/sysroot."""

    def __init__(self, root):
        self.root = root.resolve()
        self.packages = root.with_name(root.name + ".packages")
        self.owner = {}
        for listing in sorted(self.packages.glob("*.list")):
            for line in listing.read_text().splitlines():
                self.owner[line] = listing.stem

    def package_of(self, path):
        for name in (path, path.removeprefix("/usr")):
            if name in self.owner:
                return self.owner[name]
        raise SystemExit(f"pack.py: {path} is of no package")

    def control(self, package):
        text = (self.packages / f"{package}.control").read_text()
        return [re.search(rf"^{key}: (.*)$", text, re.M).group(1) for key in ("Package", "Version", "Architecture")]


def needed_by(binary):
    """Names of shared libraries, and of the program that loads them (None in a library)."""
    dynamic = output_of("readelf", "--wide", "--dynamic", "--program-headers", binary)
    loader = re.search(r"\[Requesting program interpreter: (.*)\]", dynamic)
    return re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic), loader and loader.group(1)


def libraries_of(binary, triplet, root):
    """All it needs, directly or not: name -> file. The loader under the path that the binary asks for."""
    names, loader = needed_by(binary)
    found = {loader: (root / loader.lstrip("/")).resolve()}
    while names:
        name = names.pop()
        if name in found or name == os.path.basename(loader):
            continue
        places = [root / "usr/lib" / triplet / name, root / "lib" / triplet / name]
        place = next((place for place in places if place.exists()), None)
        if place is None:
            raise SystemExit(f"pack.py: {name} is nowhere in {root}")
        found[name] = place.resolve()
        names += needed_by(found[name])[0]
    return found


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def copy(source, path, mode):
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, path)
    path.chmod(mode)


def copy_licences(out, machine, packages):
    """Their copyright files, the texts those refer to, and for scanners: which versions they are."""
    referred = set()
    for package in packages:
        source = machine.root / "usr/share/doc" / package / "copyright"
        name, version, architecture = machine.control(package)
        copy(source, out / "usr/share/doc" / package / "copyright", 0o644)
        referred |= set(re.findall(r"/usr/share/common-licenses/([A-Za-z0-9.+-]*[A-Za-z0-9+])", source.read_text()))
        # In place of dpkg's one file, one each: where there is no dpkg scanners look here.
        write(out / "var/lib/dpkg/status.d" / name,
              f"Package: {name}\nStatus: install ok installed\nVersion: {version}\nArchitecture: {architecture}\n")
    for licence in sorted(referred):
        source = pathlib.Path("/usr/share/common-licenses") / licence
        if source.exists():
            copy(source, out / "usr/share/common-licenses" / licence, 0o644)


def make_root(args):
    out = args.out
    triplet = TRIPLETS[args.arch]
    machine = Sysroot(args.sysroot) if args.sysroot else Machine()
    shutil.rmtree(out, ignore_errors=True)
    for directory in MOUNT_POINTS + ["usr/bin", "usr/sbin", "usr/lib64", "usr/local/bin"]:
        (out / directory).mkdir(parents=True)
    (out / "tmp").chmod(0o1777)
    for link in ("bin", "sbin", "lib", "lib64"):
        (out / link).symlink_to(f"usr/{link}")
    for name, text in FILES.items():
        write(out / name, text)

    packages = set(HEADERS_OF)
    for name, source in libraries_of(args.binary, triplet, machine.root).items():
        path = name.lstrip("/") if "/" in name else f"usr/lib/{triplet}/{name}"
        copy(source, out / path, 0o755 if "/" in name else 0o644)
        packages.add(machine.package_of("/" + str(source.relative_to(machine.root))))
    copy_licences(out, machine, sorted(packages))

    # Mozilla's authorities alone, whoever else this machine trusts.
    authorities = sorted(pathlib.Path("/usr/share/ca-certificates/mozilla").glob("*.crt"))
    write(out / "etc/ssl/certs/ca-certificates.crt", "".join(file.read_text() for file in authorities))
    copy_licences(out, Machine(), ["ca-certificates"])
    copy("/usr/lib/os-release", out / "etc/os-release", 0o644)

    binary = out / "usr/local/bin/pointsman"
    copy(args.binary, binary, 0o755)
    subprocess.run([f"{triplet}-strip", "--strip-all", binary], check=True)
    (out / "usr/local/bin/kube-proxy").symlink_to("pointsman")


# --- the image


def tar_of(entries, seconds):
    """entries: (name, TarInfo type, mode, link or bytes), in the order in which they are to be."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, kind, mode, content in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = kind, mode, seconds
            if kind == tarfile.SYMTYPE:
                info.linkname = content
            elif kind == tarfile.REGTYPE:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if kind == tarfile.REGTYPE else None)
    return buffer.getvalue()


def tree(root):
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            yield name, tarfile.SYMTYPE, 0o777, os.readlink(path)
        elif path.is_dir():
            yield name, tarfile.DIRTYPE, path.stat().st_mode & 0o7777, None
        else:
            yield name, tarfile.REGTYPE, 0o755 if os.access(path, os.X_OK) else 0o644, path.read_bytes()


def as_json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class Blobs(dict):
    """By path in the layout."""

    def add(self, media_type, content, **more):
        digest = hashlib.sha256(content).hexdigest()
        self[f"blobs/sha256/{digest}"] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content), **more}


def layout(out, files, seconds):
    files = {"oci-layout": as_json({"imageLayoutVersion": "1.0.0"}), **files}
    directories = sorted({str(parent) for name in files for parent in pathlib.PurePath(name).parents} - {"."})
    entries = [(name, tarfile.DIRTYPE, 0o755, None) for name in directories]
    entries += [(name, tarfile.REGTYPE, 0o644, content) for name, content in sorted(files.items())]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(tar_of(entries, seconds))


def make_image(args):
    created = output_of("date", "--utc", f"--date=@{args.time}", "+%Y-%m-%dT%H:%M:%SZ").strip()
    blobs = Blobs()
    layer_tar = tar_of(tree(args.root), args.time)
    layer = blobs.add(LAYER, gzip.compress(layer_tar, 6, mtime=0))
    labels = {
        "org.opencontainers.image.title": args.name,
        "org.opencontainers.image.version": args.version,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.description": "Programs a node's kernel with Kubernetes Services; takes kube-proxy's place",
    }
    config = blobs.add(CONFIG, as_json({
        **PLATFORMS[args.arch],
        "created": created,
        "config": {
            "Entrypoint": ["/usr/local/bin/kube-proxy"],
            "Env": ["PATH=/usr/local/bin"],
            "WorkingDir": "/",
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer_tar).hexdigest()]},
        "history": [{"created": created, "created_by": "./dev image"}],
    }))
    manifest = blobs.add(MANIFEST, as_json({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer], "annotations": labels,
    }))
    manifest["platform"] = PLATFORMS[args.arch]
    tag = f"{args.name}:{args.version}"
    manifest["annotations"] = {
        "io.containerd.image.name": f"docker.io/library/{tag}",
        "org.opencontainers.image.ref.name": args.version,
    }
    path = "blobs/" + config["digest"].replace(":", "/")
    layer_path = "blobs/" + layer["digest"].replace(":", "/")
    layout(args.out, {
        **blobs,
        "index.json": as_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]}),
        "manifest.json": as_json([{"Config": path, "RepoTags": [tag], "Layers": [layer_path]}]),
    }, args.time)


def make_index(args):
    blobs, manifests, seconds = Blobs(), [], 0
    for archive in args.archives:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.name.startswith("blobs/sha256/"):
                    blobs[member.name] = tar.extractfile(member).read()
                seconds = max(seconds, member.mtime)
            manifests += json.load(tar.extractfile("index.json"))["manifests"]
    annotations = manifests[0]["annotations"]
    manifests = [{key: value for key, value in each.items() if key != "annotations"} for each in manifests]
    index = blobs.add(INDEX, as_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}))
    index["annotations"] = annotations
    layout(args.out, {**blobs, "index.json": as_json(
        {"schemaVersion": 2, "mediaType": INDEX, "manifests": [index]})}, seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    root = commands.add_parser("root")
    root.set_defaults(run=make_root)
    root.add_argument("--binary", type=pathlib.Path, required=True)
    root.add_argument("--sysroot", type=pathlib.Path)
    image = commands.add_parser("image")
    image.set_defaults(run=make_image)
    image.add_argument("--root", type=pathlib.Path, required=True)
    image.add_argument("--name", required=True)
    image.add_argument("--version", required=True)
    image.add_argument("--time", type=int, required=True)
    index = commands.add_parser("index")
    index.set_defaults(run=make_index)
    index.add_argument("archives", nargs="+", metavar="ARCHIVE")
    for command in (root, image):
        command.add_argument("--arch", choices=TRIPLETS, required=True)
    for command in (root, image, index):
        command.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
