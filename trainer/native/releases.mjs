/**
 * The pinned TensorFlow wheels whose C library the native binding is compiled against. Any CPython's wheel serves: only
 * the library and its headers are used, never Python's part of it.
 */

/**
 * @typedef {object} Release
 * @property {string} requirement what pip is asked for
 * @property {string} file name of the wheel
 * @property {string} tag pip's name of the wheel's platform
 * @property {string} sha256
 * @property {number} bytes size of the wheel
 * @property {number} unpacked bytes of the parts that are unpacked, roughly
 * @property {boolean} cuda
 */

/** The CPython version whose wheels are pinned; it need not be on the machine. */
export const pythonTag = '312';

/** @type {Record<string, Release>} by platform-architecture and flavour */
const releases = {
  'linux-x64 cpu': {
    requirement: 'tensorflow-cpu==2.21.0',
    file: 'tensorflow_cpu-2.21.0-cp312-cp312-manylinux_2_27_x86_64.whl',
    tag: 'manylinux_2_27_x86_64',
    sha256: 'dcc8afd32930e42d5296b6ee19078b773706830af4ea97fbe503b9f5e0f820cb',
    bytes: 274_000_871,
    unpacked: 860e6,
    cuda: false,
  },
  'linux-x64 cuda': {
    requirement: 'tensorflow==2.21.0',
    file: 'tensorflow-2.21.0-cp312-cp312-manylinux_2_27_x86_64.whl',
    tag: 'manylinux_2_27_x86_64',
    sha256: 'b3b95643c4e70eb925839938fb35cbe142f317ec84af6844ee61513713bb13c0',
    bytes: 572_611_111,
    unpacked: 5.5e9, // with NVIDIA's libraries
    cuda: true,
  },
  // On arm64 the plain package is the CPU build. Not tried by us; the trial after the installation decides.
  'linux-arm64 cpu': {
    requirement: 'tensorflow==2.21.0',
    file: 'tensorflow-2.21.0-cp312-cp312-manylinux_2_27_aarch64.whl',
    tag: 'manylinux_2_27_aarch64',
    sha256: 'b07d15737406533898e36c7ef7944b1be18e9028dc521b9229952c537bbc5552',
    bytes: 281_946_471,
    unpacked: 860e6,
    cuda: false,
  },
};

/**
 * The wheel for a platform, or undefined where none is pinned.
 * @param {'cpu' | 'cuda'} flavour
 * @returns {Release | undefined}
 */
export function releaseFor(platform, arch, flavour) {
  return releases[`${platform}-${arch} ${flavour}`];
}

/** Name of the release for people and folders, such as `tensorflow-cpu 2.21.0`. */
export function releaseName(release) {
  return release.requirement.replace('==', ' ');
}
