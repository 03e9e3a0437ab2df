/** The swiss roll: scikit-learn's `make_swiss_roll(noise = 0.25)`, its first and third axes, divided by 7.5. */
import type { Dataset } from './dataset.js';
import { pointSet } from './point-set.js';

/** t = 1.5π (1 + 2u); x = (t cos t + 0.25 N, t sin t + 0.25 N) / 7.5. */
export function swissRoll(): Dataset {
  return pointSet({
    name: 'swiss-roll',
    dimension: 2,
    uniforms: 1,
    normals: 2,
    place(out, at, u, n) {
      const t = 1.5 * Math.PI * (1 + 2 * u[0]!);
      out[at] = (t * Math.cos(t) + 0.25 * n[0]!) / 7.5;
      out[at + 1] = (t * Math.sin(t) + 0.25 * n[1]!) / 7.5;
    },
  });
}
