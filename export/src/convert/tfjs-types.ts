/* eslint-disable @typescript-eslint/ban-ts-comment, @typescript-eslint/consistent-type-imports -- The declarations keep these comments and imports as they
   are: where the optional peer is not installed, its types are `any` there, and no error. */
/** The types of tfjs that this package speaks of. */

/** @ts-ignore */
export type LayersModel = import('@tensorflow/tfjs-layers').LayersModel;
/** @ts-ignore */
export type Layer = import('@tensorflow/tfjs-layers').layers.Layer;
/** @ts-ignore */
export type SymbolicTensor = import('@tensorflow/tfjs-layers').SymbolicTensor;
