"""python -m ratioflow sample BUNDLE -o samples.npy | grid.png, python -m ratioflow verify BUNDLE"""

import argparse
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np

from . import Bundle


def write_whole(path, write):
    """Writes beside the destination and renames, so that the file is there whole or not at all."""
    temporary = Path(path).parent / f".{Path(path).name}.{os.getpid()}"
    try:
        with open(temporary, "wb") as file:
            write(file)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def png(images, low, high):
    """The bytes of a PNG: images [N, 1 or 3, H, W] in a grid, values from low to high."""
    count, channels, rows, columns = images.shape
    across = int(np.ceil(np.sqrt(count)))
    down = -(-count // across)
    grid = np.zeros((down * across, rows, columns, channels), np.uint8)
    grid[:count] = np.rint(255 * np.clip((images.transpose(0, 2, 3, 1) - low) / (high - low), 0, 1))
    grid = grid.reshape(down, across, rows, columns, channels).swapaxes(1, 2).reshape(down * rows, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in grid)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))  # noqa: E731
    header = struct.pack(">IIBBBBB", across * columns, down * rows, 8, 2 if channels == 3 else 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m ratioflow", description="Sample and verify ratioflow bundles.")
    commands = parser.add_subparsers(dest="command", required=True)
    sample = commands.add_parser("sample", help="draw samples")
    sample.add_argument("bundle")
    sample.add_argument("-o", "--out", required=True, help="samples.npy, or grid.png for images")
    sample.add_argument("--count", type=int, default=64)
    sample.add_argument("--seed", type=int, default=0, help="0 to 2**64 - 1")
    sample.add_argument("--first", type=int, default=0, help="index of the first sample")
    sample.add_argument("--batch", type=int, default=64)
    sample.add_argument("--steps", type=int, dest="K", help="bridging steps (default: the bundle's)")
    sample.add_argument("--refine", type=int, dest="kappa", help="refinement steps (default: the bundle's)")
    sample.add_argument("--eta", type=float, help="step size (default: the bundle's)")
    sample.add_argument("--nu", type=float, help="noise scale (default: the bundle's)")
    sample.add_argument("--class", type=int, dest="y", help="of guided bundles: the class (default: none)")
    sample.add_argument("--scale", type=float, dest="phi", help="of guided bundles: the scale of the guidance (default: the bundle's)")
    sample.add_argument("--x0", help="start from these, .npy, instead of the prior")
    verify = commands.add_parser("verify", help="run the verification vectors; exit code 1 when one fails")
    verify.add_argument("bundle")
    given = parser.parse_args(arguments)
    bundle = Bundle(given.bundle)
    if given.command == "verify":
        checks = list(bundle.verify())
        for name, error, allowed in checks:
            print(f"{'ok    ' if error <= allowed else 'FAILED'}  {name:20}  largest error {error:.1e}, allowed {allowed:.1e}")
        return 0 if checks and all(error <= allowed for _, error, allowed in checks) else 1
    suffix, images = Path(given.out).suffix, len(bundle.manifest["sampleShape"]) == 3
    if suffix not in (".npy", ".png") or (suffix == ".png" and not images):
        parser.error(f"{given.out}: the output ends in .npy{', or .png' if images else ''}")
    settings = {name: value for name in ("K", "kappa", "eta", "nu", "y", "phi") if (value := getattr(given, name)) is not None}
    x0 = None if given.x0 is None else np.load(given.x0)
    count = given.count if x0 is None else len(x0)
    samples = bundle.sample(count, given.seed, given.first, batch=given.batch, x0=x0, **settings)
    low, high = bundle.manifest["valueRange"] or (-1, 1)
    write_whole(given.out, (lambda file: np.save(file, samples)) if suffix == ".npy" else (lambda file: file.write(png(samples, low, high))))
    print(f"{count} samples (seed {given.seed}, from {given.first}) in {given.out}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
