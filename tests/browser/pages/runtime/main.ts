/** Hands the package to the tests, which call it from outside. */
import * as sdk from '@ratioflow/sdk';
import * as web from '@ratioflow/web';

Object.assign(globalThis, { ratioflow: { ...sdk, ...web } });
