/** Collects the large constants of several graphs in one external file, each once. */
import type { Constant } from '../ir/constant.js';
import type { ExternalStore } from '../onnx/write.js';

/** Smaller constants stay in the graphs: shapes, scalars, biases. */
const smallest = 1024;
/** Engines map external tensors at multiples of this. */
const alignment = 64;

export class WeightStore implements ExternalStore {
  readonly #location: string;
  readonly #places = new Map<Constant, { location: string; offset: number; length: number }>();
  #size = 0;

  constructor(location: string) {
    this.#location = location;
  }

  place(constant: Constant): { location: string; offset: number; length: number } | undefined {
    if (!(constant.data instanceof Uint8Array) || constant.data.byteLength < smallest) return undefined;
    let place = this.#places.get(constant);
    if (!place) {
      const offset = Math.ceil(this.#size / alignment) * alignment;
      place = { location: this.#location, offset, length: constant.data.byteLength };
      this.#places.set(constant, place);
      this.#size = offset + place.length;
    }
    return place;
  }

  /** The file's content. */
  bytes(): Uint8Array {
    const bytes = new Uint8Array(this.#size);
    for (const [constant, { offset }] of this.#places) bytes.set(constant.data as Uint8Array, offset);
    return bytes;
  }
}
