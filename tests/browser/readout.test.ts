/** How the page writes numbers. */
import { expect, it } from 'vitest';
import { show } from '../../runtimes/web/app/src/page.js';

it('shows three digits of a number, with a sign where they are not all 0', () => {
  expect([0.004, -0.004, -0.006, -1.234, 56.78, -123.4, NaN].map(show)).toEqual(['0.00', '0.00', '−0.01', '−1.23', '56.8', '−123', '–']);
});
