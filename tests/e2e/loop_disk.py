"""A file system of a kind of its own, on a loop device: for tests that kill, cut and fill it."""

import os
import shutil
import subprocess
import time

import pakv

# For each kind: the smallest disk that its mkfs makes, how it is made, and mount options. Nothing
# is written back by itself while a test copies a disk.
KINDS = {
    "ext4": (48 << 20, ["mkfs.ext4", "-q", "-m", "0"], "commit=300"),
    "xfs": (320 << 20, ["mkfs.xfs", "-q"], "defaults"),
    "btrfs": (256 << 20, ["mkfs.btrfs", "-q"], "commit=300"),
}


class Unavailable(Exception):
    """This machine has no such disk to offer; its text says why."""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(command[:2])}: {(done.stderr or done.stdout).strip()}")


class LoopDisk:
    """Mounted while it is entered. `path`: its root."""

    def __init__(self, kind, parent, size_bytes=None):
        self.kind = kind
        smallest, self.make, self.options = KINDS[kind]
        self.image = os.path.join(parent, f"{kind}.image")
        self.path = os.path.join(parent, kind)
        self.mounted = False
        if os.geteuid() != 0:
            raise Unavailable("needs root for a loop device")
        if shutil.which(self.make[0]) is None:
            raise Unavailable(f"there is no {self.make[0]}")
        with open(self.image, "wb") as file:
            file.truncate(size_bytes or smallest)
        os.makedirs(self.path, exist_ok=True)
        run(*self.make, self.image)

    def __enter__(self):
        self.mount()
        return self

    def __exit__(self, *_):
        self.unmount()
        os.unlink(self.image)

    def mount(self):
        run("mount", "-t", self.kind, "-o", f"loop,{self.options}", self.image, self.path)
        self.mounted = True

    def unmount(self):
        if not self.mounted:
            return
        # The kernel lets go of a killed program's files a little after it is gone.
        deadline = time.monotonic() + 30
        while subprocess.run(["umount", self.path], stderr=subprocess.DEVNULL,
                             check=False).returncode != 0:
            pakv.check(time.monotonic() < deadline, f"{self.path} stays in use")
            time.sleep(0.02)  # polls for that; nothing tells of it
        self.mounted = False

    def cut_power(self):
        """What the device has been given so far is all that there is from here on: pages and
        metadata that the file system has not written are lost. Who had files open is gone."""
        copy = self.image + ".cut"
        subprocess.run(["cp", "--sparse=always", self.image, copy], check=True)
        self.unmount()
        os.rename(copy, self.image)
        self.mount()

    def leave_free(self, free_bytes):
        """Fills it with a ballast file but for so much; returns that file's path."""
        ballast = os.path.join(self.path, "ballast")
        space = os.statvfs(self.path)
        size = space.f_bavail * space.f_frsize - free_bytes
        pakv.check(size > 0, "the disk is too small")
        with open(ballast, "wb") as file:
            piece = b"b" * (1 << 20)
            for offset in range(0, size, len(piece)):
                file.write(piece[:min(len(piece), size - offset)])
            file.flush()
            os.fsync(file.fileno())
        return ballast
